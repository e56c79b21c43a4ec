/** How far an entry of a product may be off. */

import { exponentOf, powerOfTwo } from "../../models/numeric.ts";
import { matrixError, productBound } from "../matrix_error.ts";
import type { DType } from "../tensor.ts";
import type { Summation } from "./_design.ts";

/**
 * The most that an entry Σ a_k b_k (+ `initial`, what C or the bias holds) may be off, from a row of A and a column of B as they
 * are stored, and those that have one scale with them: rows 16 i to 16 i + 15 of A, where the row is one of them, and the
 * same of B's columns (`scaled` of the summation says how many).
 *
 * Chunks of the sum are bounded as {@linkcode productBound} says, on operands scaled by powers of two; adding them up, in
 * whatever order, errs by at most 2^−24 of the sum of their magnitudes each time. With `result` f16, by 2^−11 of the
 * result, or 2^−25, more.
 */
export function matmulBound(
  { mode, hardware, chunk, scaled, parts }: Summation,
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  { besideA = [], besideB = [], initial = 0, result = "f32", exact = false }: {
    /** Rows of A, and columns of B, with the same scale; those of `a` and `b` themselves may be among them. */
    readonly besideA?: readonly ArrayLike<number>[];
    readonly besideB?: readonly ArrayLike<number>[];
    readonly initial?: number;
    readonly result?: DType;
    /** Whether A and B are halves to begin with. */
    readonly exact?: boolean;
  } = {},
): number {
  const kept = matrixError(mode, hardware);
  // Halves scaled by a power of two are halves, unless they end among the subnormal ones.
  const error = exact ? { ...kept, operand: 0, floor: scaled === undefined ? 0 : kept.floor } : kept;
  let bound = 0;
  let sum = initial;
  let magnitude = Math.abs(initial);
  const chunks = Math.ceil(a.length / chunk);
  for (let from = 0; from < a.length; from += chunk) {
    const to = Math.min(a.length, from + chunk);
    const [x, scaleX] = inScale(a, scaled?.a === 1 ? [] : besideA, from, to, scaled !== undefined);
    const [y, scaleY] = inScale(b, scaled?.b === 1 ? [] : besideB, from, to, scaled !== undefined);
    const scale = scaleX * scaleY;
    const part = x.reduce((part, value, k) => part + value * y[k]!, 0) / scale;
    bound += productBound(error, x, y) / scale;
    sum += part;
    magnitude += Math.abs(part);
  }
  bound += (chunks + parts + 1) * 2 ** -24 * (magnitude + bound);
  // What a chunk's sum below the range of f32 loses.
  bound += chunks * 2 ** -126;
  return result === "f32" ? bound : bound + 2 ** -11 * (Math.abs(sum) + bound) + 2 ** -25;
}

/** Numbers from `from` to `to` as the packing kernel scales them, and the power of two. */
function inScale(
  values: ArrayLike<number>,
  beside: readonly ArrayLike<number>[],
  from: number,
  to: number,
  scaled: boolean,
): [Float64Array, number] {
  const own = Float64Array.from({ length: to - from }, (_, k) => values[from + k]!);
  if (!scaled) return [own, 1];
  let largest = 0;
  for (const row of [values, ...beside]) {
    for (let k = from; k < to; k++) largest = Math.max(largest, Math.abs(row[k]!));
  }
  const scale = powerOfTwo(Math.min(14 - (largest === 0 ? -127 : Math.max(exponentOf(largest), -127)), 126));
  return [own.map((value) => value * scale), scale];
}
