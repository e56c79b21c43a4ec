/**
 * The two floating-point instances: `f64`, plain JavaScript numbers, and `f32`, the same with every operation rounded
 * to single precision.
 *
 * @module
 */

import type { Analytic } from "./arith.ts";
import { exponentOf, numericIndexing, powerOfTwo } from "./numeric.ts";

/** `x · 2^e`, rounded once: the steps before the last one are exact. */
function scale(x: number, e: number): number {
  if (e >= -1022 && e <= 1023) return x * powerOfTwo(e);
  if (Number.isNaN(e)) return NaN;
  if (x === 0 || !Number.isFinite(x)) return x;
  const from = exponentOf(x);
  const half = -Math.trunc(from / 2);
  const unit = x * powerOfTwo(half) * powerOfTwo(-from - half);
  const target = Math.max(-1080, Math.min(from + e, 1024));
  if (target > 1023) return unit * Infinity;
  if (target >= -1074) return unit * powerOfTwo(target);
  return unit * powerOfTwo(target + 1074) * powerOfTwo(-1074);
}

// ln 2 = LN2_HIGH + LN2_LOW, the first with 20 trailing zero bits: k · LN2_HIGH is exact for |k| < 2^20.
const LN2_HIGH = 6.93147180369123816490e-01;
const LN2_LOW = 1.90821492927058770002e-10;

/** e^x = mantissa · 2^exponent, mantissa in [0.7, 1.42]; relative error a few 2^-53 for |x| < 2^19. */
function exponentialParts(x: number): { readonly mantissa: number; readonly exponent: number } {
  const exponent = Math.round(x * Math.LOG2E);
  return { mantissa: Math.exp((x - exponent * LN2_HIGH) - exponent * LN2_LOW), exponent };
}

// Both forms use e^-|x| only, so neither overflows and neither cancels.
function logistic(x: number): number {
  const t = Math.exp(-Math.abs(x));
  return x < 0 ? t / (1 + t) : 1 / (1 + t);
}

function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

// As WGSL's select(otherwise, then, a >= b): `otherwise` where a or b is NaN.
function atLeast(a: number, b: number, then: number, otherwise: number): number {
  return a >= b ? then : otherwise;
}

/**
 * IEEE double precision. Each ring operation, `div` and `sqrt` rounds once; `sum` goes left to right; the exponential
 * functions are the host's, accurate to a few ulps. NaN spreads through `max` too; `atLeast` takes
 * `otherwise` where a or b is NaN.
 */
export const f64: Analytic<number> = {
  ...numericIndexing<number>(0, 1, (a, b) => a + b),
  of: (x: number): number => x,
  add: (a: number, b: number): number => a + b,
  sub: (a: number, b: number): number => a - b,
  mul: (a: number, b: number): number => a * b,
  neg: (a: number): number => -a,
  max: Math.max,
  scale2: scale,
  exponent: exponentOf,
  div: (a: number, b: number): number => a / b,
  abs: Math.abs,
  atLeast,
  exp: Math.exp,
  expm1: Math.expm1,
  sqrt: Math.sqrt,
  sigmoid: logistic,
  softplus,
  expParts: exponentialParts,
};

const r: (x: number) => number = Math.fround;

/**
 * IEEE single precision: every operation is the double one rounded to the nearest float, which for +, −, ·, / and √
 * of floats is the correctly rounded single operation. `of` rounds too: a constant that is no float becomes one. The
 * exponential functions are the double ones rounded, so off by at most (1/2 + 2^-27) ulp or so.
 */
export const f32: Analytic<number> = {
  ...numericIndexing<number>(0, 1, (a, b) => r(a + b)),
  of: r,
  add: (a: number, b: number): number => r(a + b),
  sub: (a: number, b: number): number => r(a - b),
  mul: (a: number, b: number): number => r(a * b),
  neg: (a: number): number => -a,
  max: Math.max,
  scale2: (x: number, e: number): number => r(scale(x, e)),
  exponent: exponentOf,
  div: (a: number, b: number): number => r(a / b),
  abs: Math.abs,
  atLeast,
  exp: (x: number): number => r(Math.exp(x)),
  expm1: (x: number): number => r(Math.expm1(x)),
  sqrt: (x: number): number => r(Math.sqrt(x)),
  sigmoid: (x: number): number => r(logistic(x)),
  softplus: (x: number): number => r(softplus(x)),
  expParts(x: number): { readonly mantissa: number; readonly exponent: number } {
    const { mantissa, exponent } = exponentialParts(x);
    return { mantissa: r(mantissa), exponent };
  },
};
