/**
 * Certified enclosures of e^x at an exact argument, in BigInt fixed point.
 *
 * Every step below truncates downwards, so the computed value is a lower bound and one number, counted in the
 * comments, bounds what was lost.
 *
 * @module
 */

import { add, type Dyadic, dyadicOne, exponent, floorScaled, mul, neg, scale, sign } from "./dyadic.ts";
import type { Enclosure } from "./enclosure.ts";

/** Arguments halved this often before the series, and squared as often after it. */
const HALVINGS = 8;

let ln2Digits = { bits: 0, value: 0n };

/**
 * ⌊ln 2 · 2^bits⌋.
 *
 * ln 2 = 2 artanh(1/3) = Σ_{i≥0} 2 / ((2i+1) 3^(2i+1)). With W fractional bits, `p` is ⌊2^(W+1) / 3^(2i+1)⌋ exactly
 * (floors of floors by integers compose), so each of the n terms loses less than 1; the terms after p = 0 add less
 * than 1 + 1/9 + … < 2. Hence ln 2 · 2^W is in [sum, sum + n + 2], and both ends must agree after dropping the guard.
 */
function floorLn2(bits: number): bigint {
  if (bits > ln2Digits.bits) {
    const kept = Math.ceil(bits / 512) * 512;
    const guard = 64n;
    let sum = 0n;
    let n = 0n;
    for (let p = (2n << (BigInt(kept) + guard)) / 3n; p > 0n; p /= 9n) {
      sum += p / (2n * n + 1n);
      n += 1n;
    }
    if (sum >> guard !== (sum + n + 2n) >> guard) {
      throw new Error(`Cannot compute ln 2 to ${kept} bits: guard too small`);
    }
    ln2Digits = { bits: kept, value: sum >> guard };
  }
  return ln2Digits.value >> BigInt(ln2Digits.bits - bits);
}

function floorDivide(a: bigint, b: bigint): bigint {
  const q = a / b;
  return a < 0n && q * b !== a ? q - 1n : q;
}

/**
 * e^x in `[lo, hi]` with a relative width below 2^-bits, for |x| < 2^40.
 *
 * x = k ln 2 + r, e^x = 2^k (e^(r / 2^H))^(2^H). F fractional bits for r, hence G = F + H for u = r / 2^H.
 *
 * @throws {RangeError} if |x| ≥ 2^40.
 */
export function encloseExp(x: Dyadic, bits: number): Enclosure {
  if (sign(x) === 0) return { lo: dyadicOne, hi: dyadicOne };
  const magnitude = Math.max(0, exponent(x) + 1);
  if (magnitude > 40) {
    throw new RangeError(`Cannot enclose e^x: |x| must be below 2^40, got 2^${magnitude - 1} or more`);
  }
  const F = bits + magnitude + 12;
  const G = BigInt(F + HALVINGS);

  // X ≤ x 2^F < X + 1 and L ≤ ln 2 · 2^F < L + 1, so r 2^F is in [R, R + 2|k| + 1] for R = X − kL − |k|.
  const X = floorScaled(x, F);
  const L = floorLn2(F);
  let k = floorDivide(X, L);
  let R = X - k * L - (k < 0n ? -k : k);
  if (R < 0n) {
    k -= 1n;
    R = X - k * L - (k < 0n ? -k : k);
  }

  // Taylor at u = R 2^-G < 2^-8: a term loses less than u · 2 + 1 < 2 units of 2^-G, as its predecessor lost below 2;
  // after the last non-zero one, the first lost term is below 2 and the tail below 4. So with n terms after the 1,
  // e^u 2^G is in [Y, Y + 2n + 4], that is Y (1 + ε) with ε ≤ (2n + 4) 2^-G.
  let term = 1n << G;
  let Y = term;
  let n = 0n;
  for (;;) {
    term = ((term * R) >> G) / (n + 1n);
    if (term === 0n) break;
    Y += term;
    n += 1n;
  }
  // A squaring takes ε to at most 2ε + 2 · 2^-G: after H of them ε ≤ 2^H (2n + 6) 2^-G = (2n + 6) 2^-F.
  for (let h = 0; h < HALVINGS; h++) Y = (Y * Y) >> G;

  // r above R 2^-F by at most (2|k| + 1) 2^-F multiplies by at most 1 + 2 (2|k| + 1) 2^-F; one more for the products of
  // the two errors. Width: 2n + 4|k| + 9 < 2^9 + 2^(magnitude + 3) for n < 200, far below 2^(magnitude + 12).
  const lost = 2n * n + 4n * (k < 0n ? -k : k) + 9n;
  const e = Number(k - G);
  return { lo: { m: Y, e }, hi: { m: Y + ((Y * lost) >> BigInt(F)) + 1n, e } };
}

/** Below 2^-TINY a second-order term is beyond any precision asked for: `bits` must stay below TINY. */
const TINY = 200;

/**
 * e^x − 1 in `[lo, hi]` with a relative width below 2^-bits, for bits < 200.
 *
 * Near 0 the subtraction cancels −exponent(x) bits, which are asked for in addition; nearer still,
 * x ≤ e^x − 1 ≤ x + x² for |x| ≤ 1.
 */
export function encloseExpm1(x: Dyadic, bits: number): Enclosure {
  if (sign(x) === 0) return { lo: x, hi: x };
  const size = exponent(x);
  if (size < -TINY) return { lo: x, hi: add(x, mul(x, x)) };
  const minusOne = neg(dyadicOne);
  // From |x| ≥ 256 on, e^-|x| < 2^-200, and aligning e^x with 1 would cost as many bits as x / ln 2.
  if (size >= 8) {
    if (sign(x) < 0) return { lo: minusOne, hi: add(minusOne, scale(dyadicOne, -TINY)) };
    const { lo, hi } = encloseExp(x, bits + 1);
    return { lo: add(lo, neg(scale(lo, -TINY))), hi };
  }
  const { lo, hi } = encloseExp(x, bits + Math.max(0, -size) + 3);
  return { lo: add(lo, minusOne), hi: add(hi, minusOne) };
}
