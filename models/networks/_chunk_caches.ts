/**
 * What a stream keeps inside a chunk, in caches with room for the prefix and all of the chunk: one text for every place.
 *
 * @module
 */
import { inRoom } from "./_cache_rows.ts";
import { type Held, type StreamBody, type StreamCalls } from "./_stream_calls.ts";
import { under } from "./ops.ts";
import { readOf } from "./psm_network.ts";
import type { PsmNetwork } from "./psm_parts.ts";

/** Caches of a chunk begun, and how many vectors of the prefix they hold. */
export interface BegunChunk<T> {
  readonly cache: readonly Held<T>[];
  readonly seen: number;
}

/** Calls that fill them. */
export interface ChunkCaches<T> {
  /** Of a chunk behind a prefix, or the first. */
  begin(prefix: Held<T> | undefined): Promise<BegunChunk<T>>;
  /** Logits of the tokens `[B]` at a place, and the caches with them; those given are used up. */
  next(cache: readonly Held<T>[], seen: number, place: number, tokens: readonly number[]): Promise<Held<T>[]>;
  /** Makes `begin` ready for summaries of this shape. */
  prepare(summary: readonly number[]): Promise<void>;
}

/** Undefined for chunks of one token, whose shapes never change, and where a part cannot do without the place at hand. */
export function chunkCaches<T, I>(network: PsmNetwork, calls: StreamCalls<T, I>): ChunkCaches<T> | undefined {
  const { chunk, enc, agg, inf } = network;
  const { cached } = inf;
  if (chunk === 1 || cached === undefined || enc.placeAt === undefined) return undefined;
  const { batch } = calls;
  // One room for the first chunk, which has no prefix, and those with one of the usual size.
  const roomBehind = (seen: number): number => Math.max(chunk, seen) + chunk;
  const seed: StreamBody<T, I> = (ops, p, [prefix]) => {
    const m = ops.shape(prefix!)[1]!;
    return inf.seed(ops, under(p, "inf"), prefix!).map((x) => inRoom(ops, x, m, roomBehind(m)));
  };
  const next: StreamBody<T, I> = (ops, p, caches, given) => {
    const [token, place, count] = given as [I, I, I];
    const encoder = under(p, "enc");
    const x = enc.placeAt!(ops, encoder, enc.embed(ops, encoder, token), place);
    const { hidden, cache } = cached.next(ops, under(p, "inf"), caches, count, x);
    return [hidden, ...cache];
  };
  return {
    async begin(prefix) {
      if (prefix === undefined) {
        const shape = [batch, roomBehind(0), cached.width];
        return { cache: Array.from({ length: cached.arrays }, () => calls.zeros(shape)), seen: 0 };
      }
      const read = agg.read === undefined
        ? []
        : await calls.call("read", [prefix], [], (ops, p, [summary]) => [readOf(ops, p, network, summary!)]);
      try {
        const vectors = read[0] ?? prefix;
        return { cache: await calls.call("seed", [vectors], [], seed), seen: vectors.shape[1]! };
      } finally {
        calls.free(read);
      }
    },
    next: (cache, seen, place, tokens) =>
      calls.predict("token", cache, [[tokens, [batch, 1]], [[place], [1]], [[seen + place + 1], [1]]], next),
    prepare: (summary) => agg.read === undefined ? calls.prepare("seed", [summary], seed) : Promise.resolve(),
  };
}
