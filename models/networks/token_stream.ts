/**
 * Streaming a network: one token in, the logits of the next one out.
 *
 * @module
 */

/** An array as plain numbers. */
export interface SavedArray {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** All that a stream needs to go on, as plain data. */
export interface TokenStreamState {
  /** Tokens taken in. */
  readonly size: number;
  /** Those of a chunk begun, `[B]` each. */
  readonly pending: readonly (readonly number[])[];
  /** Arrays by what they are: `root.3`, `fold.2`, `state.0`. */
  readonly arrays: { readonly [name: string]: SavedArray };
}

/** A stream of B sequences at once. One call at a time: the next after the last has settled. */
export interface TokenStream {
  /** Tokens taken in so far, per sequence. */
  readonly size: number;
  /**
   * The next token of every sequence, `[B]` → logits `[B, vocabulary]`. Where it fails, the stream is as it was. Throws an
   * `InputError` for tokens that are not B ids of the vocabulary.
   */
  push(tokens: ArrayLike<number>): Promise<Float32Array | Float64Array>;
  /** The state as of now; later tokens leave it unchanged. */
  save(): Promise<TokenStreamState>;
  /** Goes on from a saved state in place of its own. Throws an `InputError` if it is not one of this network's. */
  restore(state: TokenStreamState): Promise<void>;
  /** Frees what the stream keeps; the parameters are the caller's. */
  close(): void;
}

/** A stream that can take in many tokens at once. */
export interface PrefilledStream extends TokenStream {
  /**
   * Takes in tokens `[B, n]` at once, in parallel: the state is that of a stream which was given them one by one. Only at the
   * beginning. Throws an `InputError` for tokens that are not B rows of ids of the vocabulary.
   */
  prefill(tokens: ArrayLike<number>): Promise<void>;
}

/** Options of a stream. */
export interface TokenStreamOptions {
  /** Sequences at once; default 1. */
  readonly batch?: number;
}
