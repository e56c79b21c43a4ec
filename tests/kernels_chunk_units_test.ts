/** Chunks of the family on matrix units: the same bounds in every mode, faults seen, and what it does not have refused. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { hardwareUnit, withoutHardware } from "../kernels/_matrix_hardware.ts";
import type { UnitsConfig } from "../kernels/chunk/_units_config.ts";
import { unitsShader } from "../kernels/chunk/_units_shader.ts";
import { chunkExecution, type ChunkRunOptions, runChunk } from "../kernels/chunk/execution.ts";
import { planChunkForward } from "../kernels/chunk/forward.ts";
import { chunkRoundings } from "../kernels/chunk/rounding.ts";
import { Tensor } from "../kernels/tensor.ts";
import type { AnyAffineModel } from "../models/affine.ts";
import { InputError } from "../models/error.ts";
import { type Dims, sampleInputs, sliceInputs, stateLength } from "../models/inputs.ts";
import { linearAttention } from "../models/linear_attention.ts";
import { mamba2 } from "../models/mamba2.ts";
import { retnet } from "../models/retnet.ts";
import { judgeOf } from "../oracle/allowance.ts";
import { reference } from "../oracle/reference.ts";
import { canonical, numbers } from "./chunk_canonical.ts";
import { gpuForTests } from "./gpu.ts";
import { withMatrixLoops } from "./matrix_loops.ts";
import { wgslValidator } from "./wgsl_validator.ts";
import { raggedArrays } from "./workgroup_layout.ts";

const gpu = await gpuForTests("chunks on matrix units");
const validator = await wgslValidator("the compiler on chunks on matrix units");
after(() => {
  validator?.close();
  return gpu?.close();
});

function gpuTest(name: string, body: (device: NonNullable<typeof gpu>) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

const units: ChunkRunOptions = { design: "units", mode: "f32" };
const extent = (T: number, K = 16, V = 16): Dims => ({ B: 2, T, H: 2, sizes: { K, V } });
const all = [linearAttention, retnet, mamba2];

for (const model of all) {
  gpuTest(
    `${model.name} in chunks on matrix units is within its bound at every length, and faults are not`,
    async (device) => {
      const dims = extent(77);
      const inputs = sampleInputs(model, dims, "long-memory", 7);
      const initialState = numbers(stateLength(model, dims), model.name);
      const options = { ...units, chunk: 32 };
      const execution = chunkExecution(device, options);
      const judge = judgeOf(reference(model, dims, inputs, initialState), execution.rounding);
      for (const T of [0, 1, 15, 16, 31, 32, 33, 64, 77]) {
        const part = sliceInputs(model, dims, inputs, 0, T);
        const result = await runChunk(device, model, { ...dims, T }, part, { initialState }, options);
        const verdict = judge.judge(result, T);
        assert(verdict.ok, `T = ${T}: ${JSON.stringify(verdict.first)}`);
        if (T === 77) assertEquals(verdict.planted, "seen");
      }
      for (const fault of execution.faults!) {
        if (model === linearAttention && fault === "swapped-operands") continue;
        const wrong = await execution.planted!(fault).run(model, dims, inputs, { initialState });
        assert(!judge.judge(wrong, dims.T).ok, JSON.stringify(fault));
      }
    },
  );
}

/** What `model` gives within its bound. */
async function within(
  device: NonNullable<typeof gpu>,
  model: AnyAffineModel,
  dims: Dims,
  kind: "random" | "long-memory" | "adversarial",
  options: ChunkRunOptions,
): Promise<void> {
  const inputs = sampleInputs(model, dims, kind, 5);
  const initialState = numbers(stateLength(model, dims), model.name);
  const judge = judgeOf(reference(model, dims, inputs, initialState), chunkExecution(device, options).rounding);
  const verdict = judge.judge(await runChunk(device, model, dims, inputs, { initialState }, options), dims.T);
  assert(
    verdict.ok,
    `${model.name} ${JSON.stringify({ ...dims, kind, ...options })}: ${JSON.stringify(verdict.first)}`,
  );
}

gpuTest("halves and split halves are within their bounds, also of adversarial inputs", async (device) => {
  for (const mode of ["f16", "split"] as const) {
    for (const kind of ["long-memory", "adversarial"] as const) {
      const options = { design: "units", mode, hardware: false, chunk: 32 } as const;
      await within(device, mamba2, extent(70), kind, options);
    }
  }
});

gpuTest("gates that are all shut, open or mixed are within the bound", async (device) => {
  const dims = extent(40);
  const base = sampleInputs(mamba2, dims, "random", 1);
  const patterns: ((i: number) => number)[] = [
    () => 2 ** -20,
    () => 104,
    (i) => i % 3 === 0 ? 104 : 2 ** -20,
    (i) => 2 ** -20 + i % 90,
  ];
  for (const pattern of patterns) {
    const inputs = { ...base, A: base.A!.map(() => -1), delta: base.delta!.map((_, i) => pattern(i)) };
    const judge = judgeOf(reference(mamba2, dims, inputs), chunkExecution(device, units).rounding);
    const verdict = judge.judge(await runChunk(device, mamba2, dims, inputs, {}, { ...units, chunk: 32 }), dims.T);
    assert(verdict.ok, JSON.stringify(verdict.first));
  }
});

gpuTest("tilings of other shapes, padded or not, are within the bound", async (device) => {
  const few = (K: number, V: number, T = 70): Dims => ({ B: 1, T, H: 2, sizes: { K, V } });
  const fits = device.limits.maxComputeWorkgroupStorageSize >= 32768;
  await within(device, mamba2, few(32, 16), "long-memory", {
    ...units,
    chunk: 16,
    pad: 8,
    unrolled: true,
  });
  await within(device, retnet, few(16, 48), "random", {
    ...units,
    chunk: 16,
    unrolled: true,
    columns: 48,
    threads: 64,
  });
  await within(device, mamba2, few(16, 16, 40), "random", { ...units, threads: 32 });
  if (!fits) return;
  const split = { design: "units", mode: "split", hardware: false } as const;
  await within(device, mamba2, few(16, 16, 150), "long-memory", { ...split, chunk: 16, threads: 64 });
});

gpuTest("largest numbers found in subgroups give what workgroup memory gives", async (device) => {
  const { min, max } = device.subgroups ?? { min: 0, max: 0 };
  if (min === 0 || min !== max || min < 4 || min > 32) return;
  const options = { design: "units", mode: "split", hardware: false, subgroups: true, chunk: 32 } as const;
  await within(device, mamba2, extent(70), "adversarial", options);
});

/** What halves in memory give: as of the tiles, roundings of a term, two more for each gate that it passes, and o's own. */
async function halvesWithin(
  device: NonNullable<typeof gpu>,
  kind: "none" | "scalar",
  dims: { readonly B: number; readonly T: number; readonly H: number; readonly K: number; readonly V: number },
  options: { readonly hardware: boolean; readonly chunk: number; readonly columns?: number },
): Promise<void> {
  const { T, K } = dims;
  const { hardware, chunk } = options;
  const { o, truth, magnitude } = await canonical(
    device,
    { kind },
    dims,
    { design: "units", mode: "f16", ...options },
    { halves: true },
  );
  const roundings = chunkRoundings({ K, chunk, mode: "f16", hardware }) + 2 * T + 3 * T;
  const allowed = (roundings * 2 ** -24 + 2 ** -11) * 1.01 * magnitude;
  const error = Array.from(truth).reduce((most, x, i) => Math.max(most, Math.abs(o[i]! - x)), 0);
  assert(error <= allowed, `${kind} ${JSON.stringify(options)}: ${error} > ${allowed}`);
  assert(magnitude * 2 ** -4 > allowed, "a dropped carry would show");
}

const looped = "the texts for matrix units, with loops for their products, are within the bound";
test(looped, { skip: gpu?.features.has("shader-f16") !== true }, async () => {
  const device = gpu!;
  const codes: string[] = [];
  const imitated = withMatrixLoops(device, codes);
  const options = { design: "units", hardware: true, chunk: 32, mode: "f16" } as const;
  await within(imitated, linearAttention, extent(40), "random", options);
  // Rows and columns that groups share otherwise; arrays are written over as soon as fragments are held.
  await within(imitated, mamba2, { B: 1, T: 40, H: 1, sizes: { K: 32, V: 48 } }, "long-memory", options);
  await halvesWithin(imitated, "scalar", { B: 1, T: 37, H: 2, K: 16, V: 32 }, { hardware: true, chunk: 16 });
  assertEquals(codes.filter((code) => code.includes("subgroupMatrixMultiplyAccumulate")).length, 3);
});

const hardware = gpu !== null && withoutHardware(gpu) === undefined;
if (!hardware) console.warn("not run: chunks on matrix units themselves: only on a GPU that has some");
test("matrix units themselves are within the bounds, and faults are not", { skip: !hardware }, async () => {
  const device = gpu!;
  for (const mode of ["f16", "split"] as const) {
    const options = { design: "units", mode, hardware: true } as const;
    for (const model of all) {
      const chunk = mode === "f16" ? 32 : 16;
      for (const kind of ["random", "long-memory", "adversarial"] as const) {
        await within(device, model, { B: 2, T: 200, H: 2, sizes: { K: 64, V: 64 } }, kind, { ...options, chunk });
      }
      for (const [K, V, T] of mode === "f16" ? [[128, 48, 77], [16, 32, 64]] as const : []) {
        await within(device, model, { B: 2, T, H: 2, sizes: { K, V } }, "long-memory", { ...options, chunk });
      }
      const dims = { B: 2, T: 200, H: 2, sizes: { K: 64, V: 64 } };
      if (mode === "f16") await within(device, model, dims, "random", options);
      const inputs = sampleInputs(model, dims, "long-memory", 3);
      const execution = chunkExecution(device, { ...options, chunk });
      const judge = judgeOf(reference(model, dims, inputs), execution.rounding);
      for (const fault of ["dropped-carry", "swapped-operands"] as const) {
        if (model === linearAttention && fault === "swapped-operands") continue;
        const faulty = await execution.planted!(fault).run(model, dims, inputs, {});
        assert(!judge.judge(faulty, dims.T).ok, `${model.name} ${mode} ${fault}`);
      }
    }
  }
  for (const kind of ["none", "scalar"] as const) {
    for (const chunk of [64, 32, 16]) {
      await halvesWithin(device, kind, { B: 2, T: 200, H: 2, K: 64, V: 64 }, { hardware: true, chunk });
    }
  }
});

test("arrays that would shift the rows of others are seen", () => {
  const code = (n: number): string => `var<workgroup> a: array<f16, 64>;\nvar<workgroup> b: array<atomic<u32>, ${n}>;`;
  assertEquals(raggedArrays(code(3)), ["b: array<atomic<u32>, 3>"]);
  assertEquals(raggedArrays(code(4)), []);
});

gpuTest("halves in memory are read and written as such", async (device) => {
  for (const kind of ["scalar", "none"] as const) {
    await halvesWithin(device, kind, { B: 1, T: 37, H: 2, K: 16, V: 32 }, { hardware: false, chunk: 32, columns: 16 });
  }
});

gpuTest("what chunks on matrix units do not have is refused before any work", async (device) => {
  const [B, T, H, K, V] = [1, 3, 1, 16, 16];
  const empty = (...shape: number[]): Tensor => Tensor.empty(device, shape);
  const good = { q: empty(B, T, H, K), k: empty(B, T, H, K), v: empty(B, T, H, V), o: empty(B, T, H, V) };
  const before = device.bytes.live;
  const refused = (given: object, options: object, words: string): Promise<unknown> =>
    assertRejects(
      () =>
        planChunkForward(device, { ...good, ...given }, {
          decay: { kind: "none" },
          design: "units",
          mode: "f32",
          ...options,
        }),
      InputError,
      `Cannot run chunks on matrix units: ${words}`,
    );
  const gates = empty(B, T, H, K);
  await refused({ g: gates }, { decay: { kind: "diagonal" } }, "its decay must be none or scalar, got diagonal");
  const nothing = { q: empty(B, 0, H, K), k: empty(B, 0, H, K), v: empty(B, 0, H, V), o: empty(B, 0, H, V) };
  await refused(
    { ...nothing, g: empty(B, 0, H, K) },
    { decay: { kind: "diagonal" } },
    "its decay must be none or scalar",
  );
  const narrow = empty(B, T, H, 8);
  await refused({ q: narrow, k: narrow }, {}, "K must be a multiple of 16 up to 128, got 8");
  await refused({}, { chunk: 48 }, "chunk must be 16, 32 or 64, got 48");
  await refused({}, { segments: 2 }, "segments must be 1, got 2");
  await refused({}, { slice: 16 }, "slice must be left out, got 16");
  await refused({}, { columns: 32 }, "columns must be a multiple of 16 that divides 16, got 32");
  await refused({}, { chunk: 32, threads: 40 }, "threads must be a multiple of 32 from 32");
  await refused({ g: empty(B, T, H) }, { decay: { kind: "scalar", form: "factor" } }, "factors by token");
  gates.destroy();
  narrow.destroy();
  assert(device.bytes.live >= before);
});

test("the compiler accepts chunks on matrix units", { skip: validator === null }, async () => {
  const lanes = { subgroups: { min: 32, max: 32 } } as unknown as Parameters<typeof hardwareUnit>[0];
  for (const mode of ["f16", "split"] as const) {
    for (const [kind, per, K] of [["none", "token", 128], ["scalar", "token", 64], ["scalar", "head", 64]] as const) {
      const [chunk, columns] = K === 128 || mode === "split" ? [32, 32] : [64, 64];
      const config: UnitsConfig = {
        kind,
        form: per === "head" ? "factor" : "log",
        per,
        K,
        V: K,
        chunk,
        columns,
        threads: 256,
        unit: hardwareUnit(lanes, mode),
        pad: 8,
        unrolled: true,
        subgroup: 32,
        dtype: mode === "f16" ? "f16" : "f32",
        gateDtype: "f32",
        initial: true,
        final: true,
        fault: undefined,
        factor: "",
      };
      assertEquals(await validator!.error(unitsShader(config).code), undefined, `${mode} ${kind} ${per}`);
    }
  }
});
