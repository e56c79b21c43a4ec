/** Where the tiles of an operand lie. */

import type { Operand } from "./_matrix_types.ts";

/** A's axes are rows (outer) and the sum's (inner), B's columns (outer) and the sum's (inner); in elements, u32 expressions. */
export interface OperandLayout {
  /** From one row of A, or column of B, to the next. */
  readonly outer: string;
  /** From one term of the sum to the next, inside a tile. */
  readonly inner: string;
  /** From one tile to the next along the sum. */
  readonly step: string;
  /** Whether that is as far as 16 terms. */
  readonly even: boolean;
  /** Where the `i`-th row of A's tiles, or column of B's, starts. */
  start(i: number): string;
}

export function operandLayout(operand: Operand, side: "a" | "b"): OperandLayout {
  const { at, stride, starts, step, transposed = false } = operand;
  const innermost = (side === "a") !== transposed;
  const [outer, inner] = innermost ? [stride, 1] : [1, stride];
  const along = times(16, inner);
  return {
    outer: times(1, outer),
    inner: times(1, inner),
    step: step === undefined ? along : times(1, step),
    even: step === undefined || times(1, step) === along,
    start: (i) => `(${at}) + ${starts === undefined ? times(16 * i, outer) : `(${starts[i]})`}`,
  };
}

function times(count: number, elements: number | string): string {
  if (typeof elements === "number") return `${count * elements}u`;
  return count === 1 ? `(${elements})` : `(${count}u * (${elements}))`;
}
