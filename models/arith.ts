/**
 * The algebras a model is written in.
 *
 * A model file never computes with `number` directly: it is a text over one of three algebras, so that the
 * same text runs exactly (`Dyadic`), certified (`Interval`), in f64, in f32, over a finite ring, as dual numbers
 * (gradients), as running error bounds, and as symbols (WGSL). Which algebra a stage receives says what is exact
 * in it: `step` and `lift` see only a {@link Ring}, so nothing in them can round in the exact instance.
 *
 * A model text never branches on an `N`, and never on an {@link Index}: under tracing both are symbols.
 *
 * @module
 */

/** A position on an axis: a number when a model is executed, a symbol when it is traced. */
export type Index = number | SymbolicIndex;

/** An index that has a name instead of a value; only tracing makes these. */
export interface SymbolicIndex {
  readonly symbol: string;
}

/** Exact operations: no instance of a Ring loses information in the oracle. */
export interface Ring<N> {
  /** The constant `x`, a finite JavaScript number, taken exactly. */
  of(x: number): N;
  add(a: N, b: N): N;
  sub(a: N, b: N): N;
  mul(a: N, b: N): N;
  neg(a: N): N;
  /** Σ_{i<n} term(i): 0 when n = 0. A primitive, so that a trace emits a loop and a bound any order of summation. */
  sum(n: number, term: (i: Index) => N): N;
  /** 1 where `i` equals `j`, else 0. */
  eye(i: Index, j: Index): N;
  /** `then(i)` where `i < n`, else `otherwise()`: how an index, never a value, chooses. */
  below(i: Index, n: number, then: (i: Index) => N, otherwise: () => N): N;
}

/** A Ring with the operations of a shared exponent: exact too (comparison and scaling by powers of two). */
export interface ScaledRing<N> extends Ring<N> {
  max(a: N, b: N): N;
  /** `x · 2^e` for an integer-valued `e`. */
  scale2(x: N, e: N): N;
  /** The integer `e` with `2^e ≤ |x| < 2^(e+1)`, as an `N`; 0 for x = 0. */
  exponent(x: N): N;
}

/** What a read-out may use besides the Ring: division and the piecewise functions. */
export interface Field<N> extends ScaledRing<N> {
  /** a / b; b ≠ 0 is the model's duty (its contract or its read-out must ensure it). */
  div(a: N, b: N): N;
  abs(a: N): N;
  /** `then` where a ≥ b, else `otherwise`; both are computed. How a derivative of max and |·| is written. */
  atLeast(a: N, b: N, then: N, otherwise: N): N;
}

/** What the activations (`gates`) may use: enclosed, not exact, in the oracle. */
export interface Analytic<N> extends Field<N> {
  exp(x: N): N;
  /** e^x − 1, accurate near 0. */
  expm1(x: N): N;
  sqrt(x: N): N;
  /** 1 / (1 + e^−x). */
  sigmoid(x: N): N;
  /** log(1 + e^x). */
  softplus(x: N): N;
  /** `mantissa · 2^exponent = e^x` with an integer exponent and a mantissa in [1/2, 2]: never overflows. */
  expParts(x: N): { readonly mantissa: N; readonly exponent: N };
}

/** Complex numbers over a Ring, for the models whose state is complex. */
export interface Complex<N> {
  readonly re: N;
  readonly im: N;
}

/** A dense matrix, row-major; rows are keys, columns are values. */
export type Matrix<M> = readonly (readonly M[])[];
