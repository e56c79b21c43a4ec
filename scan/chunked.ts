import { blelloch } from "./blelloch.ts";
import type { Operator } from "./monoid.ts";
import type { Schedule } from "./schedule.ts";
import { foldInclusive, sequential } from "./sequential.ts";

/** Options of {@linkcode chunked}. */
export interface ChunkedOptions {
  /** The schedule over the chunks' products; `"sequential"` unless told otherwise. */
  readonly across?: "sequential" | "blelloch";
}

/**
 * Folds inside chunks of `size` elements (the last may be shorter), scans across the chunks' products, and puts what
 * precedes a chunk in front of each of its prefixes. Sequential meaning:
 *
 * ```
 * state = nothing
 * for each x: state = state is nothing ? x : combine(state, x)
 *             emit state
 * ```
 *
 * Right for associative operators only: it computes `before · (x_i · … · x_j)` where the fold computes
 * `((before · x_i) · …) · x_j`. Fewer than 2n combines; all chunks can run at once, so it is about
 * `size + depth(across, n / size)` deep.
 *
 * @throws {RangeError} if `size` is not an integer ≥ 1.
 */
export function chunked(size: number, options: ChunkedOptions = {}): Schedule {
  if (!Number.isInteger(size) || size < 1) {
    throw new RangeError(`Cannot chunk: size must be an integer ≥ 1, got ${size}`);
  }
  const across = options.across === "blelloch" ? blelloch : sequential;
  return {
    name: `chunked(${size}, ${across.name})`,
    parenthesisation: "chunked",
    inclusive<M>(op: Operator<M>, xs: readonly M[]): M[] {
      const chunks: M[][] = [];
      for (let start = 0; start < xs.length; start += size) {
        chunks.push(foldInclusive(op, xs.slice(start, start + size)));
      }
      const ends = across.inclusive(op, chunks.map((local) => local.at(-1) as M));
      return chunks.flatMap((local, k) => {
        if (k === 0) return local;
        const before = ends[k - 1] as M;
        // The chunk's last prefix is already known from the scan across.
        return [...local.slice(0, -1).map((x) => op.combine(before, x)), ends[k] as M];
      });
    },
  };
}
