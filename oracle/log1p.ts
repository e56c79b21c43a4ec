/**
 * Certified enclosures of log(1 + y), in BigInt fixed point.
 *
 * @module
 */

import { add, compare, type Dyadic, dyadicOne, exponent, mul, neg, sign, sub, toNumber } from "./dyadic.ts";
import type { Enclosure } from "./enclosure.ts";

/**
 * log(1 + y) for every y in `[lo, hi]`, 0 ≤ lo ≤ 1: as narrow, relatively, as the argument but for a factor 3/2 and an
 * excess of 2^-bits (bits < 200).
 *
 * One evaluation at `lo` serves both ends: log(1 + hi) ≤ log(1 + lo) + (hi − lo).
 *
 * @throws {RangeError} if `lo` is not within [0, 1].
 */
export function encloseLog1p({ lo, hi }: Enclosure, bits: number): Enclosure {
  if (sign(lo) < 0 || compare(lo, dyadicOne) > 0) {
    throw new RangeError(`Cannot enclose log(1 + y): y must be in [0, 1], got ${toNumber(lo)}`);
  }
  const at = encloseAt(lo, bits);
  return { lo: at.lo, hi: add(at.hi, sub(hi, lo)) };
}

/** log(1 + y) = 2 artanh(z), z = y / (2 + y) ≤ 1/3, with F fractional bits. */
function encloseAt(y: Dyadic, bits: number): Enclosure {
  if (sign(y) === 0) return { lo: y, hi: y };
  const size = exponent(y);
  // y − y² ≤ log(1 + y) ≤ y.
  if (size < -200) return { lo: add(y, neg(mul(y, y))), hi: y };
  const F = bits - size + 14;
  const shift = BigInt(F);

  // y = m 2^e: z = m / (2^(1−e) + m), or m 2^e / (2 + m 2^e) for e > 0.
  const Z = y.e > 0
    ? ((y.m << BigInt(y.e)) << shift) / (2n + (y.m << BigInt(y.e)))
    : (y.m << shift) / ((1n << BigInt(1 - y.e)) + y.m);
  const W = (Z * Z) >> shift;

  // In units of 2^-F: Z loses below 1, W below 2z + 1 ≤ 5/3, and a power P below d/9 + (1/3)(5/3) + 1 < 2 if its
  // predecessor lost d < 2. So a term P / (2i + 1) loses below 2; once P = 0 the true powers are below 2, 2/9, …: all
  // the rest is below 3. Hence artanh(z) 2^F is in [S, S + 2n + 3], with n terms.
  let S = 0n;
  let n = 0n;
  for (let P = Z; P > 0n; P = (P * W) >> shift) {
    S += P / (2n * n + 1n);
    n += 1n;
  }
  return { lo: { m: S, e: 1 - F }, hi: { m: S + 2n * n + 3n, e: 1 - F } };
}
