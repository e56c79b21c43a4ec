/**
 * The chunked linear attention family's forward kernel, on tiles or on matrix units: linear attention with each kind
 * of decay, and RWKV-6, which reads a state before its update.
 *
 * @module
 */
import { type Decay, gateShape } from "../../kernels/chunk/family.ts";
import { type ChunkTuning, planChunkForward } from "../../kernels/chunk/forward.ts";
import type { Gpu } from "../../kernels/device.ts";
import { unpackHalves } from "../../kernels/half.ts";
import { matrixUnit } from "../../kernels/matrix_unit.ts";
import { type DType, Tensor } from "../../kernels/tensor.ts";
import { queryScale } from "../../models/affine.ts";
import { chunkTruth } from "./_chunk_truth.ts";
import { boundedError, worstError } from "./errors.ts";
import type { FusedLine, LineError, LineShape, Prepared, Variant } from "./line.ts";
import { randomTensor } from "./random.ts";

/** Tokens of the largest chunk. */
const CHUNK = 64;

/** One sequence and head of a tensor `[B, T, H, width]`. */
async function sequence(gpu: Gpu, tensor: Tensor, b: number, h: number): Promise<Float32Array> {
  const [, T = 1, H = 1, width = 1] = tensor.shape;
  const range = { offset: b * T * H * width, length: T * H * width };
  const all = tensor.dtype === "f16"
    ? unpackHalves(await gpu.read(tensor.buffer, Uint16Array, range))
    : await gpu.read(tensor.buffer, Float32Array, range);
  const out = new Float32Array(T * width);
  for (let t = 0; t < T; t++) out.set(all.subarray((t * H + h) * width, (t * H + h + 1) * width), t * width);
  return out;
}

/** RetNet's decays. */
function retention(H: number): Float32Array {
  return Float32Array.from({ length: H }, (_, h) => 1 - 2 ** (-5 - h));
}

/** Tensors and plan of one tuning, on tiles unless its design says otherwise; RWKV-6 has a bonus and no scale. */
export async function prepareChunks(
  gpu: Gpu,
  decay: Decay,
  dtype: DType,
  { B = 1, T = 1, H = 1, K = 1, V = 1 }: LineShape,
  tuning: ChunkTuning,
  model?: "rwkv6",
): Promise<Prepared> {
  const tensors: Tensor[] = [];
  const keep = (tensor: Tensor): Tensor => {
    tensors.push(tensor);
    return tensor;
  };
  const release = (): void => tensors.forEach((tensor) => tensor.destroy());
  try {
    const random = async (shape: readonly number[], seed: number, low: number, high: number): Promise<Tensor> =>
      keep(await randomTensor(gpu, shape, { seed, low, high, dtype }));
    const q = await random([B, T, H, K], 1, -1, 1);
    const k = await random([B, T, H, K], 2, -1, 1);
    const v = await random([B, T, H, V], 3, -1, 1);
    const shape = gateShape(decay, { B, T, H, K });
    const g = shape === undefined
      ? undefined
      : decay.per === "head"
      ? keep(Tensor.from(gpu, retention(H), shape))
      : await random(shape, 4, -0.1, 0);
    const u = model === undefined ? undefined : keep(await randomTensor(gpu, [H, K], { seed: 5, low: -1, high: 1 }));
    const o = keep(Tensor.empty(gpu, [B, T, H, V], { dtype }));
    const scale = model === undefined ? queryScale(K) : 1;
    const plan = await planChunkForward(gpu, {
      q,
      k,
      v,
      o,
      ...(g === undefined ? {} : { g }),
      ...(u === undefined ? {} : { u }),
    }, {
      design: "tiles",
      ...tuning,
      decay,
      scale,
    });
    const mode = tuning.mode ?? (plan.variant.split(" ")[0] as "f32" | "f16" | "split");
    const { hardware } = matrixUnit(gpu, { mode });

    /** Log gates of a sequence, `[T]` or `[T, K]`. */
    const sequenceGates = (tensor: Tensor, b: number, h: number): Promise<Float32Array> => {
      const wide = decay.kind === "diagonal" ? K : 1;
      return sequence(gpu, new Tensor(gpu, tensor.buffer, [B, T, H, wide], dtype), b, h);
    };
    const check = async (): Promise<LineError> => {
      const errors: LineError[] = [];
      for (const [b, h] of B * H === 1 ? [[0, 0]] as const : [[0, 0], [B - 1, H - 1]] as const) {
        const gates = g === undefined ? undefined : decay.per === "head" ? retention(H) : await sequenceGates(g, b, h);
        const gate = gates === undefined
          ? undefined
          : decay.per === "head"
          ? () => gates[h]!
          : decay.kind === "scalar"
          ? (t: number) => Math.exp(gates[t]!)
          : (t: number, i: number) => Math.exp(gates[t * K + i]!);
        const { outputs, radii } = chunkTruth({
          T,
          K,
          V,
          q: Float64Array.from(await sequence(gpu, q, b, h), (x) => x * scale),
          k: await sequence(gpu, k, b, h),
          v: await sequence(gpu, v, b, h),
          gate,
          bonus: (await u?.read())?.subarray(h * K, (h + 1) * K),
        }, {
          mode,
          hardware,
          chunk: CHUNK,
          // The product, and 3 units of the exponential with 2^−10 for each unit of |g| ≤ 0.1.
          gateRoundings: decay.form === "factor" ? 1 : 4 + 2 ** -13,
          stored: dtype === "f16" ? 2 ** -11 : 0,
        });
        errors.push(boundedError(await sequence(gpu, o, b, h), outputs, radii));
      }
      return worstError(errors);
    };

    return {
      plans: [plan],
      tokens: B * T * H,
      check,
      release() {
        plan.release();
        release();
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}

const shapes: readonly LineShape[] = [{ B: 8, T: 4096, H: 16, K: 64, V: 64 }, { B: 4, T: 4096, H: 8, K: 128, V: 128 }];
const small: LineShape = { B: 1, T: 70, H: 2, K: 16, V: 16 };

const tunings: readonly ChunkTuning[] = [
  {},
  { mode: "f32" },
  { mode: "f32", unrolled: true, subgroups: true },
  { threads: 128 },
  { threads: 512 },
  { chunk: 16 },
  { chunk: 64 },
  { columns: 16 },
  { columns: 16, threads: 128 },
  { columns: 64 },
  { columns: 64, slice: 32, threads: 512 },
  { slice: 32 },
  { slice: 32, columns: 16, threads: 128 },
  { chunk: 16, columns: 16, threads: 128 },
  { pad: 0 },
  { pad: 8 },
  { segments: 2 },
  { segments: 4 },
  // No query or key is read for two tiles of V, and enough workgroups for every multiprocessor's memory.
  { segments: 4, columns: 64 },
  { segments: 8, columns: 64 },
  { segments: 8, columns: 64, threads: 128 },
  { unrolled: false },
];

const named = (tuning: ChunkTuning): string =>
  Object.entries(tuning).map(([name, value]) => `${name} ${value}`).join(", ") || "default";

/** Other tunings than the default's, of halves: products of split halves instead of halves. */
const splitHalves: ChunkTuning = { mode: "split" };

function line(name: string, decay: Decay, dtype: DType, model?: "rwkv6"): FusedLine {
  return {
    name,
    dtype,
    shapes,
    small,
    variants: (dtype === "f16" ? [...tunings, splitHalves] : [...tunings, { mode: "f16" } as const]).map((tuning) => ({
      name: named(tuning),
      options: { ...tuning } as Variant["options"],
    })),
    prepare: (gpu, shape, { options }) => prepareChunks(gpu, decay, dtype, shape, options as ChunkTuning, model),
  };
}

const work: readonly (readonly [string, Decay, "rwkv6"?])[] = [
  ["linear-attention", { kind: "none" }],
  ["retnet", { kind: "scalar", form: "factor", per: "head" }],
  ["mamba2", { kind: "scalar" }],
  ["gla", { kind: "diagonal" }],
  ["rwkv6", { kind: "diagonal" }, "rwkv6"],
];

const dtypes: readonly DType[] = ["f32", "f16"];

export const chunkForwardLines: readonly FusedLine[] = work.flatMap(([name, decay, model]) =>
  dtypes.map((dtype) => line(`${name} chunk forward on tiles`, decay, dtype, model))
);
