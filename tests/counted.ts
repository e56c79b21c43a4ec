/**
 * Numbers that count roundings: what f32 kernels may be off, derived from the same text that says what they compute.
 *
 * A number is (value, majorant, count): whatever the order of its sums, an f32 computation of the same formula errs by at
 * most `count · u · majorant`, u = 2^−24. Sums add majorants, products multiply them; a sum of n terms costs each of them n
 * roundings at most in any order. The units of functions are those of models/accuracy.ts, rounded up for second order.
 */
import type { Analytic } from "../models/arith.ts";
import { f64 } from "../models/number.ts";
import { numericIndexing } from "../models/numeric.ts";

export interface Counted {
  readonly value: number;
  readonly majorant: number;
  readonly count: number;
}

/** A number that is an f32 one, or not used as such. */
export function exactly(value: number): Counted {
  return { value, majorant: Math.abs(value), count: 0 };
}

/** The most that f32 may be off; a flushed result included. */
export function allowance({ majorant, count }: Counted): number {
  return count * 2 ** -24 * (1 + count * 2 ** -20) * majorant + 2 ** -126;
}

const of = (value: number): Counted => ({
  value,
  majorant: Math.abs(value),
  count: Math.fround(value) === value ? 0 : 1,
});

const add = (a: Counted, b: Counted): Counted => ({
  value: a.value + b.value,
  majorant: a.majorant + b.majorant,
  count: Math.max(a.count, b.count) + 1,
});

/** A function whose result errs by `units` of itself, and `slope` times its argument's error. */
function through(a: Counted, value: number, slope: number, units: number): Counted {
  const majorant = Math.max(Math.abs(value), Math.abs(slope) * a.majorant);
  return { value, majorant, count: a.count + units };
}

const refuse = (): never => {
  throw new Error("Cannot count the roundings of a shared exponent");
};

export const counted: Analytic<Counted> = {
  of,
  add,
  sub: (a, b) => add(a, counted.neg(b)),
  mul: (a, b) => ({
    value: a.value * b.value,
    majorant: a.majorant * b.majorant,
    count: a.count + b.count + 1,
  }),
  neg: (a) => ({ ...a, value: -a.value }),
  ...numericIndexing(exactly(0), exactly(1), add),
  max: (a, b) => ({
    value: Math.max(a.value, b.value),
    majorant: Math.max(a.majorant, b.majorant),
    count: Math.max(a.count, b.count),
  }),
  scale2: refuse,
  exponent: refuse,
  // A quotient may be a product with a reciprocal: 5 + 1.
  div: (a, b) => ({
    value: a.value / b.value,
    majorant: a.majorant / Math.abs(b.value) * Math.max(1, b.majorant / Math.abs(b.value)),
    count: a.count + b.count + 7,
  }),
  abs: (a) => ({ ...a, value: Math.abs(a.value) }),
  atLeast: (a, b, then, otherwise) => a.value >= b.value ? then : otherwise,
  exp: (a) => through(a, f64.exp(a.value), f64.exp(a.value), 4),
  expm1: (a) => through(a, f64.expm1(a.value), f64.exp(a.value), 9),
  sqrt: (a) => through(a, Math.sqrt(a.value), a.value === 0 ? 0 : 0.5 / Math.sqrt(a.value), 10),
  sigmoid: (a) => through(a, f64.sigmoid(a.value), f64.sigmoid(a.value) * f64.sigmoid(-a.value), 11),
  softplus: (a) => through(a, f64.softplus(a.value), f64.sigmoid(a.value), 15),
  expParts: refuse,
};
