/**
 * The activations of a model over exact numbers: each function is enclosed, and its value rounded to 96 bits with a
 * certificate that the rounding is right to 2^-95.
 *
 * | operation                              | relative error |
 * |----------------------------------------|----------------|
 * | of, add, sub, mul, neg, sum, max, abs, atLeast, scale2, exponent | 0 |
 * | div                                    | ≤ 2^-96        |
 * | exp, expm1, sqrt, sigmoid, softplus    | ≤ 2^-95        |
 * | expParts: mantissa · 2^exponent        | ≤ 2^-95 (it equals `exp` exactly; mantissa in [1, 2]) |
 *
 * @module
 */

import type { Analytic } from "../models/arith.ts";
import {
  abs,
  add,
  bitLength,
  divide,
  type Dyadic,
  dyadicOne,
  exponent,
  fromNumber,
  mul,
  neg,
  roundedDyadicField,
  scale,
  sign,
  sub,
  toNumber,
} from "./dyadic.ts";
import { type Enclosure, type Enclosures, roundEnclosure } from "./enclosure.ts";
import { encloseExp, encloseExpm1 } from "./exp.ts";
import { encloseLog1p } from "./log1p.ts";

/** Working precision of the enclosures: 32 bits more than what their rounding needs. */
const WORK = 128;
/** Where |x| ≥ 256, e^-|x| < 2^-300: smaller than anything the results can show. */
const FAR = 8;
const NEGLIGIBLE: Dyadic = scale(dyadicOne, -200);

/** The reciprocal of a positive enclosure. */
function reciprocal({ lo, hi }: Enclosure): Enclosure {
  // A quotient to the nearest with w bits is off by less than 2^(1−w) of itself.
  const w = WORK + 8;
  const below = divide(dyadicOne, hi, w);
  const above = divide(dyadicOne, lo, w);
  return { lo: sub(below, scale(below, 1 - w)), hi: add(above, scale(above, 1 - w)) };
}

function encloseSqrt(x: Dyadic): Enclosure {
  if (sign(x) < 0) throw new RangeError(`Cannot take a square root: the argument must be ≥ 0, got ${toNumber(x)}`);
  if (sign(x) === 0) return { lo: x, hi: x };
  // x ≈ M 2^(2j), M = ⌊x 2^(−2j)⌋ with 2 WORK bits or one more; ⌊√M⌋ ≤ √(x 2^(−2j)) < ⌊√M⌋ + 1.
  const j = Math.floor((exponent(x) + 1) / 2) - WORK;
  const shift = x.e - 2 * j;
  const M = shift >= 0 ? x.m << BigInt(shift) : x.m >> BigInt(-shift);
  let s = 1n << BigInt(Math.ceil(bitLength(M) / 2));
  // Newton from above decreases until it reaches the floor.
  for (let next = (s + M / s) >> 1n; next < s; next = (s + M / s) >> 1n) s = next;
  const exact = s * s === M && (shift >= 0 || M << BigInt(-shift) === x.m);
  return { lo: { m: s, e: j }, hi: { m: exact ? s : s + 1n, e: j } };
}

function encloseSigmoid(x: Dyadic): Enclosure {
  if (sign(x) !== 0 && exponent(x) >= FAR) {
    if (sign(x) > 0) return { lo: sub(dyadicOne, NEGLIGIBLE), hi: dyadicOne };
    // y − y² ≤ y / (1 + y) ≤ y for y = e^x < 2^-300.
    const y = encloseExp(x, WORK);
    return { lo: sub(y.lo, mul(y.lo, NEGLIGIBLE)), hi: y.hi };
  }
  const { lo, hi } = encloseExp(neg(x), WORK);
  return reciprocal({ lo: add(dyadicOne, lo), hi: add(dyadicOne, hi) });
}

function encloseSoftplus(x: Dyadic): Enclosure {
  // log(1 + e^x) = max(x, 0) + log(1 + e^-|x|): a sum of non-negative numbers, so nothing cancels.
  if (sign(x) > 0 && exponent(x) >= FAR) return { lo: x, hi: add(x, NEGLIGIBLE) };
  const rest = encloseLog1p(encloseExp(neg(abs(x)), WORK), WORK);
  return sign(x) > 0 ? { lo: add(x, rest.lo), hi: add(x, rest.hi) } : rest;
}

/** Enclosures in BigInt fixed point, of relative width below 2^-120. */
export const fixedPointEnclosures: Enclosures = {
  exp: (x: Dyadic): Enclosure => encloseExp(x, WORK),
  expm1: (x: Dyadic): Enclosure => encloseExpm1(x, WORK),
  sqrt: encloseSqrt,
  sigmoid: encloseSigmoid,
  softplus: encloseSoftplus,
};

/** Forgets everything when it has this many entries: a bound on memory that needs no bookkeeping per use. */
const MEMO_ENTRIES = 1 << 16;

function memoised(f: (x: Dyadic) => Dyadic): (x: Dyadic) => Dyadic {
  const known = new Map<number, Map<bigint, Dyadic>>();
  let entries = 0;
  return (x: Dyadic): Dyadic => {
    let byMantissa = known.get(x.e);
    const hit = byMantissa?.get(x.m);
    if (hit !== undefined) return hit;
    const value = f(x);
    if (entries++ >= MEMO_ENTRIES) {
      known.clear();
      byMantissa = undefined;
      entries = 1;
    }
    if (byMantissa === undefined) known.set(x.e, byMantissa = new Map());
    byMantissa.set(x.m, value);
    return value;
  };
}

/**
 * The algebra of certified activations made from given enclosures: every function value is
 * {@link roundEnclosure | rounded to 96 bits with a certificate} and remembered by its argument.
 */
export function certifiedBy(enclosures: Enclosures): Analytic<Dyadic> {
  const exp = memoised((x) => roundEnclosure(enclosures.exp(x)));
  return {
    ...roundedDyadicField(96),
    exp,
    expm1: memoised((x) => roundEnclosure(enclosures.expm1(x))),
    sqrt: memoised((x) => roundEnclosure(enclosures.sqrt(x))),
    sigmoid: memoised((x) => roundEnclosure(enclosures.sigmoid(x))),
    softplus: memoised((x) => roundEnclosure(enclosures.softplus(x))),
    expParts(x: Dyadic): { readonly mantissa: Dyadic; readonly exponent: Dyadic } {
      const value = exp(x);
      const k = exponent(value);
      return { mantissa: scale(value, -k), exponent: fromNumber(k) };
    },
  };
}

/**
 * The algebra in which the oracle runs `gates` and `read`: exact where a ring is, certified to 2^-95 elsewhere.
 *
 * @throws {RangeError} from `div` by 0, from `sqrt` of a negative number, and from an exponential function if its
 * argument's magnitude is 2^40 or more.
 */
export const certified: Analytic<Dyadic> = certifiedBy(fixedPointEnclosures);
