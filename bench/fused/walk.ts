/**
 * The chunked family's work done by walks: linear attention with each kind of decay, and RWKV-6, which reads a state before its
 * update, token by token in registers. Beside them, as tunings of the same lines, chunks on matrix units.
 *
 * @module
 */
import type { Decay } from "../../kernels/chunk/family.ts";
import type { ChunkTuning } from "../../kernels/chunk/forward.ts";
import type { Gpu } from "../../kernels/device.ts";
import { unpackHalves } from "../../kernels/half.ts";
import { type DType, Tensor } from "../../kernels/tensor.ts";
import { planWalk, WAITING_ROUNDINGS, type WalkDecay, type WalkOptions } from "../../kernels/walk/walk.ts";
import { queryScale } from "../../models/affine.ts";
import { prepareChunks } from "./chunk_forward.ts";
import { boundedError, worstError } from "./errors.ts";
import type { FusedLine, LineError, LineShape, Prepared, Variant } from "./line.ts";
import { randomTensor } from "./random.ts";

/** One sequence and head of a tensor `[B, T, H, width]`, in f64. */
async function sequence(gpu: Gpu, tensor: Tensor, b: number, h: number): Promise<Float64Array> {
  const [, T = 1, H = 1, width = 1] = tensor.shape;
  const range = { offset: b * T * H * width, length: T * H * width };
  const all = tensor.dtype === "f16"
    ? unpackHalves(await gpu.read(tensor.buffer, Uint16Array, range))
    : await gpu.read(tensor.buffer, Float32Array, range);
  const out = new Float64Array(T * width);
  for (let t = 0; t < T; t++) out.set(all.subarray((t * H + h) * width, (t * H + h + 1) * width), t * width);
  return out;
}

interface Sequence {
  readonly q: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
  /** Roundings of a token's share besides those of gates. */
  readonly waiting: number;
  /** `[K]`: each token is read before it is added, with this bonus. */
  readonly bonus: Float32Array | undefined;
  /** The multiplier of token t and row i. */
  gate(t: number, i: number): number;
}

/**
 * The recurrence in f64, and what each output of the kernel may be off by, `radii`: carried with the recurrence, as in
 * oracle/bound.ts, 7 units a gate, 2 an addition and those of a decay that waits, K + 3 in the read-out, two more of a bonus, and
 * the rounding to the stored type.
 */
function truthOf(
  { q, k, v, waiting, bonus, gate }: Sequence,
  { T, K, V }: { readonly T: number; readonly K: number; readonly V: number },
  dtype: DType,
): { readonly truth: Float64Array; readonly radii: Float64Array } {
  const unit = 2 ** -24;
  const [state, size, error] = [new Float64Array(K * V), new Float64Array(K * V), new Float64Array(K * V)];
  const truth = new Float64Array(T * V);
  const radii = new Float64Array(T * V);
  for (let t = 0; t < T; t++) {
    for (let i = 0; i < K; i++) {
      const a = gate(t, i);
      const [ki, qi] = [k[t * K + i]!, q[t * K + i]!];
      for (let j = 0; j < V; j++) {
        const at = i * V + j;
        const term = ki * v[t * V + j]!;
        if (bonus !== undefined) {
          const own = bonus[i]! * term;
          truth[t * V + j]! += qi * (state[at]! + own);
          radii[t * V + j]! += Math.abs(qi) *
            (error[at]! + (K + 3) * unit * size[at]! + (K + 5) * unit * Math.abs(own));
        }
        const moved = a * size[at]!;
        const whole = moved + Math.abs(term);
        error[at] = a * error[at]! + unit * (7 * moved + 2 * whole + waiting * Math.abs(term));
        size[at] = whole;
        state[at] = a * state[at]! + term;
        if (bonus !== undefined) continue;
        truth[t * V + j]! += qi * state[at]!;
        radii[t * V + j]! += Math.abs(qi) * (error[at]! + (K + 3) * unit * whole);
      }
    }
  }
  // Halves below 2^−14 are multiples of 2^−24.
  const stored = (x: number, radius: number): number =>
    dtype === "f16" ? radius + 2 ** -11 * (Math.abs(x) + radius) + 2 ** -25 : radius;
  return { truth, radii: radii.map((radius, i) => stored(truth[i]!, radius)) };
}

/** A line's work besides its decay. */
interface Work {
  readonly model?: "rwkv6";
  /** The least logarithm of a decay. */
  readonly steepest?: number;
}

/** Of sequences of random numbers, which are the same for every tuning. */
const truths = new Map<string, ReturnType<typeof truthOf>>();

async function prepare(
  gpu: Gpu,
  decay: WalkDecay,
  dtype: DType,
  { B = 1, T = 1, H = 1, K = 1, V = 1 }: LineShape,
  tuning: WalkOptions,
  { model, steepest = -0.1 }: Work,
): Promise<Prepared> {
  const random = (shape: readonly number[], seed: number, low = -1, high = 1, type = dtype): Promise<Tensor> =>
    randomTensor(gpu, shape, { seed, low, high, dtype: type });
  const [q, k, v] = [await random([B, T, H, K], 1), await random([B, T, H, K], 2), await random([B, T, H, V], 3)];
  const shapes = { none: undefined, scalar: [B, T, H], head: [H], rows: [B, T, H, K], columns: [B, T, H, V] };
  const shape = shapes[decay];
  const g = shape === undefined
    ? undefined
    : decay === "head"
    ? Tensor.from(gpu, Array.from({ length: H }, (_, h) => 1 - 2 ** (-5 - h)), [H])
    : await random(shape, 4, steepest, 0);
  const u = model === undefined ? undefined : await random([H, K], 5, -1, 1, "f32");
  const scale = model === undefined ? queryScale(K) : 1;
  const out = Tensor.empty(gpu, [B, T, H, V], { dtype, label: "outputs" });
  const tensors = { x: k, y: v, z: q, out, ...(g === undefined ? {} : { g }), ...(u === undefined ? {} : { u }) };
  const plan = await planWalk(gpu, tensors, {
    decay,
    scale,
    ...(decay === "head" ? { form: "factor" } : {}),
    ...tuning,
  });
  const truthAt = async (b: number, h: number): Promise<ReturnType<typeof truthOf>> => {
    const gates = g === undefined
      ? undefined
      : decay === "head"
      ? new Float64Array(await g.read())
      : await sequence(gpu, g, b, h);
    return truthOf(
      {
        q: (await sequence(gpu, q, b, h)).map((x) => x * scale),
        k: await sequence(gpu, k, b, h),
        v: await sequence(gpu, v, b, h),
        waiting: decay === "head" || decay === "scalar" ? WAITING_ROUNDINGS : 0,
        bonus: (await u?.read())?.subarray(h * K, (h + 1) * K),
        gate: (t, i) =>
          gates === undefined
            ? 1
            : decay === "head"
            ? gates[h]!
            : Math.exp(decay === "scalar" ? gates[t]! : gates[t * K + i]!),
      },
      { T, K, V },
      dtype,
    );
  };
  return {
    plans: [plan],
    tokens: B * T * H,
    async check() {
      const errors: LineError[] = [];
      for (const [b, h] of [[0, 0], [B - 1, H - 1]] as const) {
        const key = JSON.stringify([decay, model, steepest, dtype, B, T, H, K, V, b, h]);
        const { truth, radii } = truths.get(key) ?? await truthAt(b, h);
        truths.set(key, { truth, radii });
        errors.push(boundedError(Float32Array.from(await sequence(gpu, out, b, h)), truth, radii));
      }
      return worstError(errors);
    },
    release() {
      for (const tensor of Object.values(tensors)) tensor.destroy();
      plan.release();
    },
  };
}

const tilings: readonly WalkOptions[] = [
  {},
  { rows: 4, columns: 2, threads: 512 },
  { rows: 8, columns: 2, threads: 256 },
  { rows: 4, columns: 4, threads: 256 },
  { rows: 16, columns: 2 },
  { block: 16 },
  { block: 8 },
  { interleaved: 1 },
  { interleaved: 2 },
  { unroll: 4 },
  { unroll: 2 },
  { waiting: false },
  ...[2, 3, 4, 8].map((segments) => ({ segments })),
  // Fewer words of workgroup memory a multiply-add, once segments make up for the fewer invocations of a sequence.
  ...[4, 8].map((segments) => ({ segments, rows: 16, columns: 4 })),
  ...[4, 8].map((segments) => ({ segments, rows: 16, columns: 4, block: 8 })),
  ...[2, 4].map((segments) => ({ segments, block: 8 })),
  { segments: 8, rows: 32, columns: 4 },
];

const units = { design: "units" } as const;
/** Products of halves where numbers are such; near f32's otherwise, so that no line is of a larger error than its numbers. */
const chunkTunings: { readonly [dtype in DType]: readonly ChunkTuning[] } = {
  f32: [{ ...units, mode: "split" }],
  f16: [
    { ...units, mode: "f16" },
    { ...units, mode: "f16", threads: 128 },
    { ...units, mode: "f16", threads: 512 },
    { ...units, mode: "f16", chunk: 32 },
  ],
};

const variantOf = (options: WalkOptions | ChunkTuning): Variant => ({
  name: Object.entries(options).map(([name, value]) => `${name} ${value}`).join(", ") || "default",
  options: options as Variant["options"],
});

const decays: { readonly [decay in WalkDecay]?: Decay } = {
  none: { kind: "none" },
  head: { kind: "scalar", form: "factor", per: "head" },
  scalar: { kind: "scalar" },
};

function line(name: string, decay: WalkDecay, dtype: DType, special: Work = {}): FusedLine {
  const chunked = special.steepest === undefined ? decays[decay] : undefined;
  return {
    name: `${name} chunk forward${special.steepest === undefined ? "" : ", fast decays"}`,
    dtype,
    shapes: [{ B: 8, T: 4096, H: 16, K: 64, V: 64 }],
    small: { B: 1, T: 70, H: 2, K: 16, V: 32 },
    variants: [
      ...tilings,
      ...(chunked === undefined ? [] : chunkTunings[dtype]),
    ].map(variantOf),
    prepare: (gpu, shape, { options }) =>
      chunked !== undefined && options.design === "units"
        ? prepareChunks(gpu, chunked, dtype, shape, options as ChunkTuning)
        : prepare(gpu, decay, dtype, shape, options as WalkOptions, special),
  };
}

const work: readonly (readonly [string, WalkDecay, Work?])[] = [
  ["linear-attention", "none"],
  ["retnet", "head"],
  ["mamba2", "scalar"],
  // Of a tenth to nearly one: in every block some state leaves the range in which decays wait.
  ["mamba2", "scalar", { steepest: -1.6 }],
  ["gla", "rows"],
  ["rwkv6", "rows", { model: "rwkv6" }],
];

export const walkLines: readonly FusedLine[] = work.flatMap(([name, decay, special]) => [
  line(name, decay, "f32", special),
  line(name, decay, "f16", special),
]);
