/** How a product is computed where the caller does not say. */

import type { Gpu } from "../gpu.ts";
import { withoutHardware } from "../_matrix_hardware.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import type { Problem } from "./_problem.ts";

export interface Choice {
  readonly mode: MatrixMode;
  readonly hardware: boolean;
}

export interface ChoiceOptions {
  /**
   * Default: on matrix units `f16` where A and B are f16, `f32` where the product is small, else `split`; without them `f32`.
   * Small is what plain f32, a single dispatch, has done by the time that packing has begun: 0.3 GFLOP; and what is narrow,
   * of which matrix units would compute whole blocks.
   */
  readonly mode?: MatrixMode;
  /** The mode of products that are not small, on matrix units; without them f32. */
  readonly large?: MatrixMode;
  /** Whether to use matrix units; default: whether the device has them, unless the mode is `f32`. */
  readonly hardware?: boolean;
  /**
   * Whether a row of C has the same bits whatever the other rows are, and however many: its sum is then cut by `chunk` and
   * `parts` alone, and a product is small if B is, whatever A: K·N ≤ 2^16. Default false.
   */
  readonly invariant?: boolean;
}

/** Estimates, from 5 µs a dispatch and up to 30 TFLOP/s of plain f32 on an H200. */
const SMALL = 3e8;
const SMALL_MATRIX = 2 ** 16;
/** Rows, and columns, below which a block is mostly empty. */
const NARROW = 32;

function isSmall({ batches, M, N, K }: Problem, invariant: boolean): boolean {
  if (N < NARROW) return true;
  return invariant ? K * N <= SMALL_MATRIX : M < NARROW || 2 * batches * M * N * K < SMALL;
}

export function choose(
  gpu: Gpu,
  problem: Problem,
  { mode, large = "split", hardware, invariant = false, tiled }: ChoiceOptions & { readonly tiled: boolean },
): Choice {
  const units = mode !== "f32" && withoutHardware(gpu) === undefined && gpu.subgroups?.max === 32;
  if (mode !== undefined) return { mode, hardware: hardware ?? units };
  if (!(hardware ?? units)) return { mode: "f32", hardware: false };
  const halves = [problem.a, problem.b].every(({ tensor }) => tensor.dtype === "f16");
  if (halves) return { mode: "f16", hardware: true };
  const plain = hardware === undefined && !tiled && isSmall(problem, invariant);
  return plain || large === "f32" ? { mode: "f32", hardware: false } : { mode: large, hardware: true };
}
