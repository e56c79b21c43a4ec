/** How a step's state is divided among workgroups and invocations. */

import { type AnyAffineModel, type Sizes, stateColumns, stateRows } from "../models/affine.ts";

/** The extent of a step: sequences, heads (1 for models without), sizes of the model's axes. */
export interface StepDims {
  readonly B: number;
  readonly H: number;
  readonly sizes: Sizes;
}

/** Invocations of a workgroup; every adapter has as many. */
export const INVOCATIONS = 256;

/** A workgroup takes some columns of one sequence, all rows; an invocation has one column and every `down`-th row. */
export interface Tiling {
  readonly rows: number;
  readonly columns: number;
  /** Columns side by side in a workgroup, and rows. */
  readonly across: number;
  readonly down: number;
  /** Workgroups of a sequence. */
  readonly tiles: number;
}

/** Rows that an invocation has in registers at once: so many loads are under way before the first is waited for. */
export const IN_FLIGHT = 8;

/** The tiling of a model's state. */
export function tiling(model: AnyAffineModel, sizes: Sizes): Tiling {
  const rows = stateRows(model, sizes);
  const columns = stateColumns(model, sizes);
  let down = 1;
  while (down * IN_FLIGHT < rows && down < 16) down *= 2;
  while (INVOCATIONS / (2 * down) >= columns && 2 * down <= rows) down *= 2;
  const across = INVOCATIONS / down;
  return { rows, columns, across, down, tiles: Math.ceil(columns / across) };
}

/** How many workgroups a step takes, and its tiling in words. */
export function stepWorkgroups(model: AnyAffineModel, { B, H, sizes }: StepDims): {
  readonly workgroups: number;
  readonly variant: string;
} {
  const { across, down, tiles } = tiling(model, sizes);
  return {
    workgroups: B * H * (model.normaliser === true ? 1 : tiles),
    variant: `${across} columns × ${down} rows a workgroup`,
  };
}
