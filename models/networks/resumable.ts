/**
 * Networks that can go on from where they were: what a stream of tokens needs of one.
 *
 * @module
 */
import type { Parameters, TensorOps, TokenNetwork } from "./ops.ts";

/** What a network made of some tokens, and all that it keeps of them. */
export interface Resumed<T> {
  /** `[B, n, d]` */
  readonly hidden: T;
  /** Arrays whose shapes do not depend on the tokens; their number is the same after any tokens. */
  readonly state: readonly T[];
}

/** A {@link TokenNetwork} that reads on from a state (keys and values, recurrent states, the inputs of a convolution). */
export interface ResumableNetwork extends TokenNetwork {
  /** Largest number of tokens; absent where there is none. */
  readonly longest?: number;
  /**
   * Tokens `[B, n]` behind those of the state, at the places `places` `[n]` of the sequence: what {@link placeOf} says of
   * them. An empty state is the beginning.
   */
  resume<T, I>(
    ops: TensorOps<T, I>,
    parameters: Parameters<T>,
    tokens: I,
    places: I,
    state: readonly T[],
  ): Resumed<T>;
  /** The place of token t, as `resume` takes it: t itself, or where in a period it is. */
  placeOf(t: number): number;
}
