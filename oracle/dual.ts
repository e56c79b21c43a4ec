/**
 * Forward-mode derivatives: numbers that carry their partial derivatives, over any algebra. Over exact numbers the
 * derivatives of a recurrence are exact, which makes them the truth for a backward kernel.
 *
 * Most partials of an intermediate value are zero (a token influences no earlier state), so only the others are kept.
 *
 * Subgradients where there is no derivative: `max(a, b)` at a = b has the derivative of `a`; `abs` at 0 has 0.
 * `exponent` has derivative 0 and so has the exponent operand of `scale2` (which is linear in its other operand):
 * a shared exponent cancels from the value, so what is computed with it is differentiated as if it were constant. In
 * `expParts` the mantissa carries the whole derivative.
 *
 * @module
 */

import type { Analytic, Field, Ring, ScaledRing } from "../models/arith.ts";
import { numericIndexing } from "../models/numeric.ts";

/** A value and its partial derivatives: `partials[i]` with respect to variable `indices[i]`, zero for all others. */
export interface Dual<N> {
  readonly value: N;
  /** Strictly increasing. */
  readonly indices: readonly number[];
  readonly partials: readonly N[];
}

const NONE: readonly never[] = [];

/** A number that depends on nothing. */
export function constant<N>(value: N): Dual<N> {
  return { value, indices: NONE, partials: NONE };
}

/**
 * The variable number `index`, at `value`.
 *
 * @throws {RangeError} if `index` is not an integer ≥ 0.
 */
export function variable<N>(A: Ring<N>, value: N, index: number): Dual<N> {
  if (!Number.isInteger(index) || index < 0) {
    throw new RangeError(`Cannot make a variable: its index must be an integer ≥ 0, got ${index}`);
  }
  return { value, indices: [index], partials: [A.of(1)] };
}

/** All partial derivatives with respect to the variables 0 … count−1, zeros included. */
export function gradient<N>(A: Ring<N>, x: Dual<N>, count: number): N[] {
  const all = Array.from({ length: count }, () => A.of(0));
  x.indices.forEach((index, i) => {
    if (index < count) all[index] = x.partials[i]!;
  });
  return all;
}

/** The partials of a function of one dual: each times the function's derivative. */
function chain<N>(x: Dual<N>, value: N, times: (partial: N) => N): Dual<N> {
  return x.indices.length === 0 ? constant(value) : { value, indices: x.indices, partials: x.partials.map(times) };
}

/** The partials of a function of two duals: a union of their indices. */
function merge<N>(
  a: Dual<N>,
  b: Dual<N>,
  value: N,
  ofA: (partial: N) => N,
  ofB: (partial: N) => N,
  add: (x: N, y: N) => N,
): Dual<N> {
  if (b.indices.length === 0) return chain(a, value, ofA);
  if (a.indices.length === 0) return chain(b, value, ofB);
  if (a.indices === b.indices) {
    return { value, indices: a.indices, partials: a.partials.map((p, i) => add(ofA(p), ofB(b.partials[i]!))) };
  }
  const indices: number[] = [];
  const partials: N[] = [];
  let i = 0;
  let j = 0;
  while (i < a.indices.length || j < b.indices.length) {
    const left = a.indices[i] ?? Infinity;
    const right = b.indices[j] ?? Infinity;
    indices.push(Math.min(left, right));
    if (left < right) partials.push(ofA(a.partials[i++]!));
    else if (right < left) partials.push(ofB(b.partials[j++]!));
    else partials.push(add(ofA(a.partials[i++]!), ofB(b.partials[j++]!)));
  }
  return { value, indices, partials };
}

function ring<N>(A: Ring<N>): Ring<Dual<N>> {
  const same = (p: N): N => p;
  const add = (a: Dual<N>, b: Dual<N>): Dual<N> => merge(a, b, A.add(a.value, b.value), same, same, A.add);
  return {
    ...numericIndexing(constant(A.of(0)), constant(A.of(1)), add),
    of: (x: number): Dual<N> => constant(A.of(x)),
    add,
    sub: (a: Dual<N>, b: Dual<N>): Dual<N> => merge(a, b, A.sub(a.value, b.value), same, A.neg, A.add),
    mul: (a: Dual<N>, b: Dual<N>): Dual<N> =>
      merge(a, b, A.mul(a.value, b.value), (p) => A.mul(p, b.value), (p) => A.mul(a.value, p), A.add),
    neg: (a: Dual<N>): Dual<N> => chain(a, A.neg(a.value), A.neg),
  };
}

function scaledRing<N>(A: ScaledRing<N>, sign: (x: N) => number): ScaledRing<Dual<N>> {
  return {
    ...ring(A),
    max: (a: Dual<N>, b: Dual<N>): Dual<N> => sign(A.sub(a.value, b.value)) >= 0 ? a : b,
    scale2: (x: Dual<N>, e: Dual<N>): Dual<N> => chain(x, A.scale2(x.value, e.value), (p) => A.scale2(p, e.value)),
    exponent: (x: Dual<N>): Dual<N> => constant(A.exponent(x.value)),
  };
}

function field<N>(A: Field<N>, sign: (x: N) => number): Field<Dual<N>> {
  return {
    ...scaledRing(A, sign),
    div(a: Dual<N>, b: Dual<N>): Dual<N> {
      // (da − q db) / b
      const q = A.div(a.value, b.value);
      return merge(a, b, q, (p) => A.div(p, b.value), (p) => A.neg(A.div(A.mul(q, p), b.value)), A.add);
    },
    abs(x: Dual<N>): Dual<N> {
      const s = sign(x.value);
      const value = A.abs(x.value);
      return s === 0 ? constant(value) : chain(x, value, s > 0 ? (p): N => p : A.neg);
    },
    atLeast: (a: Dual<N>, b: Dual<N>, then: Dual<N>, otherwise: Dual<N>): Dual<N> =>
      sign(A.sub(a.value, b.value)) >= 0 ? then : otherwise,
  };
}

function analytic<N>(A: Analytic<N>, sign: (x: N) => number): Analytic<Dual<N>> {
  const times = (factor: N) => (p: N): N => A.mul(factor, p);
  return {
    ...field(A, sign),
    exp(x: Dual<N>): Dual<N> {
      const y = A.exp(x.value);
      return chain(x, y, times(y));
    },
    expm1: (x: Dual<N>): Dual<N> => chain(x, A.expm1(x.value), times(A.exp(x.value))),
    sqrt(x: Dual<N>): Dual<N> {
      const y = A.sqrt(x.value);
      return chain(x, y, (p) => A.div(p, A.add(y, y)));
    },
    sigmoid(x: Dual<N>): Dual<N> {
      const y = A.sigmoid(x.value);
      // y (1 − y) with 1 − y = sigmoid(−x), which does not cancel.
      return chain(x, y, times(A.mul(y, A.sigmoid(A.neg(x.value)))));
    },
    softplus: (x: Dual<N>): Dual<N> => chain(x, A.softplus(x.value), times(A.sigmoid(x.value))),
    expParts(x: Dual<N>): { readonly mantissa: Dual<N>; readonly exponent: Dual<N> } {
      const { mantissa, exponent } = A.expParts(x.value);
      return { mantissa: chain(x, mantissa, times(mantissa)), exponent: constant(exponent) };
    },
  };
}

/**
 * Dual numbers over `A`, with as much algebra as `A` has. `sign` says on which side of 0 a number of `A` is (−1, 0, 1):
 * the only comparison that a derivative needs, and one that no algebra offers to a model.
 *
 * Exact over exact rings. Over an algebra that rounds, a partial rounds where the operations of the rule do: over
 * `certified`, `div` and `sqrt` divide the partials (2^-96 each) and the function values in a rule carry 2^-95.
 */
export function dual<N>(A: Analytic<N>, sign: (x: N) => number): Analytic<Dual<N>>;
export function dual<N>(A: Field<N>, sign: (x: N) => number): Field<Dual<N>>;
export function dual<N>(A: ScaledRing<N>, sign: (x: N) => number): ScaledRing<Dual<N>>;
export function dual<N>(A: Ring<N>): Ring<Dual<N>>;
export function dual<N>(
  A: Ring<N> | ScaledRing<N> | Field<N> | Analytic<N>,
  sign?: (x: N) => number,
): Ring<Dual<N>> {
  if (sign === undefined || !("max" in A)) return ring(A);
  if (!("div" in A)) return scaledRing(A, sign);
  return "exp" in A ? analytic(A, sign) : field(A, sign);
}
