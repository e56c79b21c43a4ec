/**
 * Errors in units of the last place of a float, and the comparison of computed arrays with the truth.
 *
 * @module
 */

import { exponentOf, powerOfTwo } from "../models/numeric.ts";
import { abs, type Dyadic, exponent, fromNumber, scale, sign, sub, toNumber } from "./dyadic.ts";

/** The greatest exponent of a finite float, and the exponent of the least subnormal one. */
const TOP = 127;
const QUANTUM = -149;

function ulpExponent(binade: number): number {
  return Math.max(Math.min(binade, TOP) - 23, QUANTUM);
}

/**
 * The distance of neighbouring floats in the binade of `x`: 2^-149 around 0, 2^104 beyond the range of floats.
 * `x` need not be a float.
 *
 * @throws {RangeError} if `x` is NaN or infinite.
 */
export function ulpOf32(x: number | Dyadic): number {
  if (typeof x === "number") {
    if (!Number.isFinite(x)) throw new RangeError(`Cannot take an ulp: the number must be finite, got ${x}`);
    return powerOfTwo(x === 0 ? QUANTUM : ulpExponent(exponentOf(x)));
  }
  return powerOfTwo(sign(x) === 0 ? QUANTUM : ulpExponent(exponent(x)));
}

/**
 * |got − truth| in float ulps of the truth: the difference is exact, the quotient a double. Infinity where `got` is
 * NaN or infinite, so that a broken value is never close to anything.
 *
 * @throws {RangeError} if the truth is NaN or infinite.
 */
export function ulps(got: number, truth: number | Dyadic): number {
  const ulp = ulpOf32(truth);
  if (!Number.isFinite(got)) return Infinity;
  const exact = typeof truth === "number" ? fromNumber(truth) : truth;
  return toNumber(scale(abs(sub(fromNumber(got), exact)), -exponentOf(ulp)));
}

/**
 * What output buffers are filled with before a kernel runs, so that an element it does not write shows: a float that
 * no computation here arrives at. (NaN serves too, where the host lets it through.)
 */
export const POISON32: number = Math.fround(-1.2345678e33);

/** One element that is wrong, with all that a report needs. */
export interface BadElement {
  readonly index: number;
  readonly got: number;
  /** The truth, rounded to a double. */
  readonly truth: number;
  readonly ulps: number;
  /** What would have been allowed. */
  readonly allowed: number;
  readonly reason: "off" | "not finite" | "unwritten";
}

/** The outcome of {@link compare32}. */
export interface Comparison {
  readonly ok: boolean;
  /** How many elements are wrong, and the first of them. */
  readonly bad: number;
  readonly first?: BadElement;
  /** The largest error in ulps, and where; 0 at −1 for empty arrays. */
  readonly worst: number;
  readonly worstIndex: number;
}

/**
 * Compares a computed array with the truth, element by element, in float ulps of the truth.
 *
 * An element is wrong if its error exceeds `allowed` (a number of ulps, for all or for each index), if it is NaN or
 * infinite, or if it still is the `poison` its buffer was filled with — whatever `allowed` says.
 *
 * @throws {RangeError} if the lengths differ, if an allowance is NaN or negative, or if a truth is not finite.
 */
export function compare32(
  got: ArrayLike<number>,
  truth: ArrayLike<number | Dyadic>,
  allowed: number | ((index: number) => number),
  options: { readonly poison?: number } = {},
): Comparison {
  if (got.length !== truth.length) {
    throw new RangeError(
      `Cannot compare: lengths must be equal, got ${got.length} elements and ${truth.length} truths`,
    );
  }
  const poison = options.poison ?? POISON32;
  let bad = 0;
  let first: BadElement | undefined;
  let worst = 0;
  let worstIndex = -1;
  for (let index = 0; index < got.length; index++) {
    const value = got[index]!;
    const exact = truth[index]!;
    const limit = typeof allowed === "number" ? allowed : allowed(index);
    if (!(limit >= 0)) {
      throw new RangeError(`Cannot compare: allowed must be a number of ulps ≥ 0, got ${limit} at index ${index}`);
    }
    const error = ulps(value, exact);
    if (error > worst || worstIndex < 0) {
      worst = error;
      worstIndex = index;
    }
    const reason = !Number.isFinite(value) ? "not finite" : value === poison ? "unwritten" : error > limit ? "off" : "";
    if (reason === "") continue;
    bad += 1;
    const nearest = typeof exact === "number" ? exact : toNumber(exact);
    first ??= { index, got: value, truth: nearest, ulps: error, allowed: limit, reason };
  }
  return { ok: bad === 0, bad, worst, worstIndex, ...(first === undefined ? {} : { first }) };
}
