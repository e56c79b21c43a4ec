/**
 * Weighted cross-entropy by its definition.
 *
 * @module
 */
import type { Analytic } from "../models/arith.ts";
import { type IdArray, type NdArray, requireShapes, rowOf, rowsOf, sameShape } from "./nd_array.ts";

/** `log Σ e^z`, one summand after the other: `log(e^a + e^z) = a + softplus(z − a)`, so that no logarithm is needed. */
function logSumExp<N>(A: Analytic<N>, z: readonly N[]): N {
  return z.reduce((sum, term) => A.add(sum, A.softplus(A.sub(term, sum))));
}

/** `−log softmax(x·head)[target]` of every row of x `[…, d]`; NaN for a target that is no id of the vocabulary. */
export function tokenLosses<N>(A: Analytic<N>, x: NdArray<N>, head: NdArray<N>, targets: IdArray): N[] {
  const what = "take the cross-entropy";
  const { width: d } = rowsOf(x.shape);
  const [rows, vocabulary] = head.shape as readonly [number, number];
  const fits = sameShape(x.shape.slice(0, -1), targets.shape);
  requireShapes(
    what,
    head.shape.length === 2 && rows === d,
    "head must be [d, vocabulary], x […, d]",
    x.shape,
    head.shape,
  );
  requireShapes(what, fits, "targets must be […] for x […, d]", x.shape, targets.shape);
  return targets.data.map((target, row) => {
    const values = rowOf(x, row);
    const logits = Array.from(
      { length: vocabulary },
      (_, j) => A.sum(d, (i) => A.mul(values[i as number]!, head.data[(i as number) * vocabulary + j]!)),
    );
    const own = logits[target];
    return own === undefined ? A.of(NaN) : A.sub(logSumExp(A, logits), own);
  });
}

/** `Σ w · loss / Σ w`, shape `[]`; 0 where all weights are 0. The target of a weight 0 may be any id. */
export function arrayCrossEntropy<N>(
  A: Analytic<N>,
  x: NdArray<N>,
  head: NdArray<N>,
  targets: IdArray,
  weights: NdArray<N>,
): NdArray<N> {
  const fits = sameShape(weights.shape, targets.shape);
  requireShapes("take the cross-entropy", fits, "weights must have the targets' shape", weights.shape, targets.shape);
  const zero = A.of(0);
  const losses = tokenLosses(A, x, head, targets);
  const total = A.sum(weights.data.length, (i) => weights.data[i as number]!);
  // Both branches are computed: what a weight of 0 leaves out may be NaN.
  const weighted = A.sum(losses.length, (i) => {
    const w = weights.data[i as number]!;
    return A.atLeast(zero, w, zero, A.mul(w, losses[i as number]!));
  });
  return { shape: [], data: [A.atLeast(zero, total, zero, A.div(weighted, total))] };
}
