/** Softmax attention and its gradients in f64 loops, and how far f32 kernels of kernels/nn may be off. */
import { wgslAccuracy } from "../models/accuracy.ts";
import type { AttentionMask } from "../models/networks/ops.ts";

export interface AttentionCase {
  readonly sequences: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly width: number;
  readonly mask: AttentionMask;
}

export interface AttentionArrays {
  readonly q: ArrayLike<number>;
  readonly k: ArrayLike<number>;
  readonly v: ArrayLike<number>;
}

/** A fault to plant: a mask that is off by one, a block that is left out. */
export type AttentionFault = "mask" | "block";

/** Whether the query in place i of the last `queries` sees key j. */
export function sees({ mask, keys, queries }: AttentionCase, i: number, j: number, fault?: AttentionFault): boolean {
  const position = keys - queries + i;
  if (fault === "block" && j < 32 && position >= 32) return false;
  const late = fault === "mask" && position > 0 ? 1 : 0;
  if (mask === "bidirectional") return j >= late;
  if (j > position - late) return false;
  return mask === "causal" || j > position - mask.window;
}

/** One head of one sequence: where its rows begin, and the shares of each query. */
export interface Head {
  readonly sequence: number;
  readonly head: number;
  queryAt(i: number): number;
  keyAt(j: number): number;
}

export function headsOf({ sequences, queries, keys, heads, width }: AttentionCase): Head[] {
  return Array.from({ length: sequences * heads }, (_, pair) => {
    const sequence = Math.floor(pair / heads), head = pair % heads;
    return {
      sequence,
      head,
      queryAt: (i) => ((sequence * queries + i) * heads + head) * width,
      keyAt: (j) => ((sequence * keys + j) * heads + head) * width,
    };
  });
}

/** Scores of a query, the sums of their terms' magnitudes, its shares and the logarithm of their sum. */
export interface Shares {
  readonly seen: readonly number[];
  readonly scores: Float64Array;
  readonly magnitudes: Float64Array;
  readonly shares: Float64Array;
  readonly log: number;
}

export function sharesOf(
  of: AttentionCase,
  { q, k }: Pick<AttentionArrays, "q" | "k">,
  { queryAt, keyAt }: Head,
  i: number,
  fault?: AttentionFault,
): Shares {
  const { keys, width } = of;
  const seen = Array.from({ length: keys }, (_, j) => j).filter((j) => sees(of, i, j, fault));
  const scores = new Float64Array(keys), magnitudes = new Float64Array(keys), shares = new Float64Array(keys);
  for (const j of seen) {
    for (let c = 0; c < width; c++) {
      const term = q[queryAt(i) + c]! * k[keyAt(j) + c]! / Math.sqrt(width);
      scores[j]! += term;
      magnitudes[j]! += Math.abs(term);
    }
  }
  const most = seen.reduce((most, j) => Math.max(most, scores[j]!), -Infinity);
  const sum = seen.reduce((sum, j) => sum + Math.exp(scores[j]! - most), 0);
  for (const j of seen) shares[j] = Math.exp(scores[j]! - most) / sum;
  return { seen, scores, magnitudes, shares, log: most + Math.log(sum) };
}

const { unit: u, exp } = wgslAccuracy;

/**
 * How far, relatively, a kernel's e^(score − maximum) may be off, all factors of blocks and spans included, to first order.
 *
 * A score is a chain of `width` multiply-adds (not fused at worst) of a query scaled by a rounded constant: `width + 3`
 * roundings of each term. The differences that are exponentiated, one of the score and one for each block and span that
 * raises the maximum, have one sign and add up to the score's distance from the largest; each is rounded, and so is its
 * exponential, and the product with it.
 */
export function shareError(of: AttentionCase, { scores, magnitudes, seen }: Shares, j: number): number {
  const most = seen.reduce((most, i) => Math.max(most, scores[i]!), -Infinity);
  const steps = Math.ceil(of.keys / 32) + 2 * Math.ceil(of.keys / 256);
  return u *
    ((of.width + 3) * magnitudes[j]! + (1 + exp.perArgument) * (most - scores[j]!) + (exp.units + 1) * (1 + steps));
}

export interface Expected {
  readonly values: Float64Array;
  readonly bounds: Float64Array;
}

/** Outputs `[N, n, d]` and logarithms `[N, n, heads]`, with bounds. */
export function attentionTruth(
  of: AttentionCase,
  arrays: AttentionArrays,
  fault?: AttentionFault,
): { readonly o: Expected; readonly stats: Expected } {
  const { sequences, queries, keys, heads, width } = of;
  const empty = (length: number): Expected => ({ values: new Float64Array(length), bounds: new Float64Array(length) });
  const o = empty(sequences * queries * heads * width);
  const stats = empty(sequences * queries * heads);
  // Additions after a block's or span's own.
  const later = Math.ceil(keys / 32) + Math.ceil(keys / 256);
  for (const head of headsOf(of)) {
    for (let i = 0; i < queries; i++) {
      const all = sharesOf(of, arrays, head, i, fault);
      const { seen, shares, log } = all;
      const errors = new Map(seen.map((j) => [j, shareError(of, all, j)]));
      const ofSum = seen.reduce((sum, j) => sum + shares[j]! * errors.get(j)!, 0) + (Math.min(keys, 32) + later) * u;
      for (let c = 0; c < width; c++) {
        let value = 0, bound = 0;
        for (const j of seen) {
          const term = shares[j]! * arrays.v[head.keyAt(j) + c]!;
          value += term;
          // A product, and the additions of the span's terms, one after the other.
          bound += Math.abs(term) * (errors.get(j)! + (1 + Math.min(keys, 256) + later) * u);
        }
        const at = head.queryAt(i) + c;
        o.values[at] = value;
        // The reciprocal and the product with it; second order; shares that are flushed to zero.
        o.bounds[at] = 1.01 * (bound + Math.abs(value) * (ofSum + 6 * u)) + keys * 2 ** -120;
      }
      const at = (head.sequence * queries + i) * heads + head.head;
      stats.values[at] = log;
      // The logarithm: 15 u of a logarithm in 0 … log m; its last sum and that with the maximum.
      stats.bounds[at] = 1.01 *
        (ofSum +
          u *
            (16 * Math.log(keys) + Math.abs(log) + Math.log(keys) +
              (of.width + 3) * all.magnitudes.reduce((a, b) => Math.max(a, b))));
    }
  }
  return { o, stats };
}

/** The largest error in units of its bound; NaN counts as infinite. */
export function excess(got: ArrayLike<number>, { values, bounds }: Expected): number {
  let worst = 0;
  for (let i = 0; i < values.length; i++) {
    const error = Math.abs(got[i]! - values[i]!);
    const ratio = error === 0 ? 0 : error / bounds[i]!;
    worst = Math.max(worst, Number.isNaN(ratio) ? Infinity : ratio);
  }
  return worst;
}

export interface AttentionGradientArrays {
  readonly dq: Expected;
  readonly dk: Expected;
  readonly dv: Expected;
}

/**
 * Gradients of `Σ o · dO`, with bounds for kernels that recompute shares from the forward pass's outputs and logarithms.
 * `mean` below is Σ_j p_j g_j, which a kernel takes from o · dO or from shares and slopes: the bound covers either.
 */
export function attentionGradientTruth(
  of: AttentionCase,
  arrays: AttentionArrays,
  dO: ArrayLike<number>,
  fault?: AttentionFault,
): AttentionGradientArrays {
  const { sequences, queries, keys, heads, width } = of;
  const d = heads * width;
  const empty = (rows: number): Expected => ({
    values: new Float64Array(sequences * rows * d),
    bounds: new Float64Array(sequences * rows * d),
  });
  const dq = empty(queries), dk = empty(keys), dv = empty(keys);
  const add = (to: Expected, at: number, value: number, bound: number): void => {
    to.values[at]! += value;
    to.bounds[at]! += bound;
  };
  const { q, k, v } = arrays;
  const forward = attentionTruth(of, arrays, fault);
  const scale = 1 / Math.sqrt(width);
  for (const head of headsOf(of)) {
    for (let i = 0; i < queries; i++) {
      const all = sharesOf(of, arrays, head, i, fault);
      const { seen, shares, scores, magnitudes, log } = all;
      const row = head.queryAt(i);
      const ofLog = forward.stats.bounds[(head.sequence * queries + i) * heads + head.head]!;
      const slopes = new Float64Array(keys), slopeErrors = new Float64Array(keys), errors = new Float64Array(keys);
      let mean = 0, meanError = 0;
      for (const j of seen) {
        let magnitude = 0;
        for (let c = 0; c < width; c++) {
          const term = dO[row + c]! * v[head.keyAt(j) + c]!;
          slopes[j]! += term;
          magnitude += Math.abs(term);
        }
        slopeErrors[j] = (width + 1) * u * magnitude;
        // The score's roundings, the difference's, the exponential's, the logarithm's own.
        errors[j] = (width + 3) * u * magnitudes[j]! + (1 + exp.perArgument) * u * Math.abs(scores[j]! - log) +
          exp.units * u + ofLog;
        mean += shares[j]! * slopes[j]!;
        meanError += shares[j]! *
          (Math.abs(slopes[j]!) * (errors[j]! + (keys + 1) * u) + slopeErrors[j]!);
      }
      let fromOutput = 0;
      for (let c = 0; c < width; c++) {
        fromOutput += Math.abs(dO[row + c]!) *
          (forward.o.bounds[row + c]! + (width + 1) * u * Math.abs(forward.o.values[row + c]!));
      }
      meanError = Math.max(meanError, fromOutput);
      for (const j of seen) {
        const share = shares[j]!;
        const slope = share * (slopes[j]! - mean);
        const slopeError = Math.abs(slope) * (errors[j]! + 2 * u) + share * (slopeErrors[j]! + meanError);
        const key = head.keyAt(j);
        for (let c = 0; c < width; c++) {
          const ofQuery = scale * slope * k[key + c]!,
            ofKey = scale * slope * q[row + c]!,
            ofValue = share * dO[row + c]!;
          // Products and additions, the scale and the product with it, and what was there being added to.
          add(dq, row + c, ofQuery, scale * slopeError * Math.abs(k[key + c]!) + (keys + 4) * u * Math.abs(ofQuery));
          add(dk, key + c, ofKey, scale * slopeError * Math.abs(q[row + c]!) + (queries + 4) * u * Math.abs(ofKey));
          add(dv, key + c, ofValue, (errors[j]! + (queries + 1) * u) * Math.abs(ofValue) + 2 ** -120);
        }
      }
    }
  }
  // Second order.
  for (const { bounds } of [dq, dk, dv]) for (let at = 0; at < bounds.length; at++) bounds[at]! *= 1.01;
  return { dq, dk, dv };
}
