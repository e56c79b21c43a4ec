/**
 * Attention of a stream's next tokens to caches that their keys and values go into.
 *
 * @module
 */
import type { Analytic } from "../models/arith.ts";
import type { AttentionOptions, CachedAttention } from "../models/networks/ops.ts";
import { arrayAttention } from "./_array_attention.ts";
import { type IdArray, type NdArray, requireShapes, sameShape } from "./nd_array.ts";

/** Rows of the second axis of x `[N, room, d]`, in the given order. */
function rowsOf<N>({ shape, data }: NdArray<N>, rows: readonly number[]): NdArray<N> {
  const [batch, room, d] = shape as readonly [number, number, number];
  const sequences = Array.from({ length: batch }, (_, b) => b * room);
  return {
    shape: [batch, rows.length, d],
    data: sequences.flatMap((first) => rows.flatMap((row) => data.slice((first + row) * d, (first + row + 1) * d))),
  };
}

/** The attention of all tokens that have a row, for the last n. Caches given stay as they are. */
export function arrayAttentionNext<N>(
  A: Analytic<N>,
  { q, k, v }: { readonly q: NdArray<N>; readonly k: NdArray<N>; readonly v: NdArray<N> },
  cache: { readonly keys: NdArray<N>; readonly values: NdArray<N> },
  count: IdArray,
  options: AttentionOptions,
): CachedAttention<NdArray<N>> {
  const [batch, n, d] = q.shape as readonly [number, number, number];
  const room = cache.keys.shape[1]!;
  const m = count.data[0]!;
  const needed = typeof options.mask === "object" ? Math.min(m, options.mask.window + n - 1) : m;
  requireShapes(
    "attend to a cache",
    [k, v].every(({ shape }) => sameShape(shape, q.shape)) && n <= m && needed <= room &&
      Object.values(cache).every(({ shape }) => sameShape(shape, [batch, room, d])),
    `it must have room for the ${needed} tokens seen`,
    ...[q, k, v, cache.keys, cache.values].map(({ shape }) => shape),
  );
  const put = (x: NdArray<N>, added: NdArray<N>): NdArray<N> => {
    const data = [...x.data];
    for (let b = 0; b < batch; b++) {
      for (let i = 0; i < n; i++) {
        const to = (b * room + (m - n + i) % room) * d;
        for (let c = 0; c < d; c++) data[to + c] = added.data[(b * n + i) * d + c]!;
      }
    }
    return { shape: x.shape, data };
  };
  const [keys, values] = [put(cache.keys, k), put(cache.values, v)];
  const seen = Array.from({ length: needed }, (_, i) => (m - needed + i) % room);
  return { y: arrayAttention(A, q, rowsOf(keys, seen), rowsOf(values, seen), options), keys, values };
}
