/**
 * Enclosures of a real number by two exact ones, and their certified rounding.
 *
 * @module
 */

import { add, compare, divide, type Dyadic, dyadicZero, roundTo, scale, sign, sub, toNumber } from "./dyadic.ts";

/** A real number known to lie in `[lo, hi]`. */
export interface Enclosure {
  readonly lo: Dyadic;
  readonly hi: Dyadic;
}

/** Rigorous enclosures of the functions of an `Analytic` algebra, at an exact argument. */
export interface Enclosures {
  exp(x: Dyadic): Enclosure;
  expm1(x: Dyadic): Enclosure;
  /** x ≥ 0. */
  sqrt(x: Dyadic): Enclosure;
  sigmoid(x: Dyadic): Enclosure;
  softplus(x: Dyadic): Enclosure;
}

/** hi − lo relative to the end nearer to 0; Infinity where 0 is inside a proper enclosure. As a double. */
export function relativeWidth({ lo, hi }: Enclosure): number {
  const width = sub(hi, lo);
  if (sign(width) === 0) return 0;
  if (sign(lo) * sign(hi) <= 0) return Infinity;
  return Math.abs(toNumber(divide(width, sign(lo) > 0 ? lo : hi, 53)));
}

/**
 * The enclosed number to `bits` significant bits. With a relative width ≤ 2^-bits the midpoint is off by at most
 * 2^-(bits+1) and its rounding by 2^-bits, so the result's relative error is below 2^-(bits-1).
 *
 * @throws {RangeError} if `lo > hi`, or if the enclosure is wider than 2^-bits relative to its end nearer to 0.
 */
export function roundEnclosure(x: Enclosure, bits: number = 96): Dyadic {
  const { lo, hi } = x;
  if (compare(lo, hi) > 0) {
    throw new RangeError(`Cannot round an enclosure: lo must be ≤ hi, got [${toNumber(lo)}, ${toNumber(hi)}]`);
  }
  const near = sign(lo) > 0 ? lo : sign(hi) < 0 ? { m: -hi.m, e: hi.e } : dyadicZero;
  if (compare(sub(hi, lo), scale(near, -bits)) > 0) {
    throw new RangeError(
      `Cannot round an enclosure: its relative width must be ≤ 2^-${bits}, got ${relativeWidth(x)} around ` +
        `${toNumber(lo)}`,
    );
  }
  return roundTo(scale(add(lo, hi), -1), bits);
}
