/** Inputs of the delta rule's lines, and one sequence of a tensor back on the host. */
import { type DeltaRule, deltaRule, inputLayouts } from "../../kernels/delta/rule.ts";
import { type DeltaDims, inputShape } from "../../kernels/delta/tensors.ts";
import type { Gpu } from "../../kernels/device.ts";
import { unpackHalves } from "../../kernels/half.ts";
import type { DType, Tensor } from "../../kernels/tensor.ts";
import type { AnyAffineModel } from "../../models/affine.ts";
import { randomTensor, unitTensor } from "./random.ts";

/** Tokens from one saved state to the next. */
export const CHUNK = 64;

/** The same of a forward run: errors of RWKV-7's state are carried by transitions whose norm may be above 1, so by fewer. */
export function chunkOf({ form }: DeltaRule): number {
  return form === "delta" ? CHUNK : CHUNK / 2;
}

/** Inputs of norm 1: keys, and RWKV-7's removal keys. */
const units: readonly string[] = ["k", "kappa"];

/** Ranges of the others. */
const ranges: { readonly [name: string]: readonly [number, number] } = {
  q: [-1, 1],
  v: [-1, 1],
  g: [-0.1, 0],
  w: [-0.1, 0],
  beta: [0, 1],
  eta: [0, 1],
};

/** Random inputs. */
export async function inputsOf(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: DeltaDims,
  dtype: DType,
): Promise<Record<string, Tensor>> {
  const rule = deltaRule(model);
  const inputs: Record<string, Tensor> = {};
  let seed = 1;
  for (const [name, layout] of Object.entries(inputLayouts(rule))) {
    const shape = inputShape(layout, dims, rule.microSteps);
    const [low, high] = ranges[name] ?? [-1, 1];
    inputs[name] = units.includes(name)
      ? await unitTensor(gpu, shape, seed++, dtype)
      : await randomTensor(gpu, shape, { seed: seed++, low, high, dtype });
  }
  return inputs;
}

/** The rows of one sequence of a tensor `[B, T, H, …]`. */
export async function sequenceOf(gpu: Gpu, tensor: Tensor, b: number, h: number): Promise<Float32Array> {
  const [B, T, H, ...rest] = tensor.shape as [number, number, number, ...number[]];
  const width = rest.reduce((x, y) => x * y, 1);
  const length = T * H * width;
  const batch = tensor.dtype === "f32"
    ? await gpu.read(tensor.buffer, Float32Array, { offset: b * length, length })
    : unpackHalves(await gpu.read(tensor.buffer, Uint16Array, { offset: b * length, length }));
  const out = new Float32Array(T * width);
  for (let t = 0; t < T && b < B; t++) {
    out.set(batch.subarray((t * H + h) * width, (t * H + h + 1) * width), t * width);
  }
  return out;
}
