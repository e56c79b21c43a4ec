/**
 * What the device can do at most, measured in the run that is compared with it.
 *
 * @module
 */
import type { Gpu } from "../../kernels/device.ts";
import { type DType, Tensor } from "../../kernels/tensor.ts";
import { gpuCopy } from "../copy.ts";
import { repeatedTime } from "../device_time.ts";
import { effortOf } from "../kernel.ts";
import { quantile } from "../measure.ts";
import { randomTensor } from "./random.ts";

/** Rates per millisecond. */
export interface Rates {
  /** Bytes of a copy, read and written. */
  readonly copy: number;
  /** Floating-point operations of a matrix product, by the type of its operands; undefined where it does not run. */
  readonly matmul: { readonly [dtype in DType]?: number };
}

/** Measures a copy, and a product of large squares in both types. `onFailure` is told of a product that does not run. */
export async function measuredRates(gpu: Gpu, quick: boolean, onFailure: (reason: Error) => void): Promise<Rates> {
  const matmul: { [dtype in DType]?: number } = {};
  const side = gpu.adapter.software ? 128 : quick ? 2048 : 4096;
  for (const dtype of ["f32", "f16"] as const) {
    try {
      matmul[dtype] = await matmulRate(gpu, quick, side, dtype);
    } catch (error) {
      onFailure(error as Error);
    }
  }
  return { copy: await gpuCopy(effortOf(quick), gpu), matmul };
}

async function matmulRate(gpu: Gpu, quick: boolean, side: number, dtype: DType): Promise<number> {
  // Loaded when asked for: a fault in it is no reason to time nothing else.
  const { planMatmul } = await import("../../kernels/matmul.ts");
  const made: { destroy(): void }[] = [];
  const keep = <M extends { destroy(): void }>(one: M): M => {
    made.push(one);
    return one;
  };
  try {
    const a = keep(await randomTensor(gpu, [side, side], { seed: 1, low: -1, high: 1, dtype }));
    const b = keep(await randomTensor(gpu, [side, side], { seed: 2, low: -1, high: 1, dtype }));
    const c = keep(Tensor.empty(gpu, [side, side]));
    const plan = await planMatmul(gpu, { a, b, c });
    keep({ destroy: () => plan.release() });
    const { samples } = await repeatedTime(gpu, effortOf(quick), "matmul", plan.dispatches);
    return plan.operations / quantile(samples, 0.5);
  } finally {
    made.forEach((one) => one.destroy());
  }
}
