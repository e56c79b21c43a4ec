/**
 * Forward and backward of linear attention with a decay per key, by walks.
 *
 * @module
 */
import type { Gpu } from "../../kernels/device.ts";
import type { Plan } from "../../kernels/plan.ts";
import { Tensor } from "../../kernels/tensor.ts";
import { walkSegments } from "../../kernels/chunk/_walked.ts";
import { planWalkGradients } from "../../kernels/walk/gradients.ts";
import { planWalk, type WalkOptions } from "../../kernels/walk/walk.ts";
import { queryScale } from "../../models/affine.ts";
import { lineError, worstError } from "./errors.ts";
import type { FusedLine, LineError, LineShape, Prepared, Variant } from "./line.ts";
import { randomTensor } from "./random.ts";
import { type Bounded, walkGradientTruth } from "./_walk_gradient_truth.ts";

async function sequence(gpu: Gpu, tensor: Tensor, b: number, h: number): Promise<Float32Array> {
  const [, T = 1, H = 1, width = 1] = tensor.shape;
  const all = await gpu.read(tensor.buffer, Float32Array, { offset: b * T * H * width, length: T * H * width });
  const out = new Float32Array(T * width);
  for (let t = 0; t < T; t++) out.set(all.subarray((t * H + h) * width, (t * H + h + 1) * width), t * width);
  return out;
}

function errorOf(got: Float32Array, { truth, allowed }: Bounded): LineError {
  const rms = Math.sqrt(truth.reduce((sum, x) => sum + x * x, 0) / truth.length) || 1;
  return lineError(got, truth, allowed.reduce((most, x) => Math.max(most, x), 0) / rms);
}

async function prepare(
  gpu: Gpu,
  { B = 1, T = 1, H = 1, K = 1, V = 1 }: LineShape,
  tuning: WalkOptions,
): Promise<Prepared> {
  const tensors: Tensor[] = [];
  const plans: Plan[] = [];
  const keep = (tensor: Tensor): Tensor => {
    tensors.push(tensor);
    return tensor;
  };
  const release = (): void => {
    plans.forEach((plan) => plan.release());
    tensors.forEach((tensor) => tensor.destroy());
  };
  const random = async (width: number, seed: number, low = -1, high = 1): Promise<Tensor> =>
    keep(await randomTensor(gpu, [B, T, H, width], { seed, low, high }));
  const empty = (width: number): Tensor => keep(Tensor.empty(gpu, [B, T, H, width]));
  try {
    const scale = queryScale(K);
    const [q, k, v] = [await random(K, 1), await random(K, 2), await random(V, 3)];
    const [g, dO] = [await random(K, 4, -0.1, 0), await random(V, 5)];
    const walk = { ...tuning, segments: walkSegments(gpu, v, tuning.segments) };
    const gradients = { dq: empty(K), dk: empty(K), dg: empty(K), dv: empty(V) };
    plans.push(await planWalk(gpu, { x: k, y: v, z: q, g, out: empty(V) }, { ...walk, decay: "rows", scale }));
    plans.push(await planWalkGradients(gpu, { q, k, v, g, dO, ...gradients }, { scale, walk }));
    const check = async (): Promise<LineError> => {
      const errors: LineError[] = [];
      for (const [b, h] of [[0, 0], [B - 1, H - 1]] as const) {
        const read = (tensor: Tensor): Promise<Float32Array> => sequence(gpu, tensor, b, h);
        const got = { dq: await read(gradients.dq), dk: await read(gradients.dk), dv: await read(gradients.dv) };
        const dg = await read(gradients.dg);
        const given = { q: await read(q), k: await read(k), v: await read(v), g: await read(g), dO: await read(dO) };
        const truth = walkGradientTruth({ T, K, V, scale: Math.fround(scale), ...given, dg });
        for (const name of ["dq", "dk", "dv"] as const) errors.push(errorOf(got[name], truth[name]));
        const { max, rms } = errorOf(dg, truth.dg);
        errors.push({ ...errorOf(dg, truth.own), whole: { max, rms } });
      }
      return worstError(errors);
    };
    return { plans, tokens: B * T * H, check, release };
  } catch (error) {
    release();
    throw error;
  }
}

const tunings: readonly WalkOptions[] = [
  {},
  ...[1, 2, 4, 8, 16, 32].map((segments) => ({ segments })),
  ...[4, 8, 16].map((segments) => ({ segments, rows: 16, columns: 4 })),
];

export const walkBackwardLines: readonly FusedLine[] = [{
  name: "gla chunk forward+backward by walks",
  dtype: "f32",
  shapes: [{ B: 8, T: 4096, H: 16, K: 64, V: 64 }],
  small: { B: 1, T: 150, H: 2, K: 16, V: 24 },
  variants: tunings.map((options): Variant => ({
    name: Object.entries(options).map(([name, value]) => `${name} ${value}`).join(", ") || "default",
    options: options as Variant["options"],
  })),
  prepare: (gpu, shape, { options }) => prepare(gpu, shape, options as WalkOptions),
}];
