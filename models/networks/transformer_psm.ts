/**
 * The Transformer-PSM (Yau et al. 2025, arXiv 2506.10918, section 4).
 *
 * | part | what it is |
 * |---|---|
 * | Enc | token embedding + embedding of the place inside the chunk |
 * | Agg | last c vectors of `aggLayers` blocks on `[x_i | x_j]`, layer norm; bidirectional (the paper) or causal (its code) |
 * | Inf | last c vectors of `infLayers` causal blocks on `[s | x]`, layer norm; a head of its own, or tied to Enc |
 *
 * @module
 */
import { attentionAggregator } from "./attention_aggregator.ts";
import { attentionDecoder } from "./attention_decoder.ts";
import { chunkEncoder } from "./chunk_encoder.ts";
import { psmNetwork } from "./psm_network.ts";
import type { ChunkAggregator, PsmNetwork } from "./psm_parts.ts";

/** Sizes of a Transformer-PSM. */
export interface TransformerPsmOptions {
  readonly vocabulary: number;
  /** Width. */
  readonly d: number;
  readonly heads: number;
  /** Tokens per chunk. */
  readonly chunk: number;
  readonly aggLayers: number;
  readonly infLayers: number;
  /** The mask of Agg, default `bidirectional`; or an aggregator of one's own. */
  readonly agg?: "bidirectional" | "causal" | ChunkAggregator;
  /** Rate of dropout; default 0. */
  readonly dropout?: number;
  /** Whether the head is the table of tokens, transposed; default false: a matrix of its own. */
  readonly tied?: boolean;
}

/** The network; with another aggregator its name says which. */
export function transformerPsm(options: TransformerPsmOptions): PsmNetwork {
  const { vocabulary, d, heads, chunk, aggLayers, infLayers, agg = "bidirectional", dropout = 0, tied = false } =
    options;
  const own = typeof agg === "string" ? undefined : agg;
  return psmNetwork({
    name: own === undefined ? "t-psm" : `t-psm with ${own.name}`,
    vocabulary,
    d,
    chunk,
    enc: chunkEncoder({ vocabulary, d, chunk, dropout, tied }),
    agg: own ?? attentionAggregator({ d, heads, layers: aggLayers, mask: agg as "bidirectional" | "causal", dropout }),
    inf: attentionDecoder({ d, heads, layers: infLayers, dropout }),
  });
}
