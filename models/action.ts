/**
 * The actions: how an element `(E, f)` of a model's monoid acts on a state, and how two elements compose.
 *
 * For every action but `matrix` each entry `S[k, v]` of the state is a recurrence of its own — a *lane* — whose
 * element and state are short tuples of numbers. That independence is what the GPU's generic kernel, the CPU scans
 * and the error bounds share, so it is written down once, here.
 *
 * The law, for every action: `apply(combine(e1, e2), s) = apply(e2, apply(e1, s))`, `e1` the earlier.
 *
 * @module
 */
import type { Complex, Index, Matrix, Ring, ScaledRing } from "./arith.ts";

/** What a model says of its `E`: identity, a scalar, one gate per entry, complex, with a shared exponent, a matrix. */
export type ActionName = "identity" | "scalar" | "diagonal" | "complex" | "scaled" | "matrix";

/** `s ↦ a s + b` on one real entry. */
export interface Affine<N> {
  readonly a: N;
  readonly b: N;
}

/**
 * `s ↦ f·2^p s + c·2^e` on one entry kept as `s·2^m`: the stabilised pair of mLSTM with a running maximum `m` of
 * integer exponents, so that rescaling is exact. `f` in [1, 2) or 0, `p ≤ 0`.
 */
export interface Scaled<N> {
  readonly f: N;
  readonly p: N;
  readonly c: N;
  readonly e: N;
}

/** `S ↦ E S + F`, entries by index: `E(i, j)` is `[K, K]`, `F(i, v)` is `[K, V]`. */
export interface MatrixElement<N> {
  readonly E: (i: Index, j: Index) => N;
  readonly F: (i: Index, v: Index) => N;
}

/** What `lift` returns, by action. */
export interface Elements<N> {
  identity: Affine<N>;
  scalar: Affine<N>;
  diagonal: Affine<N>;
  complex: { readonly a: Complex<N>; readonly b: Complex<N> };
  scaled: Scaled<N>;
  matrix: MatrixElement<N>;
}

/** What `step` takes and returns, by action: the state as the paper has it. */
export interface States<N> {
  identity: Matrix<N>;
  scalar: Matrix<N>;
  diagonal: Matrix<N>;
  complex: Matrix<Complex<N>>;
  scaled: Matrix<N>;
  matrix: Matrix<N>;
}

/** A tuple of numbers: one lane's element or state. */
export type Tuple<N> = readonly N[];

/** The monoid of one lane. */
export interface LaneAction {
  /** Numbers per entry of the state: 1, or 2 (complex: re, im; scaled: s, m). */
  readonly stateWidth: 1 | 2;
  /** Numbers per element. */
  readonly elementWidth: 2 | 4;
  /** The neutral element; exact in every algebra. Schedules on the CPU use a flag instead. */
  identity<N>(A: Ring<N>): Tuple<N>;
  /** The element that does `earlier`, then `later`. */
  combine<N>(A: ScaledRing<N>, earlier: Tuple<N>, later: Tuple<N>): Tuple<N>;
  /** The state after the element. */
  apply<N>(A: ScaledRing<N>, element: Tuple<N>, state: Tuple<N>): Tuple<N>;
}

const real: LaneAction = {
  stateWidth: 1,
  elementWidth: 2,
  identity: (A) => [A.of(1), A.of(0)],
  combine: (A, [a1, b1], [a2, b2]) => [A.mul(a2!, a1!), A.add(A.mul(a2!, b1!), b2!)],
  apply: (A, [a, b], [s]) => [A.add(A.mul(a!, s!), b!)],
};

/** `(x + iy)(u + iv)` as `[re, im]`. */
function times<N>(A: Ring<N>, x: N, y: N, u: N, v: N): readonly [N, N] {
  return [A.sub(A.mul(x, u), A.mul(y, v)), A.add(A.mul(x, v), A.mul(y, u))];
}

const complex: LaneAction = {
  stateWidth: 2,
  elementWidth: 4,
  identity: (A) => [A.of(1), A.of(0), A.of(0), A.of(0)],
  combine(A, [ar, ai, br, bi], [cr, ci, dr, di]) {
    const [er, ei] = times(A, cr!, ci!, ar!, ai!);
    const [fr, fi] = times(A, cr!, ci!, br!, bi!);
    return [er, ei, A.add(fr, dr!), A.add(fi, di!)];
  },
  apply(A, [ar, ai, br, bi], [sr, si]) {
    const [fr, fi] = times(A, ar!, ai!, sr!, si!);
    return [A.add(fr, br!), A.add(fi, bi!)];
  },
};

/** `f·2^p (s·2^m) + c·2^e` with the exponent `max(m + p, e, 0)`: the running maximum. */
function addScaled<N>(A: ScaledRing<N>, f: N, p: N, [s, m]: Tuple<N>, c: N, e: N): readonly [N, N] {
  const moved = A.add(m!, p);
  const top = A.max(A.max(moved, e), A.of(0));
  return [A.add(A.mul(f, A.scale2(s!, A.sub(moved, top))), A.scale2(c, A.sub(e, top))), top];
}

const scaled: LaneAction = {
  stateWidth: 2,
  elementWidth: 4,
  identity: (A) => [A.of(1), A.of(0), A.of(0), A.of(0)],
  combine(A, [f1, p1, c1, e1], [f2, p2, c2, e2]) {
    const product = A.mul(f2!, f1!);
    const carry = A.exponent(product);
    const [c, e] = addScaled(A, f2!, p2!, [c1!, e1!], c2!, e2!);
    return [A.scale2(product, A.neg(carry)), A.add(A.add(p1!, p2!), carry), c, e];
  },
  apply: (A, [f, p, c, e], state) => addScaled(A, f!, p!, state, c!, e!),
};

/** The lane monoid of every action whose entries are independent; `matrix` has none. */
export const laneActions: { readonly [P in Exclude<ActionName, "matrix">]: LaneAction } = {
  identity: real,
  scalar: real,
  diagonal: real,
  complex,
  scaled,
};

/** A lifted element as the tuple its lane action works on. */
export function elementTuple<N>(
  action: Exclude<ActionName, "matrix">,
  lifted: Elements<N>[Exclude<ActionName, "matrix">],
): Tuple<N> {
  if (action === "complex") {
    const { a, b } = lifted as Elements<N>["complex"];
    return [a.re, a.im, b.re, b.im];
  }
  if (action === "scaled") {
    const { f, p, c, e } = lifted as Scaled<N>;
    return [f, p, c, e];
  }
  const { a, b } = lifted as Affine<N>;
  return [a, b];
}
