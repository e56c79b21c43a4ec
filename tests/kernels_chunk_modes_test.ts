/** The forward kernel of chunks in every mode, at many sizes and tilings; halves as storage; WGSL for matrix units. */
import { after, test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { hardwareUnit } from "../kernels/_matrix_hardware.ts";
import type { ForwardConfig } from "../kernels/chunk/_config.ts";
import { forwardShader } from "../kernels/chunk/_forward_shader.ts";
import { chunkExecution, type ChunkRunOptions, runChunk } from "../kernels/chunk/execution.ts";
import { planChunkForward } from "../kernels/chunk/forward.ts";
import { chunkRoundings } from "../kernels/chunk/rounding.ts";
import { matrixUnit } from "../kernels/matrix_unit.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import type { AnyAffineModel } from "../models/affine.ts";
import { gla } from "../models/gla.ts";
import { type Dims, sampleInputs, stateLength } from "../models/inputs.ts";
import { linearAttention } from "../models/linear_attention.ts";
import { mamba2 } from "../models/mamba2.ts";
import { mlstm } from "../models/mlstm.ts";
import { retnet } from "../models/retnet.ts";
import { rwkv6 } from "../models/rwkv6.ts";
import { judgeOf } from "../oracle/allowance.ts";
import { reference, trueOutputs } from "../oracle/reference.ts";
import { POISON32 } from "../oracle/ulp.ts";
import { canonical, numbers } from "./chunk_canonical.ts";
import { gpuForTests } from "./gpu.ts";
import { wgslValidator } from "./wgsl_validator.ts";

const gpu = await gpuForTests("the forward kernel of chunks in every mode");
const validator = await wgslValidator("the compiler on the chunk kernels for matrix units");
after(() => {
  validator?.close();
  return gpu?.close();
});

function gpuTest(name: string, body: (device: NonNullable<typeof gpu>) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

/** What `model` gives within its bound, at T tokens of one class of inputs. */
async function within(
  device: NonNullable<typeof gpu>,
  model: AnyAffineModel,
  dims: Dims,
  kind: "random" | "long-memory" | "adversarial",
  options: ChunkRunOptions,
): Promise<void> {
  const inputs = sampleInputs(model, dims, kind, 5);
  const initialState = numbers(stateLength(model, dims), model.name).map((x, n) =>
    model.action === "scaled" && n % 2 === 1 ? 3 : model.normaliser ? Math.abs(x) : x
  );
  const { rounding } = chunkExecution(device, options);
  const judge = judgeOf(reference(model, dims, inputs, initialState), rounding);
  const verdict = judge.judge(await runChunk(device, model, dims, inputs, { initialState }, options), dims.T);
  assert(
    verdict.ok,
    `${model.name} ${JSON.stringify({ ...dims, kind, ...options })}: ${JSON.stringify(verdict.first)}`,
  );
  if (options.mode !== "f16" && kind === "long-memory") assertEquals(verdict.planted, "seen", model.name);
}

const extent = (T: number, K: number, V: number, B = 1, H = 2): Dims => ({ B, T, H, sizes: { K, V } });

gpuTest("f32 is within the bound at many sizes and tilings", async (device) => {
  const f32 = { mode: "f32" } as const;
  await within(device, linearAttention, extent(70, 64, 64, 1, 1), "long-memory", { ...f32, chunk: 64 });
  await within(device, retnet, extent(20, 20, 5), "random", { ...f32, slice: 16, chunk: 16, unrolled: true });
  await within(device, mamba2, extent(50, 16, 24), "random", { ...f32, threads: 64, pad: 8 });
  await within(device, gla, extent(37, 20, 256, 1, 1), "long-memory", f32);
  await within(device, gla, extent(21, 80, 48, 1, 1), "random", { ...f32, slice: 32 });
});

gpuTest("split halves are within the bound, also of adversarial inputs", async (device) => {
  const split = { mode: "split", hardware: false } as const;
  for (const kind of ["long-memory", "adversarial"] as const) {
    await within(device, mamba2, extent(70, 16, 24), kind, split);
    await within(device, gla, extent(70, 16, 24), kind, split);
    await within(device, rwkv6, extent(70, 16, 24), kind, split);
    await within(device, mlstm, extent(70, 16, 24), kind, split);
    await within(device, retnet, extent(37, 36, 17), kind, { ...split, slice: 16 });
  }
});

gpuTest("halves are within their own bound", async (device) => {
  const f16 = { mode: "f16", hardware: false } as const;
  for (const kind of ["long-memory", "adversarial"] as const) {
    await within(device, mamba2, extent(70, 16, 24), kind, f16);
    await within(device, gla, extent(70, 16, 24), kind, f16);
    await within(device, mlstm, extent(70, 16, 24), kind, f16);
  }
});

gpuTest("segments of time are within the bound, and see a dropped carry", async (device) => {
  for (const model of [linearAttention, mamba2, mlstm, gla]) {
    const options = { mode: "f32", segments: 3 } as const;
    await within(device, model, extent(130, 4, 3), "long-memory", options);
    const dims = extent(130, 4, 3);
    const inputs = sampleInputs(model, dims, "long-memory", 5);
    const execution = chunkExecution(device, options);
    const judge = judgeOf(reference(model, dims, inputs), execution.rounding);
    if (model !== mamba2) continue;
    assert(!judge.judge(await execution.planted!("dropped-carry").run(model, dims, inputs), dims.T).ok, model.name);
  }
});

gpuTest("exchanges in subgroups give what workgroup memory gives", async (device) => {
  const { min, max } = device.subgroups ?? { min: 0, max: 0 };
  if (min === 0 || min !== max || min < 4) return;
  const options = { hardware: false, subgroups: true, slice: 16, threads: 64 } as const;
  await within(device, gla, extent(40, 20, 8), "long-memory", { ...options, mode: "f32" });
  await within(device, rwkv6, extent(40, 20, 8), "adversarial", { ...options, mode: "split" });
});

const furthest = (got: ArrayLike<number>, truth: ArrayLike<number>): number =>
  Array.from(truth).reduce((most, x, i) => Math.max(most, Math.abs(got[i]! - x)), 0);

gpuTest("halves in memory are read and written as such", async (device) => {
  for (const [mode, decay, K, V] of [["f32", "scalar", 8, 6], ["f16", "diagonal", 7, 10]] as const) {
    const dims = { B: 1, T: 37, H: 2, K, V };
    const { o, truth, magnitude } = await canonical(device, { kind: decay }, dims, { mode, hardware: false }, {
      halves: true,
    });
    // Roundings of a term, two more for each gate that it passes (a sum of |g| ≤ 0.2 bounds its exponential), and o's own.
    const roundings = chunkRoundings({ K, chunk: 32, mode, hardware: false }) + 2 * 37 + 3 * 37;
    const allowed = (roundings * 2 ** -24 + 2 ** -11) * 1.01 * magnitude;
    const error = furthest(o, truth);
    assert(error <= allowed, `${mode} ${decay}: ${error} > ${allowed}`);
    assert(magnitude * 2 ** -4 > allowed, "a dropped carry would show");
  }
});

gpuTest("states at chunk starts are those of the recurrence", async (device) => {
  for (const [kind, chunk, segments] of [["none", 32, 1], ["scalar", 32, 2], ["diagonal", 32, 1]] as const) {
    const dims = { B: 2, T: 70, H: 2, K: 5, V: 6 };
    const options = { mode: "f32", segments } as const;
    const { chunkStates, states, o, truth } = await canonical(device, { kind }, dims, options, { chunk });
    // |k v| ≤ 1/4 in 70 tokens; as above.
    const allowed = (chunkRoundings({ K: 5, chunk, mode: "f32", hardware: false }) + 5 * 70) * 2 ** -24 * 70 / 4 * 1.01;
    assert(furthest(chunkStates!, states) <= allowed, kind);
    assert(furthest(o, truth) <= allowed * 5 / 2, kind);
  }
});

gpuTest("no tokens leave the state as it is", async (device) => {
  for (const given of [false, true]) {
    const initial = Tensor.from(device, numbers(2 * 8 * 4, "initial"), [1, 2, 8, 4]);
    const final = Tensor.from(device, new Float32Array(64).fill(POISON32), [1, 2, 8, 4]);
    const [q, v, o] = [8, 4, 4].map((n) => Tensor.empty(device, [1, 0, 2, n]));
    const tensors = { q: q!, k: q!, v: v!, o: o!, final, ...(given ? { initial } : {}) };
    const plan = await planChunkForward(device, tensors, { decay: { kind: "none" }, mode: "f32" });
    await runPlans(device, "no tokens", [plan]);
    assertEquals(await final.read(), given ? await initial.read() : new Float32Array(64));
    plan.release();
  }
});

gpuTest("a device's default is within its bound", async (device) => {
  const unit = matrixUnit(device);
  const dims = extent(50, 16, 24);
  for (const model of [retnet, gla]) await within(device, model, dims, "long-memory", {});
  assertEquals(chunkExecution(device).name.includes(device.adapter.software ? unit.mode : "walk"), true);
  assert(trueOutputs(reference(gla, dims, sampleInputs(gla, dims, "random", 1)), 50).length > 0);
});

test("the compiler accepts the kernels for matrix units", { skip: validator === null }, async () => {
  const lanes = { subgroups: { min: 32, max: 32 } } as unknown as Parameters<typeof hardwareUnit>[0];
  for (const mode of ["f16", "split"] as const) {
    for (const kind of ["none", "scalar", "diagonal"] as const) {
      for (
        const [pass, pre, slice, threads] of [
          ["outputs", false, 64, 256],
          ["outputs", kind === "diagonal", 32, 128],
          ["ends", false, 64, 256],
        ] as const
      ) {
        const config: ForwardConfig = {
          kind,
          form: "log",
          per: "token",
          pre,
          K: 64,
          V: 64,
          unit: hardwareUnit(lanes, mode),
          chunk: kind === "diagonal" ? 16 : 32,
          columns: 32,
          slice,
          pad: 0,
          threads,
          unrolled: true,
          subgroup: 32,
          dtype: mode === "f16" ? "f16" : "f32",
          gateDtype: "f32",
          pass,
          initial: pass === "outputs",
          final: pass === "outputs",
          statesEvery: 0,
          fault: undefined,
          factor: "",
        };
        assertEquals(await validator!.error(forwardShader(config).code), undefined, `${mode} ${kind} ${pass} ${slice}`);
      }
    }
  }
});
