/**
 * What mixes the tokens of a sequence in a block of a language model.
 *
 * @module
 */
import type { Parameters, ParameterSpecs, TensorOps } from "./ops.ts";

/** A causal map of `[B, n, d]` to `[B, n, d]`, its own projections included. */
export interface SequenceLayer {
  /** Lower case, words joined by `-`. */
  readonly name: string;
  readonly parameters: ParameterSpecs;
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
