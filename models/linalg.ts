/**
 * Vectors and matrices over any Ring, so that a `step` reads like its paper's equation. Shapes are `[K]`, `[V]`,
 * `[K, V]`; every function is the plain definition.
 *
 * @module
 */
import type { Complex, Matrix, Ring } from "./arith.ts";

/**
 * Entry by entry, with the row's own operation looked up once: these run for every token of every check, in algebras that
 * the engine cannot tell apart.
 */
function mapRows<N>(X: Matrix<N>, columns: number, row: (x: readonly N[], out: N[], i: number) => void): Matrix<N> {
  const out: N[][] = new Array(X.length);
  for (let i = 0; i < X.length; i++) row(X[i]!, out[i] = new Array<N>(columns), i);
  return out;
}

/** `k vᵀ`: `[K]`, `[V]` → `[K, V]`. */
export function outer<N>(A: Ring<N>, k: readonly N[], v: readonly N[]): Matrix<N> {
  const { mul } = A;
  return k.map((ki) => {
    const row = new Array<N>(v.length);
    for (let j = 0; j < row.length; j++) row[j] = mul(ki, v[j]!);
    return row;
  });
}

/** `X + Y`, entry by entry. */
export function plus<N>(A: Ring<N>, X: Matrix<N>, Y: Matrix<N>): Matrix<N> {
  const { add } = A;
  return mapRows(X, X[0]?.length ?? 0, (x, out, i) => {
    const y = Y[i]!;
    for (let j = 0; j < out.length; j++) out[j] = add(x[j]!, y[j]!);
  });
}

/** `X − Y`, entry by entry. */
export function minus<N>(A: Ring<N>, X: Matrix<N>, Y: Matrix<N>): Matrix<N> {
  const { sub } = A;
  return mapRows(X, X[0]?.length ?? 0, (x, out, i) => {
    const y = Y[i]!;
    for (let j = 0; j < out.length; j++) out[j] = sub(x[j]!, y[j]!);
  });
}

/** `c · X` for a scalar `c`. */
export function scale<N>(A: Ring<N>, c: N, X: Matrix<N>): Matrix<N> {
  return scaleRows(A, X.map(() => c), X);
}

/** `diag(g) X`: row k of X times `g[k]`. */
export function scaleRows<N>(A: Ring<N>, g: readonly N[], X: Matrix<N>): Matrix<N> {
  const { mul } = A;
  return mapRows(X, X[0]?.length ?? 0, (x, out, k) => {
    const c = g[k]!;
    for (let j = 0; j < out.length; j++) out[j] = mul(c, x[j]!);
  });
}

/** `X ⊙ Y`, entry by entry. */
export function hadamard<N>(A: Ring<N>, X: Matrix<N>, Y: Matrix<N>): Matrix<N> {
  const { mul } = A;
  return mapRows(X, X[0]?.length ?? 0, (x, out, i) => {
    const y = Y[i]!;
    for (let j = 0; j < out.length; j++) out[j] = mul(x[j]!, y[j]!);
  });
}

/** `xᵀ y`. */
export function dot<N>(A: Ring<N>, x: readonly N[], y: readonly N[]): N {
  return A.sum(x.length, (i) => A.mul(x[i as number]!, y[i as number]!));
}

/** `qᵀ X`: `[K]`, `[K, V]` → `[V]`. */
export function vecMat<N>(A: Ring<N>, q: readonly N[], X: Matrix<N>): readonly N[] {
  return (X[0] ?? []).map((_, v) => A.sum(q.length, (k) => A.mul(q[k as number]!, X[k as number]![v]!)));
}

/** `X Y`. */
export function matMul<N>(A: Ring<N>, X: Matrix<N>, Y: Matrix<N>): Matrix<N> {
  return X.map((row) => vecMat(A, row, Y));
}

/** `c · x` for a scalar `c` and a vector `x`. */
export function scaleVector<N>(A: Ring<N>, c: N, x: readonly N[]): readonly N[] {
  return x.map((xi) => A.mul(c, xi));
}

/** `x ⊙ y`, entry by entry, for vectors. */
export function hadamardVector<N>(A: Ring<N>, x: readonly N[], y: readonly N[]): readonly N[] {
  return x.map((xi, i) => A.mul(xi, y[i]!));
}

/** `a b` for complex numbers. */
export function complexMul<N>(A: Ring<N>, a: Complex<N>, b: Complex<N>): Complex<N> {
  return {
    re: A.sub(A.mul(a.re, b.re), A.mul(a.im, b.im)),
    im: A.add(A.mul(a.re, b.im), A.mul(a.im, b.re)),
  };
}

/** `a + b` for complex numbers. */
export function complexAdd<N>(A: Ring<N>, a: Complex<N>, b: Complex<N>): Complex<N> {
  return { re: A.add(a.re, b.re), im: A.add(a.im, b.im) };
}

/** `re + i·im` as a matrix of complex numbers. */
export function complexMatrix<N>(re: Matrix<N>, im: Matrix<N>): Matrix<Complex<N>> {
  return re.map((row, i) => row.map((x, j) => ({ re: x, im: im[i]![j]! })));
}

/** `X ⊙ Y`, entry by entry, for complex numbers. */
export function complexHadamard<N>(A: Ring<N>, X: Matrix<Complex<N>>, Y: Matrix<Complex<N>>): Matrix<Complex<N>> {
  return X.map((row, i) => row.map((x, j) => complexMul(A, x, Y[i]![j]!)));
}

/** `X + Y`, entry by entry, for complex numbers. */
export function complexPlus<N>(A: Ring<N>, X: Matrix<Complex<N>>, Y: Matrix<Complex<N>>): Matrix<Complex<N>> {
  return X.map((row, i) => row.map((x, j) => complexAdd(A, x, Y[i]![j]!)));
}

/** `X diag(c)`: column j of a complex X times the real `c[j]`. */
export function complexScaleColumns<N>(A: Ring<N>, X: Matrix<Complex<N>>, c: readonly N[]): Matrix<Complex<N>> {
  return X.map((row) => row.map((x, j) => ({ re: A.mul(x.re, c[j]!), im: A.mul(x.im, c[j]!) })));
}
