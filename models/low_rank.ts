/**
 * A matrix `E(i, j)` taken apart: `E = diag(d) + Σ_r left_r right_rᵀ`. Every delta rule has this form with one term, so
 * that E can meet a column in O(K) operations instead of K².
 *
 * @module
 */
import type { SymbolicIndex } from "./arith.ts";
import { freeSymbols } from "./evaluate.ts";
import type { Expr, SymbolicAlgebra } from "./symbolic.ts";

/** `left(i) · right(j)`. */
export interface RankOne {
  readonly left: Expr;
  readonly right: Expr;
}

/** `E(i, j) = eye(i, j)·diagonal + Σ left(i)·right(j)`; in `diagonal` i and j stand for the same position. */
export interface LowRank {
  readonly diagonal: Expr;
  readonly terms: readonly RankOne[];
}

/** Takes an expression in i and j apart; undefined where it is no such sum of products. */
export function lowRank(A: SymbolicAlgebra, E: Expr, i: SymbolicIndex, j: SymbolicIndex): LowRank | undefined {
  const one = A.of(1);
  const apart = (e: Expr): LowRank | undefined => {
    const free = freeSymbols(e);
    if (!free.has(j.symbol)) return { diagonal: A.of(0), terms: [{ left: e, right: one }] };
    if (!free.has(i.symbol)) return { diagonal: A.of(0), terms: [{ left: one, right: e }] };
    switch (e.op) {
      case "eye":
        return { diagonal: one, terms: [] };
      case "neg": {
        const a = apart(e.a);
        return a && scaled(a, A.of(-1));
      }
      case "add":
      case "sub": {
        const [a, b] = [apart(e.a), apart(e.b)];
        if (a === undefined || b === undefined) return undefined;
        const second = e.op === "add" ? b : scaled(b, A.of(-1));
        return { diagonal: A.add(a.diagonal, second.diagonal), terms: [...a.terms, ...second.terms] };
      }
      case "mul": {
        const [a, b] = [apart(e.a), apart(e.b)];
        return a && b && product(a, b);
      }
      default:
        return undefined;
    }
  };
  const scaled = ({ diagonal, terms }: LowRank, c: Expr): LowRank => ({
    diagonal: A.mul(c, diagonal),
    terms: terms.map(({ left, right }) => ({ left: A.mul(c, left), right })),
  });
  const whole = (x: LowRank): Expr =>
    x.terms.reduce((sum, { left, right }) => A.add(sum, A.mul(left, right)), x.diagonal);
  const product = (a: LowRank, b: LowRank): LowRank => {
    // Entry by entry: eye · anything lies on the diagonal.
    const diagonal = A.add(
      A.mul(a.diagonal, whole(b)),
      A.mul(a.terms.reduce((sum, { left, right }) => A.add(sum, A.mul(left, right)), A.of(0)), b.diagonal),
    );
    const terms = a.terms.flatMap((x) =>
      b.terms.map((y) => ({ left: A.mul(x.left, y.left), right: A.mul(x.right, y.right) }))
    );
    return { diagonal, terms };
  };
  return apart(E);
}
