/** How a product is computed where the caller does not say. */

import type { Gpu } from "../gpu.ts";
import { withoutHardware } from "../_matrix_hardware.ts";
import { type MatrixMode, matrixUnit } from "../matrix_unit.ts";
import { packTime, plainTime } from "./_cost.ts";
import { plainSpread, type PlainTuning } from "./_plan_plain.ts";
import { estimatedTiles, type TilesOptions } from "./_plan_tiles.ts";
import type { Problem } from "./_problem.ts";

export interface Choice {
  readonly mode: MatrixMode;
  readonly hardware: boolean;
}

export interface ChoiceOptions {
  /**
   * Default: on matrix units `f16` where A and B are f16, `f32` where the product is small, else `split`; without them `f32`.
   * Small is what plain f32, a single dispatch, is estimated to do sooner, since it need not pack; and what is narrow, of
   * which matrix units would compute whole blocks.
   */
  readonly mode?: MatrixMode;
  /** The mode of products that are not small, on matrix units; without them f32. */
  readonly large?: MatrixMode;
  /** Whether to use matrix units; default: whether the device has them, unless the mode is `f32`. */
  readonly hardware?: boolean;
  /**
   * Whether a row of C has the same bits whatever the other rows are, and however many: its sum is then cut by `chunk`, `parts`
   * and K alone, and a product is small if B is, whatever A: K·N ≤ 2^16. Default false.
   */
  readonly invariant?: boolean;
}

const SMALL_MATRIX = 2 ** 16;
/** Rows, and columns, below which a block is mostly empty. */
const NARROW = 32;

export function choose(
  gpu: Gpu,
  problem: Problem,
  options: ChoiceOptions & TilesOptions & PlainTuning,
): Choice {
  const { mode, large = "split", hardware, rows } = options;
  const units = mode !== "f32" && withoutHardware(gpu) === undefined && gpu.subgroups?.max === 32;
  if (mode !== undefined) return { mode, hardware: hardware ?? units };
  if (!(hardware ?? units)) return { mode: "f32", hardware: false };
  const halves = [problem.a, problem.b].every(({ tensor }) => tensor.dtype === "f16");
  if (halves) return { mode: "f16", hardware: true };
  const free = hardware === undefined && rows === undefined;
  if (large === "f32" || free && isSmall(gpu, problem, large, options)) return { mode: "f32", hardware: false };
  return { mode: large, hardware: true };
}

function isSmall(
  gpu: Gpu,
  problem: Problem,
  large: "f16" | "split",
  options: TilesOptions & PlainTuning,
): boolean {
  const { M, N, K } = problem;
  if (N < NARROW) return true;
  if (options.invariant === true) return K * N <= SMALL_MATRIX;
  if (M < NARROW || K === 0) return true;
  const unit = matrixUnit(gpu, { mode: large, hardware: true });
  return plainTime(plainSpread(gpu, problem, options)) <= packTime(problem) + estimatedTiles(problem, unit, options);
}
