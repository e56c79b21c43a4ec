/** The fused selective scan, forward: within the derived bounds of `step`, planted faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Gpu } from "../kernels/device.ts";
import { selectiveExecution } from "../kernels/selective/family.ts";
import { InputError } from "../models/error.ts";
import { faults, type RunResult } from "../models/execution.ts";
import { type Dims, type Inputs, sampleInputs, sliceInputs, stateLength } from "../models/inputs.ts";
import { models } from "../models/mod.ts";
import { seeded } from "../models/random.ts";
import { s6, selectiveScan } from "../models/s6.ts";
import { judgeOf } from "../oracle/allowance.ts";
import { reference } from "../oracle/reference.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("the fused selective scan");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

const extent = (T: number, N: number, D: number): Dims => ({ B: 2, T, H: 1, sizes: { D, N } });
function someState(dims: Dims): Float32Array {
  const random = seeded("state", dims.T);
  return Float32Array.from({ length: stateLength(s6, dims) }, () => random() - 0.5);
}

// Modes: one, fewer than a lane could hold, the usual number, more than a subgroup has lanes. D: no multiple of a tile's channels.
for (const [N, D] of [[1, 5], [3, 33], [16, 7], [32, 3]] as const) {
  gpuTest(`s6 with ${N} modes and ${D} channels is within its bound of step at every length`, async (device) => {
    const longest = extent(130, N, D);
    const execution = selectiveExecution(device);
    const initialState = someState(longest);
    for (const kind of ["long-memory", "random"] as const) {
      const inputs = sampleInputs(s6, longest, kind, 7);
      const judge = judgeOf(reference(s6, longest, inputs, initialState), execution.rounding);
      const lengths = kind === "random" ? [130] : [0, 1, 2, 7, 31, 32, 33, 64, 129, 130];
      for (const T of lengths) {
        const result = await execution.run(s6, { ...longest, T }, sliceInputs(s6, longest, inputs, 0, T), {
          initialState,
        });
        const verdict = judge.judge(result, T);
        assert(verdict.ok, `${kind}, T = ${T}: ${JSON.stringify(verdict.first)}`);
        if (T === 130) assertEquals(verdict.planted, "seen", `${kind}, T = ${T}`);
      }
    }
  });
}

gpuTest("s6 and its ungated form take steps from underflow to 500 without NaN", async (device) => {
  const execution = selectiveExecution(device);
  for (const model of [s6, selectiveScan({ gated: false })]) {
    const dims = extent(70, 16, 7);
    const inputs = sampleInputs(model, dims, "adversarial", 3);
    const judge = judgeOf(reference(model, dims, inputs), execution.rounding);
    const verdict = judge.judge(await execution.run(model, dims, inputs), dims.T);
    assert(verdict.ok, `${model.name}: ${JSON.stringify(verdict.first)}`);
  }
});

function joined({ B, T }: Dims, first: RunResult, second: RunResult): RunResult {
  const outputs = new Float32Array(first.outputs.length + second.outputs.length);
  const row = outputs.length / B;
  const [a, b] = [first.outputs.length / B, second.outputs.length / B];
  assertEquals(row, a + b, `numbers of ${T} tokens`);
  for (let n = 0; n < B; n++) {
    outputs.set(first.outputs.subarray(n * a, (n + 1) * a), n * row);
    outputs.set(second.outputs.subarray(n * b, (n + 1) * b), n * row + a);
  }
  return { outputs, finalState: second.finalState };
}

gpuTest("s6 resumed from its final state at any split is within the bound of the whole run", async (device) => {
  const dims = extent(130, 3, 33);
  const inputs: Inputs = sampleInputs(s6, dims, "long-memory", 9);
  const initialState = someState(dims);
  const execution = selectiveExecution(device);
  const judge = judgeOf(reference(s6, dims, inputs, initialState), execution.rounding);
  for (const split of [0, 1, 32, 99, 130]) {
    const part = (from: number, to: number, initialState: ArrayLike<number>): Promise<RunResult> =>
      execution.run(s6, { ...dims, T: to - from }, sliceInputs(s6, dims, inputs, from, to), { initialState });
    const first = await part(0, split, initialState);
    const second = await part(split, 130, first.finalState);
    const verdict = judge.judge(joined(dims, first, second), 130);
    assert(verdict.ok, `at ${split}: ${JSON.stringify(verdict.first)}`);
  }
});

gpuTest("s6's bound sees every fault", async (device) => {
  const dims = extent(130, 3, 33);
  const inputs = sampleInputs(s6, dims, "long-memory", 4);
  const execution = selectiveExecution(device);
  const judge = judgeOf(reference(s6, dims, inputs), execution.rounding);
  for (const fault of faults) {
    const result = await execution.planted!(fault).run(s6, dims, inputs);
    assert(!judge.judge(result, dims.T).ok, fault);
  }
});

gpuTest("the fused selective scan runs S6 and nothing else, and frees what it made", async (device) => {
  const execution = selectiveExecution(device);
  assertEquals(models.filter((model) => execution.supports!(model)).map(({ name }) => name), ["s6"]);
  const before = device.bytes.live;
  const dims = extent(7, 1, 5);
  const inputs = sampleInputs(s6, dims, "random", 1);
  await execution.run(s6, dims, inputs, { initialState: someState(dims) });
  await assertRejects(() => execution.run(s6, dims, { ...inputs, A: [1] }), InputError, "input A");
  await assertRejects(() => execution.run(s6, dims, inputs, { states: true }), InputError, "no state per token");
  assertEquals(device.bytes.live, before);
});
