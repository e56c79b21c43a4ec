/**
 * Caches with room: the keys and values of token t in row t % room, so that those of a window lie in a ring.
 *
 * @module
 */
import type { TensorOps } from "./ops.ts";
import type { SavedArray } from "./token_stream.ts";

/** Room of the smallest caches. */
const LEAST = 64;

/** Room for so many tokens, of which later ones see the last `reach` and themselves: a power of two. */
export function roomFor(count: number, reach: number): number {
  let room = LEAST;
  while (room < Math.min(count, reach + 1)) room *= 2;
  return room;
}

/** Rows x `[B, m, d]` of the last m of `count` tokens as a cache with room; rows of no token hold those of others. */
export function inRoom<T, I>(ops: TensorOps<T, I>, x: T, count: number, room: number): T {
  const m = ops.shape(x)[1]!;
  const copies = Math.floor(room / m);
  const rest = room - copies * m;
  const parts = Array.from({ length: copies }, () => x);
  if (rest > 0) parts.push(ops.slice(x, 1, 0, rest));
  const rows = parts.length === 1 ? x : ops.concat(parts, 1);
  const first = (count - m) % room;
  if (first === 0) return rows;
  return ops.concat([ops.slice(rows, 1, room - first, room), ops.slice(rows, 1, 0, room - first)], 1);
}

/** Twice the room; to be asked for before the rows come round. */
export function withTwiceTheRoom<T, I>(ops: TensorOps<T, I>, cache: T): T {
  return ops.concat([cache, cache], 1);
}

function moved(
  { shape, data }: SavedArray,
  rows: number,
  from: (row: number) => number | undefined,
): SavedArray {
  const [batch, room, d] = shape as readonly [number, number, number];
  const result = new Array<number>(batch * rows * d).fill(0);
  for (let b = 0; b < batch; b++) {
    for (let row = 0; row < rows; row++) {
      const source = from(row);
      if (source === undefined) continue;
      for (let c = 0; c < d; c++) result[(b * rows + row) * d + c] = data[(b * room + source) * d + c]!;
    }
  }
  return { shape: [batch, rows, d], data: result };
}

/** The rows of the last m of `count` tokens, in their order, of a cache. */
export function rowsOfCache(cache: SavedArray, count: number, m: number): SavedArray {
  return moved(cache, m, (i) => (count - m + i) % cache.shape[1]!);
}

/** A cache with the rows of the last m of `count` tokens. */
export function cacheOfRows(rows: SavedArray, count: number, room: number): SavedArray {
  const m = rows.shape[1]!;
  const places = new Map(Array.from({ length: m }, (_, i) => [(count - m + i) % room, i]));
  return moved(rows, room, (row) => places.get(row));
}
