/**
 * Softmax attention by its definition, one query of one head after the other.
 *
 * @module
 */
import type { Analytic } from "../models/arith.ts";
import { InputError } from "../models/error.ts";
import type { AttentionMask, AttentionOptions } from "../models/networks/ops.ts";
import { filled, type NdArray, requireShapes, sameShape } from "./nd_array.ts";

/** The keys that a query at `position` sees, of m: `from … to − 1`. */
function visible(mask: AttentionMask, position: number, m: number): readonly [from: number, to: number] {
  if (mask === "bidirectional") return [0, m];
  if (mask === "causal") return [0, position + 1];
  return [Math.max(0, position + 1 - mask.window), position + 1];
}

/** `softmax(scale q kᵀ + mask) v`, per head: q `[N, n, d]`, k, v `[N, m, d]` → `[N, n, d]`. Hidden keys are not computed. */
export function arrayAttention<N>(
  A: Analytic<N>,
  q: NdArray<N>,
  k: NdArray<N>,
  v: NdArray<N>,
  { heads, mask }: AttentionOptions,
): NdArray<N> {
  const [batch, n, d] = q.shape as readonly [number, number, number];
  const m = k.shape[1]!;
  const fits = q.shape.length === 3 && sameShape(k.shape, v.shape) && sameShape(k.shape, [batch, m, d]) && m >= n;
  requireShapes("attend", fits, "k and v must be [N, m, d] with m ≥ n for q [N, n, d]", q.shape, k.shape, v.shape);
  if (!Number.isSafeInteger(heads) || heads < 1 || d % heads !== 0) {
    throw new InputError(`Cannot attend: heads must divide d = ${d}, got ${heads}`);
  }
  if (typeof mask === "object" && (!Number.isSafeInteger(mask.window) || mask.window < 1)) {
    throw new InputError(`Cannot attend: the window must be a whole number ≥ 1, got ${mask.window}`);
  }
  const width = d / heads;
  const scale = A.of(1 / Math.sqrt(width));
  const weightsOf = (b: number, i: number, head: number, from: number, to: number): readonly N[] => {
    const query = (b * n + i) * d + head * width;
    const scores = Array.from({ length: to - from }, (_, j) => {
      const key = (b * m + from + j) * d + head * width;
      return A.mul(scale, A.sum(width, (c) => A.mul(q.data[query + (c as number)]!, k.data[key + (c as number)]!)));
    });
    const top = scores.reduce((a, s) => A.max(a, s));
    const powers = scores.map((s) => A.exp(A.sub(s, top)));
    const total = A.sum(powers.length, (j) => powers[j as number]!);
    return powers.map((p) => A.div(p, total));
  };
  let weights: readonly N[] = [];
  return filled(q.shape, (index) => {
    const [b, i, c] = [Math.floor(index / (n * d)), Math.floor(index / d) % n, index % d];
    const [from, to] = visible(mask, m - n + i, m);
    // Entries come in order, so a head's weights are made at its first one.
    if (c % width === 0) weights = weightsOf(b, i, c / width, from, to);
    return A.sum(to - from, (j) => A.mul(weights[j as number]!, v.data[(b * m + from + (j as number)) * d + c]!));
  });
}
