/**
 * An associative aggregator: the pair of a gated linear recurrence, for every place of the chunk and channel.
 *
 *     leaf(x) = (σ(x W_a + b_a), x W_b)        (a1, b1) ∘ (a2, b2) = (a2 ⊙ a1, a2 ⊙ b1 + b2)        read(a, b) = b
 *
 * Its tree is its fold, so a network with it is an affine model with streaming memory O(1).
 *
 * @module
 */
import { parameter, weights } from "./parameters.ts";
import type { ChunkAggregator } from "./psm_parts.ts";

/** Summaries `[N, c, 2d]`: a, then b. The gates begin near σ(2), so that a summary lasts for some chunks. */
export function decayAggregator({ d }: { readonly d: number }): ChunkAggregator {
  return {
    name: "decay",
    associative: true,
    parameters: {
      gate: weights(d, d),
      gateBias: { shape: [d], initial: { kind: "values", values: [2] }, decay: false },
      value: weights(d, d),
    },
    leaf: (ops, p, x) =>
      ops.concat([
        ops.map("sigmoid", ops.linear(x, parameter(p, "gate"), parameter(p, "gateBias"))),
        ops.linear(x, parameter(p, "value")),
      ], -1),
    combine(ops, _, earlier, later) {
      const [a1, b1] = [ops.slice(earlier, -1, 0, d), ops.slice(earlier, -1, d, 2 * d)];
      const [a2, b2] = [ops.slice(later, -1, 0, d), ops.slice(later, -1, d, 2 * d)];
      return ops.concat([ops.mul(a2, a1), ops.add(ops.mul(a2, b1), b2)], -1);
    },
    read: (ops, _, summary) => ops.slice(summary, -1, d, 2 * d),
  };
}
