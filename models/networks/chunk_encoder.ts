/**
 * Enc of the Transformer-PSM: the embedding of a token and that of its place inside the chunk. There are no absolute
 * positions: those beyond the training length would be untrained.
 *
 * @module
 */
import { headFrom } from "./head.ts";
import { parameter, positions, weights } from "./parameters.ts";
import type { ChunkEncoder } from "./psm_parts.ts";

/** Sizes of an encoder. */
export interface ChunkEncoderOptions {
  readonly vocabulary: number;
  readonly d: number;
  readonly chunk: number;
  /** Rate of dropout on what it returns; default 0. */
  readonly dropout?: number;
  /** Whether the network's head is the table of tokens, transposed; default false. */
  readonly tied?: boolean;
}

/** Two tables: tokens `[vocabulary, d]`, places `[chunk, d]`. */
export function chunkEncoder({ vocabulary, d, chunk, dropout = 0, tied = false }: ChunkEncoderOptions): ChunkEncoder {
  return {
    parameters: { tokens: weights(vocabulary, d), places: positions(chunk, d) },
    embed: (ops, p, tokens) => ops.embedding(parameter(p, "tokens"), tokens),
    place(ops, p, x, from) {
      const m = ops.shape(x)[1]!;
      const table = parameter(p, "places");
      const places = m === chunk ? table : ops.slice(table, 0, from, from + m);
      return ops.dropout(ops.add(x, places), dropout);
    },
    ...headFrom(tied, "tokens"),
    placeAt: (ops, p, x, places) => ops.dropout(ops.add(x, ops.embedding(parameter(p, "places"), places)), dropout),
  };
}
