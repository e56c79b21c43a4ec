/** What multiplies tiles in the backward pass. */

import type { Gpu } from "../gpu.ts";
import { type MatrixChoice, type MatrixUnit, matrixUnit } from "../matrix_unit.ts";

/**
 * What is used where nothing is asked for: plain f32, on every adapter. The kernels wait for latency rather than for
 * products, and the bound of split halves on matrix units is too wide to see faults in models with a normaliser.
 */
const USUAL: MatrixChoice = { mode: "f32" };

/** The unit. Throws an `InputError` if hardware is asked for where there is none. */
export function backwardUnit(gpu: Gpu, { mode, hardware }: MatrixChoice): MatrixUnit {
  if (mode === undefined && hardware === undefined) return matrixUnit(gpu, USUAL);
  return matrixUnit(gpu, {
    ...(mode === undefined ? {} : { mode }),
    ...(hardware === undefined ? {} : { hardware }),
  });
}
