/**
 * What mixes the tokens of a sequence in a block of a language model.
 *
 * @module
 */
import type { Parameters, ParameterSpecs, TensorOps } from "./ops.ts";

/** Sizes of a layer. */
export interface LayerSizes {
  /** Width of the network. */
  readonly d: number;
  /** Heads, for models that have them; they must divide d. */
  readonly heads: number;
  /** Modes or keys of state-space models; default 16. */
  readonly stateSize?: number;
  /** Delta steps a token of DeltaProduct; default 2. */
  readonly steps?: number;
  /** Tokens that a layer with levels must have weights for; default 4096. */
  readonly longest?: number;
  /** Blocks of the network; default 1. */
  readonly layers?: number;
}

/** A causal map of `[B, n, d]` to `[B, n, d]`, its own projections included. */
export interface SequenceLayer {
  /** Lower case, words joined by `-`. */
  readonly name: string;
  readonly parameters: ParameterSpecs;
  /** Largest number of tokens; absent where there is none. */
  readonly longest?: number;
  /** All of a sequence at once. */
  whole<T, I>(ops: TensorOps<T, I>, parameters: Parameters<T>, x: T): T;
  /**
   * The tokens behind those of the state, and the state then; an empty one is the beginning. Absent where a layer has no such
   * form in these operations.
   */
  resume?<T, I>(
    ops: TensorOps<T, I>,
    parameters: Parameters<T>,
    x: T,
    state: readonly T[],
  ): { readonly y: T; readonly state: readonly T[] };
}
