/** `dualscan train` as a user meets it: killed and gone on, refused in one line, the same under three runtimes. */

import { presets } from "../../tasks/train/presets.ts";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { loggedRuns } from "../../bench/experiments/logged_run.ts";
import { train as trainHere } from "../../cli/train.ts";
import { trainArguments } from "../../cli/train_options.ts";
import { gpuPolicy } from "../../kernels/device.ts";
import { InputError } from "../../models/error.ts";
import type { LogLine } from "../../tasks/train/log.ts";
import { loadCheckpoint } from "../../tasks/train/checkpoint.ts";

/** Of the small settings of words. */
const stages = presets.find(({ name }) => name === "s5-small")!.plan.stages.length;

const root = mkdtempSync(join(tmpdir(), "dualscan-train-"));
after(() => rmSync(root, { recursive: true }));
const bin = resolve("node_modules/.bin");
const commands = {
  deno: [join(bin, "deno"), "run", "-A", "--quiet", "cli.ts"],
  bun: [join(bin, "bun"), "cli.ts"],
  node: ["node", "dist/cli.mjs"],
};
type Runtime = keyof typeof commands;

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command in this process, which is quicker: an error is what cli.ts makes a line and exit status 2 of. */
async function train(args: readonly string[]): Promise<Ran> {
  const [out, err]: string[][] = [[], []];
  const output = { out: (line: string) => out!.push(line), err: (line: string) => err!.push(line), progress: () => {} };
  const text = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join("");
  try {
    const status = await trainHere(args, output);
    return { status, stdout: text(out!), stderr: text(err!) };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { status: 2, stdout: text(out!), stderr: `${error.message}\n` };
  }
}

/** The command as a process of its own. */
function trainApart(args: readonly string[], runtime: Runtime = "deno"): Ran {
  const [command = "", ...prefix] = commands[runtime];
  const { status, stdout, stderr } = spawnSync(command, [...prefix, "train", ...args], {
    encoding: "utf8",
    env: { ...process.env, DUALSCAN_GPU: "off" },
  });
  return { status, stdout, stderr };
}

const linesOf = (text: string): LogLine[] =>
  text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as LogLine);

/** What a log says of the trajectory: every number but times. */
function trajectory(folder: string): object[] {
  return linesOf(readFileSync(join(folder, "log.jsonl"), "utf8")).flatMap((line): object[] => {
    if (line.kind === "begin") return [];
    if (line.kind === "evaluation") return [line];
    const { ms: _ms, spent: _spent, tokensPerSecond: _rate, peakBytes: _bytes, ...rest } = line;
    return [rest];
  });
}

const bytesOf = (folder: string): Uint8Array => {
  const [last] = readdirSync(folder).filter((name) => name.startsWith("step-"));
  return readFileSync(join(folder, last!, "model.safetensors"));
};

/** Long enough to be killed in the middle: some 900 steps of the control on words of 120 elements. */
const long = ["s5", "--model", "bigram", "--steps", "900", "--evaluate", "6", "--save-every", "50"];

/** Kills a run, as hard as can be, once its log has so many lines. */
function killed(
  args: readonly string[],
  folder: string,
  lines: number,
  environment: NodeJS.ProcessEnv = { DUALSCAN_GPU: "off" },
): Promise<void> {
  const [command = "", ...prefix] = commands.deno;
  return new Promise((settle) => {
    const child = spawn(command, [...prefix, "train", ...args], {
      stdio: "ignore",
      env: { ...process.env, ...environment },
    });
    const log = join(folder, "log.jsonl");
    const watch = setInterval(() => {
      if (existsSync(log) && readFileSync(log, "utf8").split("\n").length > lines) child.kill("SIGKILL");
    }, 5);
    child.on("close", () => {
      clearInterval(watch);
      settle();
    });
  });
}

test("killed twice at any moment and gone on: log and checkpoint are those of the run left alone", async () => {
  const [whole, cut] = [join(root, "whole"), join(root, "cut")];
  assertEquals((await train([...long, "--out", whole])).status, 0);
  await killed([...long, "--out", cut], cut, 150);
  const first = loadCheckpoint(cut).steps;
  await killed(["--resume", cut, "--save-every", "50"], cut, 450);
  const second = loadCheckpoint(cut).steps;
  assertGreater(first, 0);
  assertGreater(second, first);
  assert(second < 900, `${second}`);
  assertEquals((await train(["--resume", cut])).status, 0);
  assertEquals(trajectory(cut), trajectory(whole));
  assertEquals(bytesOf(cut), bytesOf(whole));
  const begun = linesOf(readFileSync(join(cut, "log.jsonl"), "utf8")).filter(({ kind }) => kind === "begin");
  assertEquals(begun.map(({ step }) => step), [0, first, second]);
});

test("killed before its first minute is over, it is gone on with from the beginning", async () => {
  const [whole, cut] = [join(root, "first-minute"), join(root, "first-minute-cut")];
  const short = ["s5", "--model", "bigram", "--steps", "900", "--evaluate", "6"];
  assertEquals((await train([...short, "--out", whole])).status, 0);
  await killed([...short, "--out", cut], cut, 20);
  assertEquals(loadCheckpoint(cut).steps, 0);
  assertEquals((await train(["--resume", cut])).status, 0);
  assertEquals(trajectory(cut), trajectory(whole));
  assertEquals(bytesOf(cut), bytesOf(whole));
  // One run still, with the command that began it.
  const [run, ...others] = loggedRuns(join(cut, "log.jsonl"));
  assertEquals([others.length, run!.begin.command], [0, "dualscan train s5 --model bigram --steps 900 --evaluate 6"]);
});

const withGpu = gpuPolicy() !== "off";
const onGpu = ["parity", "--preset", "parity-tiny", "--steps", "24", "--evaluate", "4", "--save-every", "3"];

test(
  "on a GPU, killed and gone on: log and checkpoint are those of the run left alone",
  { skip: !withGpu },
  async () => {
    const [whole, cut] = [join(root, "gpu"), join(root, "gpu-cut")];
    const first = await train([...onGpu, "--out", whole]);
    if (/^Cannot open a GPU/.test(first.stderr) && gpuPolicy() !== "require") {
      console.warn(`not run: training on a GPU: ${first.stderr}`);
      return;
    }
    assertEquals(first.status, 0, first.stderr);
    await killed([...onGpu, "--out", cut], cut, 8, {});
    const { steps } = loadCheckpoint(cut);
    assert(steps > 0 && steps < 24, `${steps}`);
    const second = await train(["--resume", cut]);
    assertEquals(second.status, 0, second.stderr);
    assertEquals(trajectory(cut), trajectory(whole));
    assertEquals(bytesOf(cut), bytesOf(whole));
  },
);

test("--minutes stops with a checkpoint and says how to go on", async () => {
  const folder = join(root, "minutes");
  const { status, stderr } = await train([...long, "--out", folder, "--minutes", "0.01", "--shard-mib", "1"]);
  assertEquals(status, 0);
  assertMatch(stderr, new RegExp(`^stopped after step \\d+; go on with: dualscan train --resume ${folder}\n$`));
  const { steps } = loadCheckpoint(folder);
  assert(steps > 0 && steps < 900, `${steps}`);
});

test("--json prints the log's lines, evaluations with what they belong to", async () => {
  const folder = join(root, "json");
  const args = ["modular", "--preset", "z5-tiny", "--model", "bigram", "--steps", "10", "--seed", "4", "--json"];
  const { status, stdout, stderr } = await train([...args, "--out", folder]);
  // The control cannot reach what the preset promises.
  assertEquals(status, 1);
  assertMatch(stderr, /^FAILED z5-tiny with bigram: error at length 16 must be ≤ 4\.00 %, got [\d.]+ %\n$/);
  assertEquals(linesOf(stdout), linesOf(readFileSync(join(folder, "log.jsonl"), "utf8")));
  const evaluation = linesOf(stdout).at(-1)!;
  assertEquals(evaluation.kind, "evaluation");
  const { kind: _kind, loss: _loss, error: _error, ...rest } = evaluation as Extract<LogLine, { kind: "evaluation" }>;
  assertEquals(rest, {
    split: "test",
    step: 10,
    task: "modular",
    model: "bigram",
    preset: "z5-tiny",
    seed: 4,
    length: 16,
    sequences: 64,
  });
  // A finished run can be asked again.
  const again = await train(["--resume", folder, "--evaluate", "4,8", "--json"]);
  const evaluations = linesOf(again.stdout).filter((line) => line.kind === "evaluation");
  assertEquals(evaluations.map((line) => line.kind === "evaluation" && line.length), [4, 8]);
});

const run = join(root, "run");
writeFileSync(join(root, "binary"), new Uint8Array([0xff, 0xfe]));
writeFileSync(join(root, "file"), "text");
const unusable: readonly (readonly [string, readonly string[], RegExp])[] = [
  ["no task", [], /^Cannot train: it takes a task \(s5, .*\) or --resume DIR, got nothing$/],
  [
    "a profile of what is kept",
    ["s5", "--profile", "--out", "runs/s5"],
    /^Cannot use --profile: nothing is kept of what it trains, got --out$/,
  ],
  [
    "a profile of what was learnt",
    ["s5", "--profile", "--begin-with", "runs/s5"],
    /^Cannot use --profile: a step takes its time whatever the parameters are, got --begin-with$/,
  ],
  [
    "a profile on a CPU",
    ["parity", "--model", "bigram", "--profile"],
    /^Cannot profile bigram: it must be computed on a GPU, got a CPU$/,
  ],
  ["an unknown task", ["s6"], /^Cannot use the task: it must be one of s5, a5, .*, got s6$/],
  ["an unknown option", ["s5", "--step", "3"], /^Cannot run train: Unknown option '--step'.*options are/],
  [
    "another task's preset",
    ["s5", "--preset", "text-c32"],
    /^Cannot train s5: its presets are s5, s5-small, got text-c32$/,
  ],
  ["an unknown model", ["s5", "--model", "rnn"], /^Cannot use --model: it must be one of .*bigram, got rnn$/],
  [
    "fewer steps than stages",
    ["s5", "--steps", "3"],
    new RegExp(`^Cannot use --steps: it must be a whole number ≥ ${stages}, got 3$`),
  ],
  ["a batch of nothing", ["s5", "--batch", "0"], /^Cannot use --batch: it must be a whole number ≥ 1, got 0$/],
  ["half a block", ["s5", "--layers", "0.5"], /^Cannot use --layers: it must be a whole number ≥ 1, got 0.5$/],
  [
    "dropout of everything",
    ["s5", "--dropout", "1"],
    /^Cannot use --dropout: it must be a number from 0 to below 1, got 1$/,
  ],
  ["a beginning behind the end", ["s5", "--from", "19"], /^Cannot use --from: it must be at most .*, 18, got 19$/],
  ["no token", ["s5", "--length", "0"], /^Cannot use --length: it must be a whole number ≥ 1, got 0$/],
  ["products of no kind", ["s5", "--products", "bf16"], /^Cannot use --products: .*f32, split, f16.*got bf16$/],
  ["a rate of 0", ["s5", "--rate", "0"], /^Cannot use --rate: it must be a number > 0, got 0$/],
  ["a seed that is none", ["s5", "--seed=-1"], /^Cannot use --seed: .* got -1$/],
  ["lengths that are none", ["s5", "--evaluate", "x"], /^Cannot use --evaluate: it must be lengths ≥ 1 .* got x$/],
  [
    "lengths a task has not",
    ["mqar", "--model", "bigram", "--evaluate", "20"],
    /^Cannot train on mqar: 8 pairs .* got 20$/,
  ],
  ["an option of another task", ["s5", "--text", "x"], /^Cannot use --text: it belongs to the task text, got s5$/],
  [
    "a text that is not there",
    ["text", "--model", "bigram", "--text", join(root, "none")],
    /^Cannot read the text .*none: ENOENT$/,
  ],
  [
    "a text that is none",
    ["text", "--model", "bigram", "--text", join(root, "binary")],
    /must be UTF-8, got other bytes$/,
  ],
  [
    "too short a text",
    ["text", "--model", "bigram", "--text", join(root, "file")],
    /^Cannot train on text: windows have from 1 to \d .* got 512$/,
  ],
  ["minutes without a folder", ["s5", "--minutes", "1"], /^Cannot use --minutes: .* --out DIR, got none$/],
  ["a file as folder", ["s5", "--model", "bigram", "--out", join(root, "file")], /^Cannot keep a run in .*: EEXIST$/],
  ["a folder with a run", ["s5", "--model", "bigram", "--out", run], /holds one already .*; go on with --resume/],
  [
    "no run to go on with",
    ["--resume", join(root, "none")],
    /^Cannot resume .*none: it must be a folder with a run, got none$/,
  ],
  [
    "a folder without a checkpoint",
    ["--resume", root],
    /^Cannot resume .*: it must hold a checkpoint step-N, got none$/,
  ],
  [
    "nothing to begin with",
    ["s5", "--model", "bigram", "--begin-with", join(root, "file")],
    /^Cannot begin with .*file: it must hold a checkpoint step-N, got none$/,
  ],
  [
    "another network to begin with",
    ["s5", "--model", "bigram", "--begin-with", run],
    /^Cannot begin with .*run: parameter.table of bigram must be \[120, 120\], got \[2, 2\]$/,
  ],
  ["a file to go on with", ["--resume", join(root, "file")], /^Cannot resume .*file: it must hold .*, got none$/],
  [
    "another beginning",
    ["--resume", run, "--begin-with", run],
    /^Cannot resume .*: what is learnt .*, got --begin-with$/,
  ],
  ["another rate", ["--resume", run, "--rate", "1"], /^Cannot resume .*: what is learnt is fixed .*, got --rate$/],
  ["another task", ["parity", "--resume", run], /^Cannot resume .*: what is learnt is fixed .*, got the task parity$/],
  [
    "shards that hold no array",
    ["mqar", "--model", "bigram", "--out", run, "--shard-mib", "1"],
    /^Cannot cut a checkpoint/,
  ],
];

test("a batch that is asked for is that of every stage", () => {
  const batches = (...options: string[]): (number | undefined)[] => {
    const args = trainArguments(["mqar", "--preset", "mqar-c32-l256", ...options]);
    if (args.kind !== "new") throw new TypeError("not a run");
    const { batch, stages } = args.setup.plan;
    return [batch, ...stages.map((stage) => stage.batch)];
  };
  const none = undefined;
  assertEquals(batches(), [128, 341, 256, 128, 128, 128, 128]);
  assertEquals(batches("--from", "128"), [128, 256, 128, 128, 128, 128]);
  assertEquals(batches("--batch", "64"), [64, none, none, none, none, none, none]);
});

test("--begin-with: the first loss is that of what the other run has learnt, its steps begin anew, and it says with what", async () => {
  const [first, second] = [join(root, "learnt"), join(root, "begun")];
  const of = ["parity", "--model", "bigram", "--length", "6", "--evaluate", "6"];
  const losses = (folder: string): readonly number[] =>
    linesOf(readFileSync(join(folder, "log.jsonl"), "utf8")).flatMap((line) => line.kind === "step" ? [line.loss] : []);
  assertEquals((await train([...of, "--steps", "60", "--out", first])).status, 0);
  assertEquals((await train([...of, "--steps", "4", "--begin-with", first, "--out", second])).status, 0);
  const [drawn, learnt, begun] = [losses(first)[0]!, losses(first).at(-1)!, losses(second)[0]!];
  assert(Math.abs(begun - learnt) < 0.1 * (drawn - learnt), `${drawn} ${learnt} ${begun}`);
  const [line] = linesOf(readFileSync(join(second, "log.jsonl"), "utf8"));
  assertEquals([line!.step, line!.kind === "begin" && line!.begunWith], [0, "parity-small after 60 steps"]);
  assertEquals(loadCheckpoint(second).setup.begunWith, "parity-small after 60 steps");
  assertEquals((await train(["--resume", second, "--evaluate", "5"])).status, 0);
  // Begun with that in turn, it says the whole way; and gradients are those of what was learnt.
  const third = join(root, "begun-again");
  assertEquals((await train([...of, "--steps", "2", "--begin-with", second, "--out", third])).status, 0);
  assertEquals(
    loadCheckpoint(third).setup.begunWith,
    "parity-small after 4 steps (begun with parity-small after 60 steps)",
  );
  const [plain, learntOf] = [join(root, "plain.safetensors"), join(root, "learnt.safetensors")];
  assertEquals((await train([...of, "--gradients", plain])).status, 0);
  assertEquals((await train([...of, "--begin-with", first, "--gradients", learntOf])).status, 0);
  assert(!readFileSync(plain).equals(readFileSync(learntOf)));
});

test("--profile: a step in all and by kernels, in words and as JSON", { skip: gpuPolicy() !== "require" }, async () => {
  const of = ["parity", "--preset", "parity-tiny", "--profile"];
  const { status, stdout, stderr } = await train([...of, "--json"]);
  assertEquals([status, stderr], [0, ""]);
  const [profile, ...kernels] = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals([profile.kind, profile.task, profile.batch, profile.length], ["profile", "parity", 32, 8]);
  assert(profile.millisecondsPerStep > 0 && profile.hostMilliseconds > 0);
  assert(kernels.every(({ kind }) => kind === "kernels"));
  const sum = (of: "dispatches" | "milliseconds"): number => kernels.reduce((sum, kernel) => sum + kernel[of], 0);
  assertEquals(sum("dispatches"), profile.dispatches);
  assert(Math.abs(sum("milliseconds") - profile.apartMilliseconds) < 1e-9 * profile.apartMilliseconds);
  const words = await train(of);
  assertEquals(words.status, 0);
  assertMatch(words.stdout, /^t-psm-gated-mlp, parity-tiny, 32 x 8 tokens: .* ms a step; \d+ dispatches/);
  assertMatch(words.stdout, /% +\d+ dispatches of \d+ x product\n/);
});

test("a run killed before its first checkpoint is told apart from one to go on with", async () => {
  const folder = join(root, "log-alone");
  mkdirSync(folder);
  writeFileSync(join(folder, "log.jsonl"), "");
  const { status, stderr } = await train(["parity", "--model", "bigram", "--out", folder]);
  assertEquals(status, 2);
  assertMatch(stderr, /it must hold none, got the log of one that ended before its first checkpoint \(log\.jsonl\)\n$/);
});

test("a run to be refused", async () => {
  const { status } = await train(["parity", "--model", "bigram", "--steps", "30", "--evaluate", "4", "--out", run]);
  assertEquals(status, 0);
});
for (const [what, args, message] of unusable) {
  test(`${what}: exit status 2 with one line, nothing lost`, async () => {
    const before = bytesOf(run);
    const { status, stdout, stderr } = await train(args);
    assertEquals([status, stdout], [2, ""], stderr);
    assertMatch(stderr.trim(), message);
    assertEquals(stderr.trim().split("\n").length, 1);
    assertEquals(bytesOf(run), before);
  });
}

test("a damaged checkpoint is refused in one line", async () => {
  const folder = join(root, "damaged");
  await train(["parity", "--model", "bigram", "--steps", `${stages}`, "--evaluate", "4", "--out", folder]);
  const [last] = readdirSync(folder).filter((name) => name.startsWith("step-"));
  const file = join(folder, last!, "model.safetensors");
  const bytes = readFileSync(file);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(file, bytes);
  const { status, stderr } = await train(["--resume", folder]);
  assertEquals([status, stderr.trim().split("\n").length], [2, 1]);
  assertMatch(stderr, /: its digest must be .* it was damaged$/m);
});

test("as a process: exit status 2, one line on stderr, nothing on stdout", () => {
  const { status, stdout, stderr } = trainApart(["s5", "--rate", "x"]);
  assertEquals([status, stdout, stderr], [2, "", "Cannot use --rate: it must be a number > 0, got x\n"]);
});

for (const runtime of ["bun", "node"] as const) {
  test(`what another runtime began goes on under ${runtime}`, async () => {
    if (runtime === "node") assertEquals(spawnSync("npm", ["run", "-s", "build"]).status, 0);
    const folder = join(root, runtime);
    const args = ["text", "--preset", "text-small-c16", "--model", "bigram", "--steps", "20", "--evaluate", "64"];
    assertEquals((await train([...args, "--out", folder, "--minutes", "0.0001"])).status, 0);
    const { status, stdout, stderr } = trainApart(["--resume", folder, "--json"], runtime);
    assertEquals([status, stderr], [0, ""]);
    const last = linesOf(stdout).at(-1)!;
    const whole = linesOf((await train([...args, "--json"])).stdout).at(-1)!;
    assert(last.kind === "evaluation" && last.step === 20 && whole.kind === "evaluation", stdout);
    // Batches are the same to the bit; exponentials may differ between engines in their last bit.
    assert(Math.abs(whole.loss - last.loss) < 1e-6);
  });
}
