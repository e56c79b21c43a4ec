/**
 * How exact WGSL's f32 arithmetic is, as the constants of an error bound. The judge may not import kernels, and the
 * kernels must keep what is promised here, so both read this file.
 *
 * Every entry is in units of `u = 2^-24` (half an ulp at the bottom of a binade): a result `fl(f(x))` of exact operands
 * satisfies `|fl(f(x)) − f(x)| ≤ (units + perArgument·|x|)·u·|f(x)| + flush`. Second-order terms are inside `units`:
 * each constant is rounded up from its derivation by more than they are.
 *
 * From WGSL's accuracy table: `+ − ×` correctly rounded (1 unit); `/` 2.5 ULP for a divisor in [2^-126, 2^126], and an
 * ULP is at most 2u of the value (5 units); `inverseSqrt` 2 ULP (4 units), `sqrt` is `1/inverseSqrt`: 4 + 5 units.
 * Fusing and reassociation are allowed only where the result is at least as accurate. Subnormal operands and results
 * may be flushed to zero, hence `flush` for every operation.
 *
 * exp, expm1, sigmoid and softplus are not WGSL's (its exp has 3 + 2|x| ULP, its log an absolute error of 2^-21), but
 * helper functions of trace.ts, built from + × / and bit patterns only:
 *
 * exp(x) = 2^n·p(r): n = round(x·log2 e), r = (x − n·C1) − n·C2 with C1 = 355/512 and C1 + C2 = ln 2.
 *   n·C1 is exact for |n| < 2^15 (C1 has 9 bits) and so is x − n·C1 (a multiple of both operands' least bit, smaller
 *   than both). |r| ≤ 0.3475. Error of r: u|r| from the last subtraction, and |n·C2|·2u ≤ 6.2e-4·|x|·u from the product
 *   and from C2 itself (|C2| < 2.13e-4, n ≤ 1.4427|x|).
 *   p is the Taylor polynomial of degree 8 by Horner's rule: remainder r^9/9! < 0.01u; roundings at r = −0.3475, the
 *   worst place: u(0.706 + 2·0.294 + 2·0.055 + …) ≤ 1.43u of p = 0.706, so 2.03u; coefficients 0.05u.
 *   Sum: 2.03 + 0.35 + 0.01 + 0.05 < 3 units + 2^-10 per unit of |x|. Scaling by 2^n works on bits: exact, or a flush.
 * expm1(x) = 2^n·(r·q(r)) + (2^n − 1): r·q(r) has 3 units (Taylor degree 7 for q: 1.41u/0.845 + 1 + …); worst at n = 1,
 *   r = −0.3466, where 2·3u·0.293 + 2·0.35u·0.707 + u·0.414 ≤ 2.7u of 0.414, 6.5 units; the error of r by the slope of
 *   exp is amplified by e^x/|e^x − 1| ≤ 3.42.
 * log1p(t), 0 ≤ t ≤ 1: 2·artanh(s), s = t/(2 + t) ≤ 1/3 (1 + 5 units); series in s² to s^14/15, remainder 0.03u; s² has
 *   13 units and moves the series by at most 0.04 of that; with its last sum and product 6 + 0.6 + 0.2 + 2 < 9 units.
 * softplus(x) = max(x, 0) + log1p(e^−|x|): the exponential's relative error enters log1p with a factor ≤ 1: 3 + 9 + 1.
 * sigmoid(x) = 1/(1 + t) or t/(1 + t), t = e^−|x|: 3 + 1 + 5.
 * expParts: mantissa as p above, valid for |x| ≤ 22000; its exponent is exact, and so are scale2 (but for a flush) and
 *   exponent.
 *
 * @module
 */

/** The error of one function: `(units + perArgument·|x|)·u` relative. */
export interface FunctionAccuracy {
  readonly units: number;
  readonly perArgument: number;
}

/** The arithmetic of a kernel as an error bound sees it. */
export interface Accuracy {
  /** u, the unit of everything else. */
  readonly unit: number;
  /** Absolute error of any operation whose operands or result may be flushed to zero. */
  readonly flush: number;
  /** Absolute error of a square root whose operand may be flushed: √flush. */
  readonly sqrtFlush: number;
  readonly add: FunctionAccuracy;
  readonly mul: FunctionAccuracy;
  readonly div: FunctionAccuracy;
  readonly sqrt: FunctionAccuracy;
  readonly exp: FunctionAccuracy;
  readonly expMantissa: FunctionAccuracy;
  readonly expm1: FunctionAccuracy;
  readonly sigmoid: FunctionAccuracy;
  readonly softplus: FunctionAccuracy;
}

const flat = (units: number): FunctionAccuracy => ({ units, perArgument: 0 });

/** WGSL's f32 with the helper functions of trace.ts. neg, abs, max, atLeast, scale2, exponent add no rounding. */
export const wgslAccuracy: Accuracy = {
  unit: 2 ** -24,
  flush: 2 ** -126,
  sqrtFlush: 2 ** -63,
  add: flat(1),
  mul: flat(1),
  div: flat(5),
  sqrt: flat(10),
  exp: { units: 3, perArgument: 2 ** -10 },
  expMantissa: { units: 3, perArgument: 2 ** -10 },
  expm1: { units: 8, perArgument: 2 ** -8 },
  sigmoid: { units: 10, perArgument: 2 ** -10 },
  softplus: { units: 14, perArgument: 2 ** -10 },
};
