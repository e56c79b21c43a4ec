/**
 * The loss of the authors' code, which never predicts the first token of a chunk. It flatters small chunks; this kit predicts
 * every token, the first of a chunk from the last position of the one before, and reports both.
 *
 * @module
 */
import { InputError } from "../error.ts";

/**
 * Weights `[B, n]` of next-token predictions with 0 wherever the token predicted is the first of a chunk.
 *
 * @throws {InputError} if the chunk is no whole number ≥ 2 (in chunks of 1 every token is a first one), or n does not divide.
 */
export function withoutChunkStarts(weights: ArrayLike<number>, n: number, chunk: number): Float32Array {
  if (!Number.isSafeInteger(chunk) || chunk < 2) {
    throw new InputError(`Cannot leave out the first tokens of chunks: the chunk must be ≥ 2, got ${chunk}`);
  }
  if (!Number.isSafeInteger(n) || n < 1 || weights.length % n !== 0) {
    throw new InputError(
      `Cannot leave out the first tokens of chunks: n must divide ${weights.length} weights, got ${n}`,
    );
  }
  return Float32Array.from(weights, (w, i) => (i % n + 1) % chunk === 0 ? 0 : w);
}
