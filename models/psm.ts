/**
 * Prefix-scannable models (Yau et al. 2025, arXiv 2506.10918): any aggregator, two drivers, one function.
 *
 * The tokens are cut into chunks `C_0, C_1, …` of c tokens, the last one possibly shorter. Meaning:
 *
 *     x_i = Enc(C_i)                         whole chunks only
 *     s_i = tree prefix of x_0 … x_{i−1}     nothing for i = 0: chunk 0 runs without a prefix
 *     outputs of chunk i = Inf(s_i, C_i)     one per token
 *
 * `Agg` may be any function: the tree is part of the model. {@link parallel} computes the prefixes by the static tree,
 * {@link stream} by the online counter; they build the same tree, so they agree exactly, at any length and any split.
 *
 * | name | paper |
 * |---|---|
 * | enc, agg, inf | Enc, Agg, Inf |
 * | chunk | c |
 *
 * @module
 */
import {
  blellochPrefill,
  Counter,
  type CounterMode,
  type CounterState,
  type Operator,
  type Root,
} from "../scan/mod.ts";
import { InputError } from "./error.ts";

/** A prefix-scannable model over tokens `C`, chunk summaries `M` and outputs `Y`. */
export interface Psm<C, M, Y> {
  readonly name: string;
  /** Tokens per chunk, ≥ 1. */
  readonly chunk: number;
  /** The summary of a whole chunk; must not change its argument. */
  enc(chunk: readonly C[]): M;
  /** Joins two neighbouring spans, the earlier one first. Any function of its operands alone; must not change them. */
  agg(earlier: M, later: M): M;
  /** Many independent pairs in one call: `result[i] = agg(earlier[i], later[i])`. The tree calls it once per level. */
  aggLevel?(earlier: readonly M[], later: readonly M[]): M[];
  /**
   * One output per token of a chunk, whole or only begun, given the prefix of all chunks before (`undefined` for chunk
   * 0). Causal inside the chunk: output i depends on the prefix and tokens 0 … i only, so that the outputs of a chunk
   * begun are those of the whole one, cut off. `checkPsm` of the oracle holds a model to this.
   */
  inf(prefix: M | undefined, chunk: readonly C[]): Y[];
  /**
   * `inf` one token at a time, for a stream: called once per chunk, it returns the function that takes the chunk's
   * tokens in order and returns the output of each (an attention layer seeds its cache with the prefix here). Where it is
   * missing, a stream calls `inf` on the chunk so far for every token, c/2 times the work.
   */
  open?(prefix: M | undefined): (token: C) => Y;
}

/** All a stream needs to go on: plain data, as serialisable as tokens and summaries. */
export interface PsmState<C, M> {
  readonly counter: CounterState<M>;
  /** The tokens of the chunk begun, fewer than a chunk. */
  readonly pending: readonly C[];
}

/** Outputs of every token, and the state from which a stream goes on. */
export interface PsmRun<C, M, Y> {
  readonly outputs: Y[];
  readonly state: PsmState<C, M>;
}

function checkChunk({ name, chunk }: { readonly name: string; readonly chunk: number }): void {
  if (!Number.isSafeInteger(chunk) || chunk < 1) {
    throw new InputError(`Cannot chunk ${name}: size must be an integer ≥ 1, got ${chunk}`);
  }
}

function operatorOf<C, M, Y>(psm: Psm<C, M, Y>): Operator<M> {
  return {
    combine: (earlier, later) => psm.agg(earlier, later),
    ...(psm.aggLevel === undefined
      ? {}
      : { combineLevel: (earlier: readonly M[], later: readonly M[]): M[] => psm.aggLevel!(earlier, later) }),
  };
}

function outputsOf<C, M, Y>(psm: Psm<C, M, Y>, prefix: M | undefined, chunk: readonly C[]): Y[] {
  const outputs = psm.inf(prefix, chunk);
  if (outputs.length !== chunk.length) {
    throw new InputError(
      `Cannot run ${psm.name}: inf must return one output per token (${chunk.length}), got ${outputs.length}`,
    );
  }
  return outputs;
}

/**
 * The training form: all chunks at once, prefixes by the static tree. n chunks take at most 2n combines, at most
 * 2⌈log2 n⌉ + 1 deep.
 *
 * @throws {InputError} if the chunk size is not an integer ≥ 1 or `inf` does not return one output per token.
 */
export function parallel<C, M, Y>(psm: Psm<C, M, Y>, tokens: readonly C[]): PsmRun<C, M, Y> {
  checkChunk(psm);
  const size = psm.chunk;
  const chunks: (readonly C[])[] = [];
  for (let from = 0; from < tokens.length; from += size) chunks.push(tokens.slice(from, from + size));
  const pending = chunks.at(-1)?.length === size ? [] : chunks.at(-1) ?? [];
  const op = operatorOf(psm);
  const whole = pending.length === 0 ? chunks : chunks.slice(0, -1);
  const { prefixes, state } = blellochPrefill(op, whole.map((chunk) => psm.enc(chunk)));
  const counter = new Counter(op);
  counter.restore(state);
  // What precedes a chunk begun is all of the tree: the fold of the roots, all but one of which the tree has made.
  if (pending.length > 0) prefixes.push(counter.prefix());
  const outputs = chunks.flatMap((chunk, i) => outputsOf(psm, prefixes[i], chunk));
  return { outputs, state: { counter: counter.save(), pending } };
}

/** Options of {@link stream}. */
export interface StreamOptions {
  /** How the counter trades memory for combines; `"cached"` unless told otherwise. */
  readonly mode?: CounterMode;
}

/**
 * The inference form: one token in, its output out, by the online counter over chunk summaries. It keeps at most
 * 2⌈log2(t+1)⌉ summaries after t chunks (refolding: ⌈log2(t+1)⌉) and the tokens of the chunk begun.
 */
export interface PsmStream<C, M, Y> {
  /** Tokens taken in so far. */
  readonly size: number;
  /** Takes in a token and returns its output. A function of the model that throws leaves the stream as it was. */
  push(token: C): Y;
  /** The counter's roots, most significant first: what a read-out over levels sees (log-linear attention). */
  roots(): Root<M>[];
  /** The summaries kept between tokens, each once. */
  held(): M[];
  /** The state as of now; later tokens leave it unchanged. */
  save(): PsmState<C, M>;
  /**
   * Continues from a saved state, of a stream in either mode or of {@link parallel}, in place of its own.
   *
   * @throws {InputError} if a whole chunk or more is pending.
   * @throws {RangeError} if the counter's state contradicts itself; the stream is then unchanged.
   */
  restore(state: PsmState<C, M>): void;
}

/**
 * Opens a stream of the model.
 *
 * @throws {InputError} if the chunk size is not an integer ≥ 1; from `push` if `inf` does not return one output per token.
 */
export function stream<C, M, Y>(psm: Psm<C, M, Y>, options: StreamOptions = {}): PsmStream<C, M, Y> {
  checkChunk(psm);
  const counter = new Counter(operatorOf(psm), options);
  let pending: readonly C[] = [];
  let inside: ((token: C) => Y) | undefined;
  /** The chunk's own stream, brought to where the pending tokens end. */
  const opened = (open: (prefix: M | undefined) => (token: C) => Y): (token: C) => Y => {
    const next = open(counter.prefix());
    for (const token of pending) next(token);
    return next;
  };
  return {
    get size(): number {
      return counter.size * psm.chunk + pending.length;
    },
    push(token) {
      const tokens = [...pending, token];
      let output: Y;
      // Forgotten until all has gone well: after a throw the chunk's stream may be anywhere.
      const kept = inside;
      inside = undefined;
      if (psm.open === undefined) output = outputsOf(psm, counter.prefix(), tokens)[pending.length] as Y;
      else {
        const next = kept ?? opened((prefix) => psm.open!(prefix));
        output = next(token);
        if (tokens.length < psm.chunk) inside = next;
      }
      if (tokens.length === psm.chunk) counter.push(psm.enc(tokens));
      pending = tokens.length === psm.chunk ? [] : tokens;
      return output;
    },
    roots: () => counter.roots(),
    held: () => counter.held(),
    save: () => ({ counter: counter.save(), pending: [...pending] }),
    restore(state) {
      if (state.pending.length >= psm.chunk) {
        throw new InputError(
          `Cannot restore ${psm.name}: pending tokens must be fewer than a chunk (${psm.chunk}), got ${state.pending.length}`,
        );
      }
      counter.restore(state.counter);
      pending = [...state.pending];
      inside = undefined;
    },
  };
}
