/**
 * Finite rings: integers modulo p, and modulo 2^32. Exact at any length at the price of one machine word, so the
 * structure of a scan can be compared bit for bit with a GPU's over millions of steps.
 *
 * There is no order and no exponent in a finite ring. What a {@link ScaledRing} adds is therefore defined only so far
 * that a text which keeps a shared exponent runs with that exponent constantly 0:
 * `exponent(x) = 0`, `scale2(x, 0) = x` (any other exponent is an error), `max` = the larger representative (so
 * `max(0, 0) = 0`, and `max` is associative, commutative and idempotent, but not monotone and not distributive).
 *
 * @module
 */

import type { ScaledRing } from "./arith.ts";
import { numericIndexing, oddParts } from "./numeric.ts";

function unscaled(ring: string): (x: number, e: number) => number {
  return (x: number, e: number): number => {
    if (e !== 0) throw new RangeError(`Cannot scale in ${ring}: the exponent must be 0, got ${e}`);
    return x;
  };
}

function finite(x: number, ring: string): void {
  if (!Number.isFinite(x)) throw new RangeError(`Cannot embed into ${ring}: the constant must be finite, got ${x}`);
}

/**
 * Z/p for an odd `p` below 2^16, elements 0 … p−1; every product fits 32 bits. Use a prime (65521 is the largest):
 * then every element but 0 is a unit and no product dies out.
 *
 * `of` is the ring homomorphism from the dyadic rationals: integers of either sign, and 1/2 ↦ (p+1)/2.
 *
 * @throws {RangeError} if `p` is not an odd integer in [3, 65535]; from `of` if the constant is not finite; from
 * `scale2` if the exponent is not 0.
 */
export function modular(p: number): ScaledRing<number> {
  if (!Number.isInteger(p) || p < 3 || p > 65535 || p % 2 === 0) {
    throw new RangeError(`Cannot make a ring modulo p: p must be an odd integer in [3, 65535], got ${p}`);
  }
  const ring = `Z/${p}`;
  const add = (a: number, b: number): number => {
    const c = a + b;
    return c >= p ? c - p : c;
  };
  const mul = (a: number, b: number): number => (Math.imul(a, b) >>> 0) % p;
  return {
    ...numericIndexing<number>(0, 1, add),
    of(x: number): number {
      finite(x, ring);
      const { mantissa, exponent } = oddParts(x);
      let value = ((mantissa % p) + p) % p;
      const factor = exponent < 0 ? (p + 1) / 2 : 2 % p;
      for (let k = Math.abs(exponent); k > 0; k--) value = mul(value, factor);
      return value;
    },
    add,
    sub: (a: number, b: number): number => a >= b ? a - b : a - b + p,
    mul,
    neg: (a: number): number => a === 0 ? 0 : p - a,
    max: Math.max,
    scale2: unscaled(ring),
    exponent: (): number => 0,
  };
}

/**
 * Z/2^32, elements 0 … 2^32−1: the arithmetic of WGSL's u32. Even elements are zero divisors, and a product of some
 * 33 random ones is 0: give it odd multipliers.
 *
 * @throws {RangeError} from `of` if the constant is not an integer; from `scale2` if the exponent is not 0.
 */
export const wrap32: ScaledRing<number> = {
  ...numericIndexing<number>(0, 1, (a, b) => (a + b) >>> 0),
  of(x: number): number {
    finite(x, "Z/2^32");
    if (!Number.isInteger(x)) throw new RangeError(`Cannot embed into Z/2^32: it must be an integer, got ${x}`);
    return x >>> 0;
  },
  add: (a: number, b: number): number => (a + b) >>> 0,
  sub: (a: number, b: number): number => (a - b) >>> 0,
  mul: (a: number, b: number): number => Math.imul(a, b) >>> 0,
  neg: (a: number): number => -a >>> 0,
  max: Math.max,
  scale2: unscaled("Z/2^32"),
  exponent: (): number => 0,
};
