/**
 * `npm test`: every test under every runtime, ending with the line `N passed, N failed` over all of them.
 *
 * - what `deno task test` is: format, lint, types, the tests of `tests/system/` with all permissions, a dry run of publishing;
 * - `deno test`: the tests of `tests/` without any permission, but those of whole networks on a GPU;
 * - `node --test`, bundled by esbuild: the same files but for further modes and tilings of some kernels, in two parts;
 * - `bun test`: the same files but for those of fused kernels, networks and whole models, which Node has run on the same Dawn: a
 *   software adapter takes minutes to compile them;
 * - `node --test` once more with SwiftShader for a GPU, where it is installed: some tests of every fused kernel, on subgroups of
 *   four, without f16. All of them: `VK_DRIVER_FILES=/usr/lib/chromium/vk_swiftshader_icd.json node --test dist/tests`.
 */

import { spawn } from "node:child_process";
import { existsSync, globSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, resolve } from "node:path";
import process from "node:process";

interface Runner {
  readonly name: string;
  readonly commands: readonly (readonly string[])[];
  /** Number of passed and of failed tests in what the runner printed. */
  readonly passed: RegExp;
  readonly failed: RegExp;
  /** What it prints about tests that passed, left out when others failed. */
  readonly noise: RegExp;
  /**
   * What a command prints when all tests have passed. A signal that ends it behind that is told and not counted: Deno with a
   * software GPU now and then aborts while it unloads the driver ("corrupted size vs. prev_size", "double free or corruption").
   */
  readonly done?: RegExp;
  /** Variables of its own. */
  readonly env?: { readonly [name: string]: string };
}

interface Outcome {
  readonly status: number | null;
  /** What ended it; ours where it took too long. */
  readonly signal: NodeJS.Signals | null;
  readonly output: string;
}

const files = globSync("tests/*_test.ts").sort();
/**
 * What a software adapter compiles for minutes under Dawn: Bun leaves it to Node. Its wrapper could not run all of it either: it
 * binds 10 storage buffers where the selective scan needs 11, and its pool of mapped buffers does not outlast hundreds of runs.
 */
const slow =
  /(kernels_(chunk|delta|elementwise|matmul|selective|walk)\w*|bench_errors|duality|fused_resume|mixer|nn_\w+|network_\w+_gpu)_test\.ts$/;
/** And what Node leaves to Deno: other modes and tilings of kernels whose own tests it runs, and bounds, which no adapter changes. */
const slowest = /kernels_(chunk_modes|chunk_backward_modes|chunk_promise|selective_tunings)_test\.ts$/;
const onNode = files.filter((file) => !slowest.test(file));
const deno = {
  passed: /\| (\d+) passed/g,
  failed: /\| (\d+) failed/g,
  noise: /^.* \.\.\. ok \(.*\)\n/gm,
  done: /^ok \| \d+ passed \| 0 failed/m,
};

/** The commands of one of deno.json's tasks, which stand there as a shell has them. */
function commandsOf(task: string): string[][] {
  const { tasks } = JSON.parse(readFileSync("deno.json", "utf8")) as { tasks: { [name: string]: { command: string } } };
  const words = (command: string): string[] =>
    command.replace(/^env /, "").split(" ").flatMap((word) => word.includes("*") ? globSync(word).sort() : [word]);
  return tasks[task]!.command.split(" && ").map(words);
}

// One by one, so that a signal is seen.
const full: Runner = { name: "deno task test", commands: commandsOf("test"), ...deno };
/** And what Deno leaves to Node: whole networks and layers, of kernels that both have run one by one. */
const whole = files.filter((file) => /(mixer|network_\w+_gpu)_test\.ts$/.test(file));
const bare: Runner = {
  name: "deno test, no permissions",
  commands: [["deno", "test", "--no-check", `--ignore=${whole.join(",")}`]],
  ...deno,
};
const bun: Runner = {
  name: "bun test",
  // Its own limit is 5 s a test; a software GPU is slower.
  commands: [[
    "bun",
    "test",
    "--timeout",
    "120000",
    ...files.filter((file) => !slow.test(file)).map((file) => `./${file}`),
  ]],
  passed: /^ *(\d+) pass$/gm,
  failed: /^ *(\d+) (?:fail|errors?)$/gm,
  noise: /^\(pass\).*\n/gm,
};
/** All tests that Node runs, as JavaScript. */
const bundle: readonly string[] = [
  "esbuild",
  ...onNode,
  "--bundle",
  "--splitting",
  "--format=esm",
  "--platform=node",
  "--target=node20",
  "--packages=external",
  "--outdir=dist/tests",
  "--out-extension:.js=.mjs",
  "--log-level=warning",
];

/** Node on some of the bundled files. */
function node(name: string, files: readonly string[], env: Runner["env"] = {}): Runner {
  return {
    name,
    commands: [[
      "node",
      "--test",
      "--test-reporter=tap",
      ...files.map((file) => `dist/${file.replace(/\.ts$/, ".mjs")}`),
    ]],
    passed: /^# pass (\d+)$/gm,
    failed: /^# (?:fail|cancelled) (\d+)$/gm,
    noise: /^# Subtest: .*\n(?=ok )|^ok .*\n(?: {2}---\n(?: {2}.*\n)*? {2}\.\.\.\n)?/gm,
    env,
  };
}

/** Where Debian's Chromium has its software Vulkan driver. */
const swiftShader = "/usr/lib/chromium/vk_swiftshader_icd.json";
const onSwiftShader =
  /kernels_(chunk_gradients|delta_forward|elementwise_models|elementwise_scan|selective_forward|step)_test\.ts$/;
const second = node("node --test, on SwiftShader", files.filter((file) => onSwiftShader.test(file)), {
  VK_DRIVER_FILES: swiftShader,
});

const path = `${resolve("node_modules/.bin")}${delimiter}${process.env.PATH}`;
const limit = 60 * 60_000;
const TOO_LONG = "SIGKILL";

function execute([command = "", ...args]: readonly string[], own: Runner["env"] = {}): Promise<Outcome> {
  return new Promise((settle) => {
    const child = spawn(command, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { XDG_RUNTIME_DIR: tmpdir(), ...process.env, PATH: path, NO_COLOR: "1", ...own },
      timeout: limit,
      killSignal: TOO_LONG,
    });
    let output = "";
    child.stdout.on("data", (chunk) => output += chunk);
    child.stderr.on("data", (chunk) => output += chunk);
    child.on("error", (error) => settle({ status: null, signal: null, output: `${output}${error.message}\n` }));
    child.on("close", (status, signal) => settle({ status, signal, output }));
  });
}

/** The last match, or for a runner that prints several such lines at its end their sum, is what counts. */
function sum(output: string, pattern: RegExp): number {
  return [...output.matchAll(pattern)].reduce((total, [, count]) => total + Number(count), 0);
}

interface Totals {
  passed: number;
  failed: number;
}

async function run(runner: Runner, totals: Totals): Promise<void> {
  const start = performance.now();
  let output = "";
  let status: number | null = 0;
  let signal: NodeJS.Signals | null = null;
  for (const command of runner.commands) {
    const outcome = await execute(command, runner.env);
    output += outcome.output;
    ({ status, signal } = outcome);
    if (status === null && signal !== null && signal !== TOO_LONG && runner.done?.test(outcome.output) === true) {
      const last = outcome.output.trim().split("\n").at(-1);
      console.log(`${runner.name}: ${signal} after all tests had passed: ${last}`);
      [status, signal] = [0, null];
    }
    if (status !== 0) break;
  }
  const passed = sum(output, runner.passed);
  let failed = sum(output, runner.failed);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  const troubles: string[] = [];
  if (signal !== null && signal !== TOO_LONG) troubles.push(`ended by ${signal}`);
  else if (status === null) troubles.push(`did not end by itself within ${limit / 60_000} minutes, or could not start`);
  else if (status !== 0) troubles.push(`exit status ${status}`);
  if (passed + failed === 0) troubles.push("reported no tests");
  if (troubles.length > 0 && failed === 0) failed = 1;
  totals.passed += passed;
  totals.failed += failed;
  if (failed > 0) console.log(`\n${output.replace(runner.noise, "")}`);
  else for (const line of new Set(output.match(/^not run: .*$/gm))) console.log(`${runner.name}: ${line}`);
  console.log(`${[`${runner.name}: ${passed} passed, ${failed} failed in ${seconds} s`, ...troubles].join("; ")}`);
}

/** Runs the first that is left, until none is. */
async function take(left: Runner[], totals: Totals): Promise<void> {
  for (let runner = left.shift(); runner !== undefined; runner = left.shift()) await run(runner, totals);
}

const names = (some: readonly string[]): string =>
  some.map((file) => file.replace(/^tests\/|_test\.ts$/g, "")).join(", ");
const those = (pattern: RegExp): string => names(files.filter((file) => pattern.test(file)));
const left = `not run under Bun: ${those(slow)}\nnot run under Node: ${those(slowest)}`;
console.log(`${left}\nnot run under Deno: ${names(whole)}`);
rmSync("dist/tests", { recursive: true, force: true });
const totals: Totals = { passed: 0, failed: 0 };
const bundled = await execute(bundle);
if (bundled.status !== 0) {
  console.log(`${bundled.output}esbuild: exit status ${bundled.status}`);
  totals.failed++;
}
const kernels = onNode.filter((file) => /\/kernels_/.test(file));
const others = onNode.filter((file) => !kernels.includes(file));
// The longest first, two at a time for two cores.
const runners = [node("node --test, others", others), bare, node("node --test, kernels", kernels), full, bun];
if (process.env.DUALSCAN_GPU === "off" || process.env.VK_DRIVER_FILES === swiftShader) {
  // Nothing more to see.
} else if (existsSync(swiftShader)) runners.push(second);
else console.log("not run: fused kernels on SwiftShader; enable them with: apt-get install -y chromium");
await Promise.all([take(runners, totals), take(runners, totals)]);
console.log(`${totals.passed} passed, ${totals.failed} failed`);
process.exitCode = totals.failed > 0 ? 1 : 0;
