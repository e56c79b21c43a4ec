/** What a stream holds after 2^20 tokens: as much as after 2^16. Counted in elements, in bytes of the process and the GPU. */
import { execFile } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { Counter, type CounterMode, foldStream, type Operator } from "../../scan/mod.ts";
import { gpuForTests } from "../gpu.ts";
import { cases, type Growth } from "./_memory.ts";

const LONG = 2 ** 20;
const MiB = 2 ** 20;
const nothing: Operator<null> = { combine: () => null };

test(`a fold holds one element at every t to ${LONG}`, () => {
  const stream = foldStream(nothing);
  for (let t = 1; t <= LONG; t++) {
    stream.push(null);
    assert(stream.held().length === 1, `t = ${t}: ${stream.held().length} elements`);
  }
});

const allowances: readonly (readonly [CounterMode, (t: number) => number])[] = [
  ["refolding", (t) => Math.ceil(Math.log2(t + 1))],
  ["cached", (t) => 2 * Math.ceil(Math.log2(t + 1))],
];

for (const [mode, allowed] of allowances) {
  test(`a ${mode} counter holds no more than its bound at every t to ${LONG}`, () => {
    const stream = new Counter<null>(nothing, { mode });
    let peak = 0;
    for (let t = 1; t <= LONG; t++) {
      stream.push(null);
      stream.prefix();
      const { length } = stream.held();
      peak = Math.max(peak, length);
      assert(length <= allowed(t), `t = ${t}: ${length} elements, allowed ${allowed(t)}`);
    }
    // At t = 2^20 − 1 every level has its root, and with cached folds every root but the first a fold.
    assertEquals(peak, mode === "cached" ? 39 : 20);
  });
}

/** The script's figures, from a heap that keeps few pages for later: what grows then is held. */
async function measured(name: string): Promise<Growth> {
  const script = fileURLToPath(new URL("_memory.ts", import.meta.url));
  const flags = "--v8-flags=--expose-gc,--single-threaded-gc,--optimize-for-size,--max-semi-space-size=1";
  const { stdout } = await promisify(execFile)(process.execPath, ["run", "-A", "--no-check", flags, script, name]);
  return JSON.parse(stdout) as Growth;
}

const probe = await gpuForTests("a GPU stream's memory");
await probe?.close();

for (const name of Object.keys(cases)) {
  const leaks = name.startsWith("leak: ");
  const onGpu = name.endsWith("on the GPU");
  test(
    leaks ? `control: ${name} is seen` : `${name}: constant in bytes`,
    { skip: onGpu && probe === null },
    async () => {
      const { reachable, resident, device } = await measured(name);
      if (leaks) {
        assertGreater(onGpu ? device : Math.min(reachable, resident), 16 * MiB);
      } else {
        assertLess(reachable, MiB, "reachable bytes");
        assertLess(resident, 16 * MiB, "bytes of the process");
        assertEquals(device, 0, "bytes on the GPU");
      }
    },
  );
}
