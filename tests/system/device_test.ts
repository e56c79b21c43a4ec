import { execFile } from "node:child_process";
import { delimiter } from "node:path";
import process from "node:process";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { assertEquals, assertNotEquals } from "@std/assert";
import { gpuPolicy } from "../../kernels/device.ts";
import { gpuForTests } from "../gpu.ts";

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

const fold = /* wgsl */ `
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= arrayLength(&x)) { return; }
  var hash = 2166136261u;
  for (var i = 0u; i <= id.x; i++) { hash = (hash ^ x[i]) * 16777619u; }
  y[id.x] = hash;
}`;

test("under Deno, wgpu and Dawn are open side by side and agree", async (t) => {
  const results: Uint32Array[] = [];
  const open = [
    await gpuForTests("wgpu beside Dawn", { provider: "deno" }),
    await gpuForTests("Dawn beside wgpu", { provider: "dawn" }),
  ];
  try {
    for (const gpu of open) {
      if (gpu === null) return t.skip("needs both");
      const x = gpu.upload(Uint32Array.from({ length: 500 }, (_, i) => i * 2654435761));
      const y = gpu.createBuffer({ bytes: 2000 });
      const pipeline = await gpu.compile({ label: "fold", code: fold });
      await gpu.run("fold", [{ pipeline, buffers: [x, y], workgroups: 8 }]);
      results.push(await gpu.read(y, Uint32Array));
    }
  } finally {
    for (const gpu of open) await gpu?.close();
  }
  assertEquals(results[0], results[1]);
  assertNotEquals(results[0]?.at(-1), 0);
});
