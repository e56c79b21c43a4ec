/**
 * Streaming a prefix-scannable network: the binary counter over summaries, and Inf with what it keeps of the prefix.
 *
 *     at the first token of a chunk   seed Inf with the prefix, once
 *     at every token                  append it to what Inf keeps: with caches, one text at every place
 *     at the last token of a chunk    the chunk's summary goes into the counter
 *
 * No token runs over the prefix again, and at most 2⌈log2(t+1)⌉ summaries are held after t chunks.
 *
 * @module
 */
import { blellochPrefill, PlannedCounter } from "../../scan/mod.ts";
import { arrayTree } from "./_array_tree.ts";
import { checkedArrays, counterState } from "./_psm_state.ts";
import { chunkCaches } from "./_chunk_caches.ts";
import { type Held, type StreamBody, streamCalls } from "./_stream_calls.ts";
import { type Evaluator, type Parameters, under } from "./ops.ts";
import { leavesOf, readOf, wholeChunks } from "./psm_network.ts";
import type { PsmNetwork } from "./psm_parts.ts";
import type { PrefilledStream, SavedArray, TokenStreamOptions } from "./token_stream.ts";

/** A stream of a prefix-scannable network. */
export interface PsmDecoder extends PrefilledStream {
  /** Summaries held. */
  readonly held: number;
}

/** Opens a stream. Throws an {@link InputError} if the batch is no whole number ≥ 1 or a parameter is missing. */
export function psmDecoder<T, I>(
  network: PsmNetwork,
  evaluator: Evaluator<T, I>,
  parameters: Parameters<T>,
  options: TokenStreamOptions = {},
): PsmDecoder {
  const { chunk, enc, agg, inf } = network;
  const calls = streamCalls(network, evaluator, parameters, options);
  const { batch } = calls;
  const combined: StreamBody<T, I> = (ops, p, [a, b]) => [agg.combine(ops, under(p, "agg"), a!, b!)];
  const counter = new PlannedCounter<Held<T>>({
    async combine(earlier, later) {
      const [joined] = await calls.call("combine", [earlier, later], [], combined);
      return joined!;
    },
    release: (x) => calls.free([x]),
  });
  const caches = chunkCaches(network, calls);
  let pending: number[][] = [];
  /** Vectors of the prefix that the cache holds. */
  let seen = 0;
  let cache: readonly Held<T>[] = [];

  /** The vector and the next cache of a token at a place: at place 0 what is given is the prefix, or nothing. */
  const bodyAt = (place: number): StreamBody<T, I> => (ops, p, given, [token]) => {
    const [encoder, decoder] = [under(p, "enc"), under(p, "inf")];
    const x = enc.place(ops, encoder, enc.embed(ops, encoder, token!), place);
    const kept = place > 0 || given.length === 0 ? given : inf.seed(ops, decoder, readOf(ops, p, network, given[0]!));
    const next = inf.append(ops, decoder, kept, x);
    return [next.hidden, ...next.cache];
  };

  /** Logits and the next cache of the token behind the pending ones; a prefix is given at place 0, where there is one. */
  const following = async (tokens: number[], prefix: Held<T> | undefined): Promise<Held<T>[]> => {
    const place = pending.length;
    if (caches === undefined) {
      const given = place > 0 ? cache : prefix === undefined ? [] : [prefix];
      // Shapes alone would not tell a prefix from a cache.
      return await calls.predict(`place ${place}`, given, [[tokens, [batch, 1]]], bodyAt(place));
    }
    if (place > 0) return await caches.next(cache, seen, place, tokens);
    const begun = await caches.begin(prefix);
    try {
      const next = await caches.next(begun.cache, begun.seen, place, tokens);
      calls.freeBut(begun.cache, next);
      seen = begun.seen;
      return next;
    } catch (error) {
      calls.free(begun.cache);
      throw error;
    }
  };

  /** Takes in checked tokens; logits are the caller's. */
  const advance = async (tokens: number[]): Promise<Held<T>> => {
    const place = pending.length;
    const prefix = place === 0 ? await counter.prefix() : undefined;
    const [logits, ...next] = await following(tokens, prefix);
    const all = [...pending, tokens];
    const whole = all.length === chunk;
    try {
      if (whole) await summarise(all);
    } catch (error) {
      calls.freeBut([logits!, ...next], cache);
      throw error;
    }
    calls.freeBut(cache, next);
    if (whole) calls.free(next);
    [pending, cache] = whole ? [[], []] : [all, next];
    return logits!;
  };

  /** The summary of a whole chunk, `[c][B]` tokens, goes into the counter. */
  const summarise = async (tokens: readonly (readonly number[])[]): Promise<void> => {
    const rows = Array.from({ length: batch }, (_, b) => tokens.map((token) => token[b]!)).flat();
    const [summary] = await calls.call("summary", [], [[rows, [batch, chunk]]], (ops, p, _, [all]) => {
      const embedded = enc.embed(ops, under(p, "enc"), all!);
      return [leavesOf(ops, p, network, enc.place(ops, under(p, "enc"), embedded, 0))];
    });
    try {
      if (counter.size === 0) {
        // What the second and third chunks need, so that none of their tokens waits for it.
        const { shape } = summary!;
        await calls.prepare("combine", [shape, shape], combined);
        await caches?.prepare(shape);
      }
      await counter.push(summary!);
    } catch (error) {
      calls.free([summary!]);
      throw error;
    }
  };

  const clear = (): void => {
    calls.free(cache);
    [pending, cache] = [[], []];
    counter.restore({ count: 0, roots: [] });
  };

  /** Begins the chunk whose first tokens these are. */
  const begin = async (tokens: readonly (readonly number[])[]): Promise<void> => {
    for (const token of tokens) calls.free([await advance([...token])]);
  };

  return {
    get size(): number {
      return counter.size * chunk + pending.length;
    },
    get held(): number {
      return counter.held().length;
    },
    push: async (tokens) => await calls.taken(await advance(calls.tokens(tokens))),
    async prefill(tokens) {
      const rows = calls.rows(tokens, counter.size * chunk + pending.length);
      const n = rows[0]!.length;
      const r = Math.floor(n / chunk);
      if (r > 0) {
        const whole = rows.flatMap((row) => row.slice(0, r * chunk));
        const arrays = await calls.call("prefill", [], [[whole, [batch, r * chunk]]], (ops, p, _, [all]) => {
          const x = wholeChunks(ops, p, network, enc.embed(ops, under(p, "enc"), all!));
          const leaves = leavesOf(ops, p, network, x);
          const shape = ops.shape(leaves).slice(1);
          const tree = arrayTree(ops, under(p, "agg"), agg, ops.reshape(leaves, [r, batch, ...shape]));
          const { roots, folds = [] } = blellochPrefill(
            tree.op,
            Array.from({ length: r }, (_, i) => tree.leaf(i)),
          ).state;
          return [...roots.map(({ value }) => value), ...folds.slice(1)].map((node) =>
            ops.reshape(tree.gathered([node]), [batch, ...shape])
          );
        });
        counter.restore(counterState(r, arrays));
      }
      await begin(Array.from({ length: n - r * chunk }, (_, t) => rows.map((row) => row[r * chunk + t]!)));
    },
    async save() {
      const { roots, folds = [] } = counter.save();
      const arrays: { [name: string]: SavedArray } = {};
      for (const { level, value } of roots) arrays[`root.${level}`] = await calls.saved(value);
      for (const [i, value] of folds.entries()) if (i > 0) arrays[`fold.${i}`] = await calls.saved(value);
      return { size: counter.size * chunk + pending.length, pending: pending.map((token) => [...token]), arrays };
    },
    async restore(saved) {
      const arrays = checkedArrays(network, batch, saved);
      clear();
      counter.restore(counterState(Math.floor(saved.size / chunk), arrays.map(calls.restored)));
      await begin(saved.pending);
    },
    close() {
      clear();
      calls.close();
    },
  };
}
