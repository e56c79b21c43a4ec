/**
 * The saved state of a stream of a prefix-scannable network: `root.LEVEL` for every root of the counter, `fold.i` for the
 * folds it has of the first i + 1 roots, i ≥ 1, and the tokens of the chunk begun.
 *
 * @module
 */
import type { CounterState } from "../../scan/mod.ts";
import { InputError } from "../error.ts";
import type { PsmNetwork } from "./psm_parts.ts";
import type { SavedArray, TokenStreamState } from "./token_stream.ts";

/** The levels of the roots after `count` chunks: the 1s of its binary form, most significant first. */
function levelsOf(count: number): number[] {
  const levels: number[] = [];
  for (let level = 0; 2 ** level <= count; level++) if (Math.floor(count / 2 ** level) % 2 === 1) levels.unshift(level);
  return levels;
}

/** A counter's state from its roots and, behind them, the folds known of the first two roots, three, …. */
export function counterState<M>(count: number, arrays: readonly M[]): CounterState<M> {
  const levels = levelsOf(count);
  const roots = levels.map((level, i) => ({ level, value: arrays[i]! }));
  return { count, roots, folds: levels.length === 0 ? [] : [arrays[0]!, ...arrays.slice(levels.length)] };
}

/** The arrays of a saved state in the order of {@link counterState}; throws where it is none of this network's. */
export function checkedArrays({ name, chunk }: PsmNetwork, batch: number, saved: TokenStreamState): SavedArray[] {
  const { size, pending, arrays } = saved;
  const levels = Number.isSafeInteger(size) && size >= 0 ? levelsOf(Math.floor(size / chunk)) : [];
  const wanted = [
    ...levels.map((level) => `root.${level}`),
    ...levels.slice(1).map((_, i) => `fold.${i + 1}`).filter((fold) => fold in arrays),
  ];
  const found = wanted.flatMap((key) => arrays[key] ?? []);
  const fits = found.length === wanted.length && wanted.length === Object.keys(arrays).length;
  const rows = found.every(({ shape }) => shape[0] === batch) && pending.every((tokens) => tokens.length === batch);
  if (!fits || !rows || pending.length !== size % chunk) {
    throw new InputError(
      `Cannot restore ${name}: ${size} tokens in chunks of ${chunk} leave ${
        wanted.join(", ") || "no arrays"
      } of ${batch} rows ` +
        `and ${size % chunk} tokens pending, got ${
          Object.keys(arrays).join(", ") || "no arrays"
        } and ${pending.length}`,
    );
  }
  return found;
}
