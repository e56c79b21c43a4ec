/**
 * Products of 16 × 16 tiles inside a kernel: one text for tensor cores and for adapters without.
 *
 * A kernel keeps its operands in workgroup memory and says which tiles to multiply; the unit writes the WGSL. A *group*
 * of `lanes` consecutive invocations (a subgroup, on hardware) owns a block of tiles and holds its sums in registers.
 *
 * | mode | an operand is kept as | products | relative error of one product | and, of the scaled operands |
 * |---|---|---|---|---|
 * | `f32` | f32 | 1 | 2^−24 | |
 * | `f16` | the nearest half | 1 | 2^−10 | 2^−25 each |
 * | `split` | two halves, high + low | 3 (that of the low halves is dropped) | 2^−21 | 2^−25 each |
 *
 * Sums are kept in f32 always; what adding to them costs, and where the figures come from, is in matrix_error.ts. In `f16`
 * and `split` the caller scales operands by powers of two so that a tile's largest lies in [2^14, 2^15), or is bounded by
 * that, and unscales the sums: halves end at 65504, and below 2^−14 they are multiples of 2^−24.
 *
 * Hardware is WGSL's `chromium_experimental_subgroup_matrix` with f16 operands and f32 sums, 16 × 16 × 16. Elsewhere the
 * same modes are computed by plain loops over workgroup memory, halves rounded in the same way, so that every mode is
 * checked on every adapter.
 *
 * @module
 */
import { InputError } from "../models/error.ts";
import { hardwareUnit, withoutHardware } from "./_matrix_hardware.ts";
import { portableUnit } from "./_matrix_portable.ts";
import type { MatrixMode, MatrixUnit } from "./_matrix_types.ts";
import type { Gpu } from "./gpu.ts";

export type { MatrixMode, MatrixUnit, Operand, Product, Sums, Tile } from "./_matrix_types.ts";
export * from "./matrix_error.ts";

/** What to use, instead of what the device suggests. */
export interface MatrixChoice {
  /** Default: `split` on hardware, `f32` elsewhere. */
  readonly mode?: MatrixMode;
  /** Default: whether the device has subgroup matrices of 16 × 16 × 16, f16 to f32, and one subgroup size. */
  readonly hardware?: boolean;
}

/** The unit of a device. Throws an {@link InputError} if hardware is asked for where there is none. */
export function matrixUnit(gpu: Gpu, choice: MatrixChoice = {}): MatrixUnit {
  const missing = withoutHardware(gpu);
  const hardware = choice.hardware ?? (choice.mode !== "f32" && missing === undefined);
  const mode = choice.mode ?? (hardware ? "split" : "f32");
  if (!hardware) return portableUnit(mode);
  if (mode === "f32") {
    throw new InputError(
      "Cannot multiply tiles on matrix units: their operands are halves, mode must be f16 or split, got f32",
    );
  }
  if (missing !== undefined) throw new InputError(`Cannot multiply tiles on matrix units: ${missing}`);
  return hardwareUnit(gpu, mode);
}
