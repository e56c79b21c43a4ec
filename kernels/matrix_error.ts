/**
 * How far products of tiles may be off, by mode: what the bounds of kernels that use a {@linkcode MatrixUnit} are made of.
 *
 * *Operands.* A half has 11 significant bits and multiples of 2^−24 below 2^−14, so rounding to the nearest one errs by at
 * most 2^−11 of the number, or 2^−25. For `split`, x in [2^e, 2^(e+1)) is a multiple of u = 2^(e−23), and x − high is
 * exact in f32 and at most 2^12 u; a half holds such a number, or misses it by u where it is odd and above 2^11 u. So
 * |x − high − low| ≤ 2^−23 |x|, or 2^−25 once the low half is subnormal; on hardware, where the rest is taken from the
 * high number before a subnormal half rounds it once more, 2^−24. Both low halves are at most 2^−11 of their
 * numbers (to first order): the product that is dropped is at most 2^−22 |a b|.
 *
 * *Sums.* Products of two halves are exact in f32. Loops round every addition to nearest: 2^−24 of the partial sum. Matrix
 * units add a block of terms to the accumulator in one go; NVIDIA's align the terms to the largest magnitude and
 * truncate, with a few extra bits at most (Fasi, Higham, Mikaitis, Pranesh: Numerical behavior of NVIDIA tensor cores,
 * PeerJ Computer Science 7, 2021). No standard says so: what is *assumed* here is that a block of 16 terms errs by at
 * most (16 + 1) · 2^−23 of the largest magnitude among its terms, the accumulator and the result. Tests and benches on such
 * devices hold it to that. As the truncation is towards zero, errors of a long sum do not cancel; see
 * Ootomo and Yokota (Recovering single precision accuracy from tensor cores, IJHPCA 36, 2022) for sums of short sums.
 *
 * @module
 */
import type { MatrixMode } from "./_matrix_types.ts";

/** Constants of a mode; see {@linkcode productBound} for how they combine. */
export interface MatrixError {
  /** An operand as it is kept is off by at most `operand · |x| + floor`, for |x| ≤ 65504. */
  readonly operand: number;
  /** In units of the scaled operand: with the largest scaled to [2^14, 2^15), `floor / 2^14` of it. */
  readonly floor: number;
  /** What is left out of a product, and its own rounding, relative to it. */
  readonly product: number;
  /** Products added up for one of the operands' numbers: 1, or 3 where they are split. */
  readonly products: number;
  /** Terms that are added to the sum in one go. */
  readonly block: number;
  /** The error of adding a block, relative to the largest magnitude among its terms, the sum before and the sum after. */
  readonly addition: number;
}

const operands: Record<MatrixMode, Pick<MatrixError, "operand" | "floor" | "product" | "products">> = {
  f32: { operand: 0, floor: 0, product: 2 ** -24, products: 1 },
  f16: { operand: 2 ** -11, floor: 2 ** -25, product: 0, products: 1 },
  split: { operand: 2 ** -23, floor: 2 ** -25, product: 2 ** -22 * (1 + 2 ** -10), products: 3 },
};

/** The error constants of a mode, on hardware or in loops. */
export function matrixError(mode: MatrixMode, hardware: boolean): MatrixError {
  return {
    ...operands[mode],
    ...(hardware && mode === "split" ? { floor: 2 ** -24 } : {}),
    ...(hardware ? { block: 16, addition: 17 * 2 ** -23 } : { block: 1, addition: 2 ** -24 }),
  };
}

/**
 * The most that Σ a_k b_k may be off after a unit summed it in order of k, to first order and a bit. `a` and `b` are the true
 * scaled operands, `initial` what the sum started from. With `exact`, the operands are what the unit keeps (such as
 * halves to begin with) and err no more.
 */
export function productBound(
  error: MatrixError,
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  { initial = 0, exact = false }: { readonly initial?: number; readonly exact?: boolean } = {},
): number {
  const { block, addition, products } = error;
  const operand = exact ? 0 : error.operand;
  const floor = exact ? 0 : error.floor;
  let sum = initial;
  let bound = 0;
  for (let from = 0; from < a.length; from += block) {
    let largest = Math.abs(sum);
    for (let k = from; k < Math.min(a.length, from + block); k++) {
      const x = Math.abs(a[k]!), y = Math.abs(b[k]!);
      const dx = operand * x + floor, dy = operand * y + floor;
      bound += x * dy + y * dx + dx * dy + (exact && products > 1 ? 0 : error.product) * x * y;
      sum += a[k]! * b[k]!;
      largest = Math.max(largest, x * y);
    }
    bound += products * addition * Math.max(largest, Math.abs(sum));
  }
  // The computed partial sums differ from the true ones by no more than the bound itself: a second-order term.
  const steps = Math.ceil(a.length / block) * products;
  return bound * (1 + steps * addition) ** 2;
}
