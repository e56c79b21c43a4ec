/** Seeded uniform numbers: the same seed gives the same inputs on every runtime. */
import type { Random } from "./domain.ts";

/** FNV-1a over the words, so that a stream can be named: `seeded(7, "gla", "q")`. */
function hash(words: readonly (string | number)[]): number {
  let h = 0x811c9dc5;
  for (const c of words.join("\u0000")) h = Math.imul(h ^ c.codePointAt(0)!, 0x01000193);
  return h >>> 0;
}

/** Integers of 32 random bits, signed (the mulberry32 generator), from the stream named by `words`. */
export function seededBits(...words: readonly (string | number)[]): () => number {
  let state = hash(words) | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return z ^ (z >>> 14);
  };
}

/** Uniform numbers in [0, 1) with 32 random bits, from the stream named by `words`. */
export function seeded(...words: readonly (string | number)[]): Random {
  const bits = seededBits(...words);
  return () => (bits() >>> 0) / 2 ** 32;
}
