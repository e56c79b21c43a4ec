import { execFile, spawnSync } from "node:child_process";
import { delimiter } from "node:path";
import process from "node:process";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { assertEquals, assertMatch } from "@std/assert";
import { gpuPolicy } from "../../kernels/device.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const path = `${root}node_modules/.bin${delimiter}${process.env.PATH}`;
const script = "tests/system/_life.ts";
const bundle = "dist/life.mjs";

/** Runtime and provider → command line up to the script's argument. */
const ways: Readonly<Record<string, readonly string[]>> = {
  "deno, deno": ["deno", "run", "-A", "--no-check", script],
  "deno, dawn": ["deno", "run", "-A", "--no-check", script],
  "node, dawn": ["node", bundle],
  "bun, bun": ["bun", script],
};

/** Ending → exit status. */
const endings: Readonly<Record<string, number>> = {
  "close": 0,
  "close with work pending": 0,
  "open and close again and again": 0,
  "never close": 0,
  "throw": 1,
  "exit": 3,
};

interface Ended {
  /** Exit status, or the name of the signal that ended the process (a crash, or the time limit's SIGKILL). */
  readonly status: number | string;
  readonly output: string;
}

function execute([command = "", ...args]: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const options = {
      cwd: root,
      env: { ...process.env, PATH: path, ...env },
      timeout: 60_000,
      killSignal: "SIGKILL",
    } as const;
    const child = execFile(command, args, options, (_, stdout, stderr) => {
      resolve({ status: child.signalCode ?? child.exitCode ?? -1, output: stdout + stderr });
    });
  });
}

before(async () => {
  const flags = ["--bundle", "--format=esm", "--platform=node", "--target=node20", "--packages=external"];
  const { status, output } = await execute(["esbuild", script, ...flags, `--outfile=${bundle}`, "--log-level=warning"]);
  assertEquals(status, 0, output);
});

for (const [way, command] of Object.entries(ways)) {
  test(`a process with a GPU ends by itself (${way})`, async (t) => {
    if (gpuPolicy() === "off") return t.skip("DUALSCAN_GPU is off");
    const env = { DUALSCAN_GPU_PROVIDER: way.split(", ")[1] ?? "" };
    for (const [ending, status] of Object.entries(endings)) {
      const ended = await execute([...command, ending], env);
      const none = /Cannot open a GPU: tried [^$\n]*/.exec(ended.output);
      if (none !== null && gpuPolicy() !== "require") {
        console.warn(`not run: how a process with a GPU ends (${way}): ${none[0]}`);
        return t.skip("no adapter");
      }
      assertEquals(ended.status, status, `${ending}\n${ended.output}`);
    }
  });
}

test("under Deno, wgpu and Dawn are open side by side and agree", () => {
  // In a process of its own: Dawn's objects do not always survive the end of a long one under Deno.
  const { status, stdout, stderr } = spawnSync("deno", ["run", "-A", "--quiet", "tests/system/_beside.ts"], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, PATH: path },
  });
  assertEquals(status, 0, stderr);
  assertMatch(stdout, /^(agree|not run: needs both)$/m);
});
