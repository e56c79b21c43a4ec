/**
 * How often a term lies in the later operand on its way into a state, by path: additions that no gate pays for
 * (`Rounding.rightCombines`; oracle/bound.ts says what it is for). Everywhere else it is multiplied by later gates, or
 * is part of a state, which is only ever the earlier operand.
 *
 * @module
 */
import type { TileShape } from "./_row_tile.ts";

/**
 * Rows: folded into its unit (or its invocation's units), 1; scanned over the lanes, log2; joined to the earlier units of
 * a striped group, 1; joined to the state before its group, 1. Without subgroups the row is one group.
 */
export function rowCombines({ subgroup, threads, vectors, order }: TileShape): number {
  return 2 + Math.log2(subgroup?.max ?? threads) + (order === "striped" && vectors > 1 ? 1 : 0);
}

/** Columns: folded into its segment, 1; the segment joined to the state before it, 1. */
export function columnCombines(): number {
  return 2;
}

/**
 * Look-back: as in a row until its tile's total is known; then the tile is one of a window of predecessors, composed over
 * its lanes, log2; what has been composed is the later operand of every window before it. A window counts at least
 * one tile, where those further back are missing.
 */
export function lookBackCombines(shape: TileShape, tiles: number): number {
  return rowCombines(shape) + Math.log2(shape.subgroup?.max ?? 1) + tiles;
}
