/** Where the tiles of an operand lie. */

import type { Operand } from "./_matrix_types.ts";

/** A's axes are rows (outer) and the sum's (inner), B's columns (outer) and the sum's (inner); in elements. */
export interface OperandLayout {
  /** From one row of A, or column of B, to the next. */
  readonly outer: number;
  /** From one term of the sum to the next, inside a tile. */
  readonly inner: number;
  /** From one tile to the next along the sum. */
  readonly step: number;
  /** Where the `i`-th row of A's tiles, or column of B's, starts: a u32 expression. */
  start(i: number): string;
}

export function operandLayout(operand: Operand, side: "a" | "b"): OperandLayout {
  const { at, stride, starts, step, transposed = false } = operand;
  const innermost = (side === "a") !== transposed;
  const [outer, inner] = innermost ? [stride, 1] : [1, stride];
  return {
    outer,
    inner,
    step: step ?? 16 * inner,
    start: (i) => `(${at}) + ${starts === undefined ? `${16 * i * outer}u` : `(${starts[i]})`}`,
  };
}
