/** Models of the chunked family by a walk instead of tiles: the same bounds, faults seen, and what cannot be walked refused. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { chunkExecution, type ChunkRunOptions, runChunk } from "../kernels/chunk/execution.ts";
import { chunkModels } from "../kernels/chunk/family.ts";
import { planChunkForward } from "../kernels/chunk/forward.ts";
import { Tensor } from "../kernels/tensor.ts";
import { InputError } from "../models/error.ts";
import { type Dims, type Inputs, sampleInputs, stateLength } from "../models/inputs.ts";
import { gla } from "../models/gla.ts";
import { mlstm } from "../models/mlstm.ts";
import { retnet } from "../models/retnet.ts";
import { rwkv6 } from "../models/rwkv6.ts";
import { seeded } from "../models/random.ts";
import { judgeOf } from "../oracle/allowance.ts";
import { reference } from "../oracle/reference.ts";
import { gpuForTests, withTraits } from "./gpu.ts";

const gpu = await gpuForTests("models of the chunked family by a walk");
after(() => gpu?.close());

const walk: ChunkRunOptions = { design: "walk" };

for (const { model, decay, skip, k } of chunkModels) {
  test(`${model.name} walked through is within its bound, and faults are not`, { skip: gpu === null }, async () => {
    const dims: Dims = { B: 2, T: 70, H: 2, sizes: { K: 5, V: 3 } };
    const random = seeded("state", model.name);
    // A shared exponent is whole.
    const state = Float32Array.from(
      { length: stateLength(model, dims) },
      (_, n) => model.action === "scaled" && n % 2 === 1 ? 3 : random(),
    );
    const execution = chunkExecution(gpu!, walk);
    for (const kind of ["long-memory", "adversarial"] as const) {
      const inputs = sampleInputs(model, dims, kind, 5);
      const judge = judgeOf(reference(model, dims, inputs, state), execution.rounding);
      const verdict = judge.judge(await runChunk(gpu!, model, dims, inputs, { initialState: state }, walk), dims.T);
      assert(verdict.ok, `${kind}: ${JSON.stringify(verdict.first)}`);
      if (kind !== "long-memory") continue;
      assertEquals(verdict.planted, "seen");
      const faults = decay.kind === "none" ? ["relative", "dropped-carry"] as const : execution.faults!;
      for (const fault of faults) {
        const wrong = await execution.planted!(fault).run(model, dims, inputs, { initialState: state });
        assert(!judge.judge(wrong, dims.T).ok, `${fault} ${skip} ${JSON.stringify(k)}`);
      }
    }
  });
}

test("a device that binds eight buffers walks where dividing takes ten", { skip: gpu === null }, async () => {
  const dims: Dims = { B: 1, T: 35, H: 2, sizes: { K: 5, V: 3 } };
  const random = seeded("eight buffers");
  const initialState = Float32Array.from({ length: stateLength(mlstm, dims) }, (_, n) => n % 2 === 1 ? 3 : random());
  const inputs = sampleInputs(mlstm, dims, "long-memory", 5);
  const judge = judgeOf(reference(mlstm, dims, inputs, initialState), chunkExecution(gpu!, walk).rounding);
  await withTraits(gpu!, { limits: { maxStorageBuffersPerShaderStage: 8 } }, async () => {
    const verdict = judge.judge(await runChunk(gpu!, mlstm, dims, inputs, { initialState }, walk), dims.T);
    assert(verdict.ok, JSON.stringify(verdict.first));
  });
});

for (const model of [gla, rwkv6]) {
  test(`${model.name} in segments is within the bound, and sees a dropped carry`, { skip: gpu === null }, async () => {
    // Sizes that software compiles quickly.
    const dims: Dims = { B: 1, T: 70, H: 2, sizes: { K: 7, V: 2 } };
    const inputs = sampleInputs(model, dims, "long-memory", 5);
    const execution = chunkExecution(gpu!, { ...walk, segments: 3 });
    const judge = judgeOf(reference(model, dims, inputs), execution.rounding);
    assert(judge.judge(await execution.run(model, dims, inputs), dims.T).ok);
    assert(!judge.judge(await execution.planted!("dropped-carry").run(model, dims, inputs), dims.T).ok);
  });
}

/** Row 0 of `B`, up to `T` tokens, of inputs by token `[B, T, …]`; what has no tokens stays. */
function cut(inputs: Inputs, { B, T }: Dims, tokens: number): Inputs {
  return Object.fromEntries(
    Object.entries(inputs).map((
      [name, x],
    ) => [name, x.length % (B * T) === 0 ? Array.from(x).slice(0, x.length / B / T * tokens) : x]),
  );
}

// Few sequences would have narrower workgroups, and sums another order, if that were left to them.
test(
  "a walk in one segment: a row's bits hang neither on the batch nor on later tokens",
  { skip: gpu === null },
  async () => {
    const options = { ...walk, segments: 1 };
    for (const [model, B, T, tokens] of [[gla, 64, 20, 20], [retnet, 64, 70, 53]] as const) {
      const dims: Dims = { B, T, H: 2, sizes: { K: 64, V: 32 } };
      const inputs = sampleInputs(model, dims, "long-memory", 5);
      const all = await runChunk(gpu!, model, dims, inputs, {}, options);
      const one = await runChunk(gpu!, model, { ...dims, B: 1, T: tokens }, cut(inputs, dims, tokens), {}, options);
      assert(one.outputs.some((x) => x !== 0));
      assertEquals(one.outputs, all.outputs.slice(0, one.outputs.length), model.name);
    }
  },
);

test("what cannot be walked through is refused, and no token is no walk", { skip: gpu === null }, async () => {
  const [B, T, H, K, V] = [1, 3, 1, 4, 4];
  const empty = (...shape: number[]): Tensor => Tensor.empty(gpu!, shape);
  const all = { q: empty(B, T, H, K), k: empty(B, T, H, K), v: empty(B, T, H, V), o: empty(B, T, H, V) };
  const kept = { ...all, chunkStates: empty(B, 1, H, K, V) };
  await assertRejects(
    () => planChunkForward(gpu!, kept, { decay: { kind: "none" }, design: "walk" }),
    InputError,
    "Cannot walk through chunks: states at chunk starts are kept by tiles",
  );
  const { model } = chunkModels[0]!;
  const dims: Dims = { B: 1, T: 0, H: 1, sizes: { K: 4, V: 3 } };
  const { finalState } = await runChunk(gpu!, model, dims, sampleInputs(model, dims, "random", 1), {}, walk);
  assertEquals(finalState, new Float32Array(12));
});
