/**
 * Baselines at matched compute: what a Transformer-PSM multiplies per token, and the sliding-window decoder of the same width
 * that multiplies as much.
 *
 * In multiply-adds, embeddings, norms and the head left out: a block over a token takes `4d² + 2d·hidden` for its
 * projections and MLP, and `2d` for every key that the token sees. Of a chunk of c tokens,
 *
 *     Inf   takes 2c tokens through each of its blocks (in the last one queries and MLP of c of them), seeing (2c + 1)/2 keys
 *     Agg   is called twice (2n combines for n chunks), 2c tokens each (c in the last block), seeing 2c keys, or as Inf
 *
 * @module
 */
import type { WindowOptions } from "./transformer.ts";
import type { TransformerPsmOptions } from "./transformer_psm.ts";

/** Multiply-adds of `rows` queries and `rows` MLPs, of `all` keys and values, and of `pairs` of a query and a key it sees. */
function block(d: number, rows: number, all: number, pairs: number): number {
  return (2 * d * d + 8 * d * d) * rows + 2 * d * d * all + 2 * d * pairs;
}

/** Of a stack on `[prefix | chunk]`, c each, of which the last c are wanted. */
function pairStack(d: number, c: number, layers: number, mask: "bidirectional" | "causal"): number {
  const full = mask === "causal" ? c * (2 * c + 1) : 4 * c * c;
  const last = mask === "causal" ? c * c + c * (c + 1) / 2 : 2 * c * c;
  return (layers - 1) * block(d, 2 * c, 2 * c, full) + block(d, c, 2 * c, last);
}

/** Multiply-adds of one call of Agg and of one chunk of Inf behind a prefix; with an aggregator of one's own, Agg is 0. */
export function psmCosts(
  { d, chunk, aggLayers, infLayers, agg = "bidirectional" }: TransformerPsmOptions,
): { readonly agg: number; readonly inf: number } {
  return {
    agg: typeof agg === "string" ? pairStack(d, chunk, aggLayers, agg) : 0,
    inf: pairStack(d, chunk, infLayers, "causal"),
  };
}

/**
 * A sliding-window decoder of the same width that sees as far as Inf does, 2c tokens, with
 * `layers = round((2 Agg + Inf) / c / (12d² + 2d·2c))`, at least 1.
 */
export function matchedWindow(options: TransformerPsmOptions): WindowOptions {
  const { vocabulary, d, heads, chunk, dropout = 0, tied = false } = options;
  const { agg, inf } = psmCosts(options);
  const window = 2 * chunk;
  const layers = Math.max(1, Math.round((2 * agg + inf) / chunk / block(d, 1, 1, window)));
  return { vocabulary, d, heads, layers, window, dropout, tied };
}
