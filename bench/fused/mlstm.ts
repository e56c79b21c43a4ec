/**
 * mLSTM over whole sequences, from the preactivations of its gates: exponents of its states, the family's kernel, and the
 * division by the normaliser.
 *
 * @module
 */
import type { ChunkTuning } from "../../kernels/chunk/forward.ts";
import { requireChunkModel } from "../../kernels/chunk/family.ts";
import { planChunkModel } from "../../kernels/chunk/prepare.ts";
import type { Gpu } from "../../kernels/device.ts";
import { matrixUnit } from "../../kernels/matrix_unit.ts";
import { Tensor } from "../../kernels/tensor.ts";
import { wgslAccuracy } from "../../models/accuracy.ts";
import { queryScale } from "../../models/affine.ts";
import { mlstm } from "../../models/mlstm.ts";
import { chunkTruth } from "./_chunk_truth.ts";
import { sequenceOf } from "./_delta_inputs.ts";
import { boundedError, worstError } from "./errors.ts";
import type { FusedLine, LineError, LineShape, Prepared, Variant } from "./line.ts";
import { randomTensor } from "./random.ts";

/** Tokens of the largest chunk. */
const CHUNK = 64;
/** Preactivations: input gates of e^−2 to e^2, forget gates of 0.88 to 0.998. */
const ranges = { q: [-1, 1], k: [-1, 1], v: [-1, 1], i: [-2, 2], f: [2, 6] } as const;

/**
 * Roundings of a forget gate: softplus moves the exponential's argument −softplus(−f̃), at most 0.13; its product, and a walk's
 * sum.
 */
function forgetRoundings(): number {
  const { softplus, expMantissa, mul, add } = wgslAccuracy;
  const [lowest, highest] = ranges.f;
  const log = Math.log1p(Math.exp(-lowest));
  return log * (softplus.units + softplus.perArgument * highest) + expMantissa.units + expMantissa.perArgument * log +
    mul.units + add.units + 1;
}

/** Roundings of an input gate, and its product with the key. */
function inputRoundings(): number {
  const { expMantissa, mul } = wgslAccuracy;
  return expMantissa.units + expMantissa.perArgument * ranges.i[1] + mul.units;
}

async function prepare(
  gpu: Gpu,
  { B = 1, T = 1, H = 1, K = 1, V = 1 }: LineShape,
  tuning: ChunkTuning,
): Promise<Prepared> {
  const tensors: Tensor[] = [];
  const release = (): void => tensors.forEach((tensor) => tensor.destroy());
  try {
    const shapes = { q: [B, T, H, K], k: [B, T, H, K], v: [B, T, H, V], i: [B, T, H], f: [B, T, H] };
    const random = async (name: keyof typeof ranges, seed: number): Promise<Tensor> => {
      const [low, high] = ranges[name];
      const tensor = await randomTensor(gpu, shapes[name], { seed, low, high });
      tensors.push(tensor);
      return tensor;
    };
    const inputs = {
      q: await random("q", 1),
      k: await random("k", 2),
      v: await random("v", 3),
      i: await random("i", 4),
      f: await random("f", 5),
    };
    const outputs = Tensor.empty(gpu, [B, T, H, V], { label: "outputs" });
    tensors.push(outputs);
    const plan = await planChunkModel(gpu, requireChunkModel(mlstm), { inputs, outputs }, tuning);
    const word = plan.variant.split(" ")[0];
    const mode = word === "f16" || word === "split" ? word : "f32";
    const { hardware } = matrixUnit(gpu, { mode });

    /** A sequence: numerator and normaliser as V + 1 columns, each with its radius, then their quotient. */
    const check = async (): Promise<LineError> => {
      const errors: LineError[] = [];
      for (const [b, h] of [[0, 0], [B - 1, H - 1]] as const) {
        const numbers = (name: keyof typeof inputs): Promise<Float32Array> => sequenceOf(gpu, inputs[name], b, h);
        const [q, k, v] = [await numbers("q"), await numbers("k"), await numbers("v")];
        const [i, f] = [await numbers("i"), await numbers("f")];
        const W = V + 1;
        const sums = chunkTruth({
          T,
          K,
          V: W,
          q: Float64Array.from(q, (x) => x * queryScale(K)),
          k: Float64Array.from(k, (x, n) => x * Math.exp(i[Math.floor(n / K)]!)),
          v: Float64Array.from({ length: T * W }, (_, n) => n % W === V ? 1 : v[Math.floor(n / W) * V + n % W]!),
          gate: (t) => 1 / (1 + Math.exp(-f[t]!)),
        }, {
          mode,
          hardware,
          chunk: CHUNK,
          gateRoundings: forgetRoundings(),
          termRoundings: inputRoundings(),
          stored: 0,
        });
        const truth = new Float64Array(T * V);
        const radii = new Float64Array(T * V);
        for (let n = 0; n < T * V; n++) {
          const row = Math.floor(n / V) * W;
          const [z, off] = [Math.abs(sums.outputs[row + V]!), sums.radii[row + V]!];
          const divisor = Math.max(z, 1);
          truth[n] = sums.outputs[row + n % V]! / divisor;
          // Where z ± off is below 1 the divisor is 1.
          const moved = z + off <= 1 ? 0 : off;
          const own = (sums.radii[row + n % V]! + Math.abs(truth[n]!) * moved) / Math.max(1, divisor - moved);
          radii[n] = own + wgslAccuracy.div.units * wgslAccuracy.unit * (Math.abs(truth[n]!) + own);
        }
        errors.push(boundedError(await sequenceOf(gpu, outputs, b, h), truth, radii));
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

const tunings: readonly ChunkTuning[] = [
  {},
  { design: "walk" },
  { design: "tiles" },
  { design: "tiles", mode: "f32" },
  { design: "tiles", segments: 4 },
  ...[2, 4].map((segments) => ({ segments })),
];

/** f32 alone: the gates' exponents are found, and keys multiplied, by kernels of f32. */
export const mlstmLines: readonly FusedLine[] = [{
  name: "mlstm chunk forward",
  dtype: "f32",
  shapes: [{ B: 8, T: 4096, H: 16, K: 64, V: 64 }],
  small: { B: 1, T: 70, H: 2, K: 16, V: 16 },
  variants: tunings.map((tuning) => ({
    name: Object.entries(tuning).map(([name, value]) => `${name} ${value}`).join(", ") || "default",
    options: { ...tuning } as Variant["options"],
  })),
  prepare: (gpu, shape, { options }) => prepare(gpu, shape, options as ChunkTuning),
}];
