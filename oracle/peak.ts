/**
 * Peaks: how large a result could be if every operand were the largest of its kind. What a product of tiles loses absolutely
 * is a share of that (`Tiles` in models/rounding.ts).
 *
 * Next to its value x every number carries p ≥ |x|: for an input, a state or a cotangent the largest of the sequence, for
 * what is computed the sum of its terms' peaks. An activation is not a product of tiles: its peak is its size.
 *
 * @module
 */
import type { Analytic } from "../models/arith.ts";
import { numericIndexing } from "../models/numeric.ts";
import { f64 } from "../models/number.ts";

/** A number and its peak. */
export interface Peaked {
  readonly x: number;
  readonly p: number;
}

/** A number whose peak is at least its own size. */
export function peaked(x: number, p: number = 0): Peaked {
  return { x, p: Math.max(Math.abs(x), p) };
}

const add = (a: Peaked, b: Peaked): Peaked => peaked(a.x + b.x, a.p + b.p);
const neg = (a: Peaked): Peaked => peaked(-a.x, a.p);
const activation = (f: (x: number) => number) => (a: Peaked): Peaked => peaked(f(a.x));

/** The algebra of peaks. */
export const peaks: Analytic<Peaked> = {
  ...numericIndexing<Peaked>(peaked(0), peaked(1), add),
  of: (x) => peaked(x),
  add,
  neg,
  sub: (a, b) => add(a, neg(b)),
  mul: (a, b) => peaked(a.x * b.x, a.p * b.p),
  max: (a, b) => peaked(Math.max(a.x, b.x), Math.max(a.p, b.p)),
  abs: (a) => peaked(Math.abs(a.x), a.p),
  scale2: (a, e) => peaked(f64.scale2(a.x, e.x), f64.scale2(a.p, e.x)),
  exponent: (a) => peaked(f64.exponent(a.x)),
  // To first order: what the quotient changes by with a and with b.
  div: (a, b) => b.x === 0 ? peaked(0) : peaked(a.x / b.x, (a.p + Math.abs(a.x / b.x) * b.p) / Math.abs(b.x)),
  atLeast: (a, b, then, otherwise) => peaked((a.x >= b.x ? then : otherwise).x, Math.max(then.p, otherwise.p)),
  exp: activation(f64.exp),
  expm1: activation(f64.expm1),
  sqrt: activation(f64.sqrt),
  sigmoid: activation(f64.sigmoid),
  softplus: activation(f64.softplus),
  expParts(a) {
    const { mantissa, exponent } = f64.expParts(a.x);
    return { mantissa: peaked(mantissa), exponent: peaked(exponent) };
  },
};
