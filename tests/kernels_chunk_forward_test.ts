/** The chunked linear attention family's forward kernel against the models' steps: derived bounds, and planted faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { chunkExecution, type ChunkRunOptions, runChunk } from "../kernels/chunk/execution.ts";
import { chunkModels } from "../kernels/chunk/family.ts";
import { planChunkForward } from "../kernels/chunk/forward.ts";
import { Tensor } from "../kernels/tensor.ts";
import type { AnyAffineModel } from "../models/affine.ts";
import { deltaNet } from "../models/delta_net.ts";
import { InputError } from "../models/error.ts";
import type { RunResult } from "../models/execution.ts";
import { gla } from "../models/gla.ts";
import { type Dims, sampleInputs, sliceInputs, stateLength } from "../models/inputs.ts";
import { linearAttention } from "../models/linear_attention.ts";
import { mlstm } from "../models/mlstm.ts";
import { seeded } from "../models/random.ts";
import { retnet } from "../models/retnet.ts";
import { rwkv6 } from "../models/rwkv6.ts";
import { type Judge, judgeOf } from "../oracle/allowance.ts";
import { reference } from "../oracle/reference.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("the forward kernel of chunks against the models' steps");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: NonNullable<typeof gpu>) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

const family = chunkModels.map(({ model }) => model);
const plain: ChunkRunOptions = { mode: "f32" };
const extent = (T: number, K = 4, V = 3): Dims => ({ B: 2, T, H: 2, sizes: { K, V } });

/** A state inside the contract: a normaliser's column, and what it divides, must not cancel. */
function someState(model: AnyAffineModel, dims: Dims): Float32Array {
  const random = seeded("state", model.name);
  return Float32Array.from({ length: stateLength(model, dims) }, (_, n) => {
    const x = model.normaliser ? random() : random() - 0.5;
    // Exponents are whole, one per batch row and head.
    return model.action === "scaled" && n % 2 === 1 ? 2 : x;
  });
}

for (const model of family) {
  gpuTest(`${model.name} in chunks is within its bound of step at every length`, async (device) => {
    const lengths = [0, 1, 15, 16, 17, 31, 32, 33, 64, 77];
    const dims = extent(77);
    const inputs = sampleInputs(model, dims, "long-memory", 7);
    const initialState = someState(model, dims);
    const judge = judgeOf(reference(model, dims, inputs, initialState), chunkExecution(device, plain).rounding);
    for (const T of lengths) {
      const part = sliceInputs(model, dims, inputs, 0, T);
      const result = await runChunk(device, model, { ...dims, T }, part, { initialState }, plain);
      const verdict = judge.judge(result, T);
      assert(verdict.ok, `T = ${T}: ${JSON.stringify(verdict.first)}`);
      if (T === 77) assertEquals(verdict.planted, "seen");
    }
  });
}

gpuTest("every model in chunks is within its bound on random and adversarial inputs", async (device) => {
  let judged = 0;
  for (const kind of ["random", "adversarial"] as const) {
    for (const model of family) {
      const dims = extent(70);
      const inputs = sampleInputs(model, dims, kind, 3);
      const initialState = someState(model, dims);
      let judge: Judge;
      try {
        judge = judgeOf(reference(model, dims, inputs, initialState), chunkExecution(device, plain).rounding);
      } catch (error) {
        // The bound predicts an overflow on these inputs: nothing is claimed of them.
        if (kind === "adversarial" && error instanceof InputError) continue;
        throw error;
      }
      judged++;
      const verdict = judge.judge(await runChunk(device, model, dims, inputs, { initialState }, plain), dims.T);
      assert(verdict.ok, `${model.name}, ${kind}: ${JSON.stringify(verdict.first)}`);
    }
  }
  assert(judged >= 2 * family.length - 1, `${judged} judged`);
});

gpuTest("gates that are all shut, all open or mixed leave no NaN and nothing that should have gone", async (device) => {
  const dims = extent(40);
  const base = sampleInputs(gla, dims, "random", 1);
  const patterns: ((i: number) => number)[] = [() => 0, () => -104, (i) => i % 3 === 0 ? -104 : 0, (i) => -(i % 90)];
  for (const pattern of patterns) {
    const inputs = { ...base, g: base.g!.map((_, i) => pattern(i)) };
    const judge = judgeOf(reference(gla, dims, inputs), chunkExecution(device, plain).rounding);
    const initialState = new Float32Array(stateLength(gla, dims));
    const verdict = judge.judge(await runChunk(device, gla, dims, inputs, { initialState }, plain), dims.T);
    assert(verdict.ok, JSON.stringify(verdict.first));
  }
});

/** The outputs of two runs, the second from the first's end, as those of one. */
function joinedRuns(dims: Dims, first: RunResult, second: RunResult): RunResult {
  const [a, b] = [first.outputs, second.outputs];
  const outputs = new Float32Array(a.length + b.length);
  for (let row = 0; row < dims.B; row++) {
    const at = row * outputs.length / dims.B;
    outputs.set(a.subarray(row * a.length / dims.B, (row + 1) * a.length / dims.B), at);
    outputs.set(b.subarray(row * b.length / dims.B, (row + 1) * b.length / dims.B), at + a.length / dims.B);
  }
  return { outputs, finalState: second.finalState };
}

gpuTest("a run resumed from its state at any split is within the bound of the whole", async (device) => {
  for (const model of [linearAttention, retnet, mlstm, gla, rwkv6]) {
    const dims = extent(66);
    const inputs = sampleInputs(model, dims, "long-memory", 9);
    const initialState = someState(model, dims);
    const judge = judgeOf(reference(model, dims, inputs, initialState), chunkExecution(device, plain).rounding);
    for (const split of [0, 1, 16, 37, 66]) {
      const head = sliceInputs(model, dims, inputs, 0, split);
      const tail = sliceInputs(model, dims, inputs, split, dims.T);
      const first = await runChunk(device, model, { ...dims, T: split }, head, { initialState }, plain);
      const from = { initialState: first.finalState };
      const second = await runChunk(device, model, { ...dims, T: dims.T - split }, tail, from, plain);
      const verdict = judge.judge(joinedRuns(dims, first, second), dims.T);
      assert(verdict.ok, `${model.name} at ${split}: ${JSON.stringify(verdict.first)}`);
    }
  }
});

for (const model of [retnet, mlstm, gla]) {
  gpuTest(`the bound of ${model.name} in chunks sees planted faults`, async (device) => {
    const dims = extent(77);
    const inputs = sampleInputs(model, dims, "long-memory", 4);
    const initialState = someState(model, dims);
    const execution = chunkExecution(device, plain);
    const judge = judgeOf(reference(model, dims, inputs, initialState), execution.rounding);
    for (const fault of execution.faults!) {
      const result = await execution.planted!(fault).run(model, dims, inputs, { initialState });
      assert(!judge.judge(result, dims.T).ok, fault);
    }
  });
}

gpuTest("bad shapes, tiles and models are refused before any work", async (device) => {
  const tensor = (...shape: number[]): Tensor => Tensor.empty(device, shape);
  const q = tensor(1, 5, 2, 4);
  const v = tensor(1, 5, 2, 3);
  const none = { decay: { kind: "none" as const } };
  const good = { q, k: q, v, o: tensor(1, 5, 2, 3) };
  const refused = (given: Parameters<typeof planChunkForward>[1], options: object, words: string): Promise<unknown> =>
    assertRejects(() => planChunkForward(device, given, { ...none, ...options }), InputError, words);
  await refused({ ...good, k: v }, {}, "k must be [1, 5, 2, 4]");
  await refused({ ...good, o: q }, {}, "o must be");
  await refused({ ...good, g: q }, {}, "g must be absent");
  await refused(good, { decay: { kind: "scalar" } }, "needs g");
  await refused({ ...good, u: tensor(2, 4) }, {}, "needs a diagonal decay");
  await refused(good, { chunk: 24 }, "chunk must be 16, 32 or 64");
  await refused(good, { columns: 8 }, "columns must be a multiple of 16");
  await refused(good, { threads: 40 }, "threads must be");
  await refused(good, { segments: 0 }, "segments must be");
  await refused(good, { chunk: 64, columns: 4096 }, "bytes of workgroup memory");
  await refused({ ...good, q: tensor(1, 5, 2, 300), k: tensor(1, 5, 2, 300) }, {}, "K must be in 1 … 256");
  const dims = extent(3);
  await assertRejects(
    () => runChunk(device, deltaNet, dims, sampleInputs(deltaNet, dims, "random", 1)),
    InputError,
    "delta-net",
  );
  const before = device.bytes.live;
  const inputs = sampleInputs(gla, dims, "random", 1);
  await assertRejects(() => runChunk(device, gla, dims, { ...inputs, g: [1] }), InputError, "input g");
  await assertRejects(() => runChunk(device, gla, dims, inputs, { initialState: [1] }), InputError, "initial state");
  await assertRejects(() => runChunk(device, gla, dims, inputs, {}, { threads: 7 }), InputError, "threads");
  assertEquals(device.bytes.live, before);
});
