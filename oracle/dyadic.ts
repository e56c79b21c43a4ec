/**
 * Exact numbers: `m · 2^e` with a BigInt mantissa and a JavaScript exponent. Every float is one, and they are closed
 * under +, −, · and scaling by powers of two; so a recurrence over floats has an exact value, and this is it.
 *
 * The representation is not unique (2 · 2^0 = 1 · 2^1): compare with {@link equals}, never by fields. Zero is 0 · 2^0.
 *
 * @module
 */

import type { Field, ScaledRing } from "../models/arith.ts";
import { exponentOf, numericIndexing, oddParts, powerOfTwo } from "../models/numeric.ts";

/** The number `m · 2^e`. */
export interface Dyadic {
  readonly m: bigint;
  readonly e: number;
}

const ZERO: Dyadic = { m: 0n, e: 0 };
const ONE: Dyadic = { m: 1n, e: 0 };

/** Zero, as every exact zero of this module. */
export const dyadicZero: Dyadic = ZERO;
/** One. */
export const dyadicOne: Dyadic = ONE;

/**
 * The exact value of a double (a float is one).
 *
 * @throws {RangeError} if `x` is NaN or infinite.
 */
export function fromNumber(x: number): Dyadic {
  if (!Number.isFinite(x)) throw new RangeError(`Cannot take the exact value: the number must be finite, got ${x}`);
  const { mantissa, exponent } = oddParts(x);
  return { m: BigInt(mantissa), e: exponent };
}

// 2^(1024 · 2^j), grown on demand.
const giants: bigint[] = [1n << 1024n];

/** The number of bits of `m ≥ 0`; 0 for 0. Linear in the size (a bigint has no length to ask for). */
export function bitLength(m: bigint): number {
  let bits = 0;
  if (m >= giants[0]!) {
    let j = 0;
    while (m >= giants[j]!) {
      j += 1;
      if (giants.length === j) giants.push(giants[j - 1]! * giants[j - 1]!);
    }
    while (j-- > 0) {
      if (m < giants[j]!) continue;
      m >>= BigInt(1024 * 2 ** j);
      bits += 1024 * 2 ** j;
    }
  }
  const near = Number(m);
  if (near === Infinity) return bits + 1024;
  const top = exponentOf(near);
  // Number(m) rounds, so 2^k − 1 may have become 2^k.
  return bits + (m === 0n ? 0 : m >> BigInt(top) === 0n ? top : top + 1);
}

/** Drops trailing zero bits, and makes every zero the same one, so that cancellation leaves nothing to drag along. */
function trimmed(m: bigint, e: number): Dyadic {
  // Looking at 64 bits is cheap; a shorter run of zeros costs less than its removal.
  if (BigInt.asUintN(64, m) !== 0n) return { m, e };
  if (m === 0n) return ZERO;
  const zeros = bitLength(m & -m) - 1;
  return { m: m >> BigInt(zeros), e: e + zeros };
}

/** a + b, exactly. */
export function add(a: Dyadic, b: Dyadic): Dyadic {
  if (a.m === 0n) return b;
  if (b.m === 0n) return a;
  const gap = a.e - b.e;
  if (gap === 0) return trimmed(a.m + b.m, a.e);
  return gap > 0 ? trimmed((a.m << BigInt(gap)) + b.m, b.e) : trimmed(a.m + (b.m << BigInt(-gap)), a.e);
}

/** −a, exactly. */
export function neg(a: Dyadic): Dyadic {
  return { m: -a.m, e: a.e };
}

/** a − b, exactly. */
export function sub(a: Dyadic, b: Dyadic): Dyadic {
  return add(a, { m: -b.m, e: b.e });
}

/** a · b, exactly. */
export function mul(a: Dyadic, b: Dyadic): Dyadic {
  const m = a.m * b.m;
  return m === 0n ? ZERO : { m, e: a.e + b.e };
}

/** |a|, exactly. */
export function abs(a: Dyadic): Dyadic {
  return a.m < 0n ? { m: -a.m, e: a.e } : a;
}

/** −1, 0 or 1. */
export function sign(a: Dyadic): number {
  return a.m > 0n ? 1 : a.m < 0n ? -1 : 0;
}

/** The integer `k` with `2^k ≤ |a| < 2^(k+1)`; 0 for a = 0. */
export function exponent(a: Dyadic): number {
  return a.m === 0n ? 0 : bitLength(a.m < 0n ? -a.m : a.m) - 1 + a.e;
}

/** Negative, 0 or positive as a < b, a = b or a > b. */
export function compare(a: Dyadic, b: Dyadic): number {
  const s = sign(a);
  const difference = s - sign(b);
  if (difference !== 0 || s === 0) return difference;
  const gap = a.e - b.e;
  // Far apart: do not align by an enormous shift where the leading bits decide.
  if (gap > 4096 || gap < -4096) {
    const apart = exponent(a) - exponent(b);
    if (apart !== 0) return s * apart;
  }
  const left = gap > 0 ? a.m << BigInt(gap) : a.m;
  const right = gap < 0 ? b.m << BigInt(-gap) : b.m;
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Whether a = b, however each is represented. */
export function equals(a: Dyadic, b: Dyadic): boolean {
  return a.e === b.e ? a.m === b.m : compare(a, b) === 0;
}

/** The larger one; `a` where they are equal. */
export function max(a: Dyadic, b: Dyadic): Dyadic {
  return compare(a, b) >= 0 ? a : b;
}

/** a · 2^k for an integer `k`, exactly. */
export function scale(a: Dyadic, k: number): Dyadic {
  return a.m === 0n ? ZERO : { m: a.m, e: a.e + k };
}

/** ⌊a · 2^bits⌋: the fixed-point form of `a`, from below. */
export function floorScaled(a: Dyadic, bits: number): bigint {
  const shift = a.e + bits;
  return shift >= 0 ? a.m << BigInt(shift) : a.m >> BigInt(-shift);
}

/** |m| / 2^drop to the nearest integer, ties to even; `drop` ≥ 1, `magnitude` ≥ 0. */
function dropBits(magnitude: bigint, drop: number): bigint {
  const width = BigInt(drop);
  const kept = magnitude >> width;
  const rest = BigInt.asUintN(drop, magnitude);
  const half = 1n << (width - 1n);
  return rest > half || (rest === half && (kept & 1n) === 1n) ? kept + 1n : kept;
}

/** The nearest number with at most `bits` significant bits, ties to even: relative error ≤ 2^-bits. */
export function roundTo(a: Dyadic, bits: number): Dyadic {
  const magnitude = a.m < 0n ? -a.m : a.m;
  const drop = bitLength(magnitude) - bits;
  if (drop <= 0) return a;
  const kept = dropBits(magnitude, drop);
  return trimmed(a.m < 0n ? -kept : kept, a.e + drop);
}

/** The nearest value with `precision` bits, least exponent `least` of a quantum and greatest exponent `greatest`. */
function toFloat(a: Dyadic, precision: number, least: number, greatest: number): number {
  if (a.m === 0n) return 0;
  const magnitude = a.m < 0n ? -a.m : a.m;
  const top = bitLength(magnitude) - 1 + a.e;
  const quantum = Math.max(top - precision + 1, least);
  let result: number;
  if (top > greatest) result = Infinity;
  else if (top < least - 1) result = 0;
  else {
    const drop = quantum - a.e;
    const kept = drop <= 0 ? magnitude << BigInt(-drop) : dropBits(magnitude, drop);
    // At most 2^precision, so this product is exact, or 2^(greatest + 1).
    result = Number(kept) * powerOfTwo(quantum);
    if (result >= 2 * powerOfTwo(greatest)) result = Infinity;
  }
  return a.m < 0n ? -result : result;
}

/** The nearest double, ties to even: subnormals included, ±Infinity beyond the range. */
export function toNumber(a: Dyadic): number {
  return toFloat(a, 53, -1074, 1023);
}

/** The nearest float, ties to even, rounded once: subnormals included, ±Infinity beyond the range. */
export function toF32(a: Dyadic): number {
  return toFloat(a, 24, -149, 127);
}

/**
 * a / b to the nearest number with `bits` significant bits, ties to even: relative error ≤ 2^-bits.
 *
 * @throws {RangeError} if b = 0.
 */
export function divide(a: Dyadic, b: Dyadic, bits: number): Dyadic {
  if (b.m === 0n) throw new RangeError(`Cannot divide: the divisor must not be 0, got ${toNumber(a)} / 0`);
  if (a.m === 0n) return ZERO;
  const numerator = a.m < 0n ? -a.m : a.m;
  const denominator = b.m < 0n ? -b.m : b.m;
  const shift = Math.max(0, bits + 2 - (bitLength(numerator) - bitLength(denominator)));
  const shifted = numerator << BigInt(shift);
  const quotient = shifted / denominator;
  // At least bits + 2 bits, so one more bit that says "and something" decides every rounding as the exact value does.
  const sticky = quotient * denominator === shifted ? 0n : 1n;
  const m = (quotient << 1n) | sticky;
  return roundTo({ m: (a.m < 0n) === (b.m < 0n) ? m : -m, e: a.e - b.e - shift - 1 }, bits);
}

/**
 * `x` as a JavaScript integer.
 *
 * @throws {RangeError} if `x` is not an integer of magnitude below 2^53.
 */
export function toInteger(x: Dyadic): number {
  const n = toNumber(x);
  if (!Number.isSafeInteger(n) || !equals(fromNumber(n), x)) {
    throw new RangeError(`Cannot use as an exponent: it must be an integer below 2^53, got ${n}`);
  }
  return n;
}

/** The exact ring: nothing in it rounds. */
export const dyadic: ScaledRing<Dyadic> = {
  ...numericIndexing<Dyadic>(ZERO, ONE, add),
  of: fromNumber,
  add,
  sub,
  mul,
  neg,
  max,
  scale2: (x: Dyadic, e: Dyadic): Dyadic => scale(x, toInteger(e)),
  exponent: (x: Dyadic): Dyadic => fromNumber(exponent(x)),
};

/**
 * The exact ring with a rounded division: the quotient to the nearest number with `bits` significant bits, so each
 * `div` adds a relative error ≤ 2^-bits and everything else none.
 *
 * @throws {RangeError} if `bits` is not an integer ≥ 1; from `div` if the divisor is 0.
 */
export function roundedDyadicField(bits: number = 96): Field<Dyadic> {
  if (!Number.isInteger(bits) || bits < 1) {
    throw new RangeError(`Cannot make a rounded field: bits must be an integer ≥ 1, got ${bits}`);
  }
  return {
    ...dyadic,
    div: (a: Dyadic, b: Dyadic): Dyadic => divide(a, b, bits),
    abs,
    atLeast: (a: Dyadic, b: Dyadic, then: Dyadic, otherwise: Dyadic): Dyadic => compare(a, b) >= 0 ? then : otherwise,
  };
}
