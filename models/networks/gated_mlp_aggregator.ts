/**
 * A cheap aggregator without attention: each place of the chunk joins its two vectors by a gated MLP.
 *
 *     Agg(a, b) = norm(b + down(silu(gate(z)) ⊙ up(z)))        z = norm([a | b]) along the last axis
 *
 * Not associative.
 *
 * @module
 */
import { InputError } from "../error.ts";
import { layerNorm } from "./mlp.ts";
import { joined, under } from "./ops.ts";
import { normParameters, parameter, residualStd, weights } from "./parameters.ts";
import type { ChunkAggregator } from "./psm_parts.ts";

/** Summaries `[N, c, d]`; `hidden` defaults to 4d. */
export function gatedMlpAggregator(
  { d, hidden = 4 * d }: { readonly d: number; readonly hidden?: number },
): ChunkAggregator {
  if (!Number.isSafeInteger(hidden) || hidden < 1) {
    throw new InputError(`Cannot define gated-mlp: hidden must be a whole number ≥ 1, got ${hidden}`);
  }
  return {
    name: "gated-mlp",
    parameters: {
      ...joined({ norm: normParameters(2 * d), out: normParameters(d) }),
      gate: weights(2 * d, hidden),
      up: weights(2 * d, hidden),
      down: weights(hidden, d, residualStd(1)),
    },
    combine(ops, p, earlier, later) {
      const z = layerNorm(ops, under(p, "norm"), ops.concat([earlier, later], -1));
      const gate = ops.map("silu", ops.linear(z, parameter(p, "gate")));
      const added = ops.linear(ops.mul(gate, ops.linear(z, parameter(p, "up"))), parameter(p, "down"));
      return layerNorm(ops, under(p, "out"), ops.add(later, added));
    },
  };
}
