/**
 * The three parts of a prefix-scannable network: Enc, Agg and Inf, each a text of operations with its parameters. What they
 * mean together is psm_network.ts.
 *
 * @module
 */
import type { Parameters, ParameterSpecs, TensorOps, TokenNetwork } from "./ops.ts";

/** Enc: a vector per token, from the token and its place in the chunk. */
export interface ChunkEncoder {
  readonly parameters: ParameterSpecs;
  /** Tokens `[B, n]` → `[B, n, d]`. */
  embed<T, I>(ops: TensorOps<T, I>, parameters: Parameters<T>, tokens: I): T;
  /** Vectors `[N, m, d]` of tokens at places `from … from + m − 1` of their chunk → the same with their places. */
  place<T, I>(ops: TensorOps<T, I>, parameters: Parameters<T>, x: T, from: number): T;
  /** The same at the places `[m]`, which are read when it runs: what a stream needs to run one text at every place. */
  placeAt?<T, I>(ops: TensorOps<T, I>, parameters: Parameters<T>, x: T, places: I): T;
  /** The head `[d, vocabulary]` that is tied to the embedding. Default: the network has one of its own. */
  head?<T, I>(ops: TensorOps<T, I>, parameters: Parameters<T>): T;
}

/** Agg: joins the summaries `[N, …]` of N pairs of neighbouring spans, the earlier first. Any function. */
export interface ChunkAggregator {
  readonly name: string;
  readonly parameters: ParameterSpecs;
  /** Whether it claims the associative law. Default: no. */
  readonly associative?: boolean;
  combine<T, I>(ops: TensorOps<T, I>, parameters: Parameters<T>, earlier: T, later: T): T;
  /** Encoded chunks `[N, c, d]` → their summaries `[N, …]`. Default: a chunk is its own. */
  leaf?<T, I>(ops: TensorOps<T, I>, parameters: Parameters<T>, x: T): T;
  /** Summaries `[N, …]` → what Inf sees of them, `[N, m, d]`. Default: a summary is that. */
  read?<T, I>(ops: TensorOps<T, I>, parameters: Parameters<T>, summary: T): T;
}

/** What a stream keeps of a prefix and the tokens behind it as rows of caches with room: one text at every place of a chunk. */
export interface CachedChunk {
  /** Arrays that are kept, `[N, room, width]` each. */
  readonly arrays: number;
  readonly width: number;
  /**
   * {@link ChunkDecoder.append} for the last of `count` `[1]` tokens, those of the prefix among them. Token t is row t of the caches,
   * which are used up: what is kept then is they, with the token.
   */
  next<T, I>(
    ops: TensorOps<T, I>,
    parameters: Parameters<T>,
    caches: readonly T[],
    count: I,
    x: T,
  ): { readonly hidden: T; readonly cache: readonly T[] };
}

/** Inf: final vectors of the tokens of a chunk, given what precedes it. Causal inside the chunk. */
export interface ChunkDecoder {
  readonly parameters: ParameterSpecs;
  /** Prefixes `[N, m, d]`, or none, and tokens `[N, n, d]` from the beginning of a chunk → `[N, n, d]`. */
  whole<T, I>(ops: TensorOps<T, I>, parameters: Parameters<T>, prefix: T | undefined, x: T): T;
  /** What a stream keeps of a prefix: made once per chunk, so that no token runs over the prefix again. */
  seed<T, I>(ops: TensorOps<T, I>, parameters: Parameters<T>, prefix: T): readonly T[];
  /** The next tokens `[N, n, d]` of a chunk, and what is kept then; a chunk without a prefix begins with nothing kept. */
  append<T, I>(
    ops: TensorOps<T, I>,
    parameters: Parameters<T>,
    cache: readonly T[],
    x: T,
  ): { readonly hidden: T; readonly cache: readonly T[] };
  /** Where what is kept is an array of rows, `[N, m, width]`, one for each vector of the prefix and each token. */
  readonly cached?: CachedChunk;
}

/** A prefix-scannable network in its parts. */
export interface PsmParts {
  readonly name: string;
  readonly vocabulary: number;
  /** Width of the vectors. */
  readonly d: number;
  /** Tokens per chunk, ≥ 1. */
  readonly chunk: number;
  readonly enc: ChunkEncoder;
  readonly agg: ChunkAggregator;
  readonly inf: ChunkDecoder;
}

/** A network from parts, which its streaming form (psm_decoder.ts) uses too. */
export interface PsmNetwork extends TokenNetwork, PsmParts {}
