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

/** A state of keys and values as rows of caches that have room for more: one recording serves any number of tokens. */
export interface CachedTokens {
  /** Arrays of a state, `[B, m, width]` each: the last `reach` tokens, or all there are. */
  readonly arrays: number;
  readonly width: number;
  readonly reach: number;
  /**
   * {@link ResumableNetwork.resume} for the last of `count` `[1]` tokens, `[B, 1]`, at `place` `[1]`. The caches `[B, room, width]`
   * hold token t in row t % room and are used up; the state returned is they, with the token.
   */
  next<T, I>(
    ops: TensorOps<T, I>,
    parameters: Parameters<T>,
    token: { readonly token: I; readonly place: I; readonly count: I },
    caches: readonly T[],
  ): Resumed<T>;
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
  /** Where a state is the keys and values of tokens, and so grows with them. */
  readonly cached?: CachedTokens;
  /** The place of token t, as `resume` takes it: t itself, or where in a period it is. */
  placeOf(t: number): number;
}
