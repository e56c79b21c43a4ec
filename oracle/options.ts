/**
 * The options that every check has: lengths and a seed.
 *
 * @module
 */
import { InputError } from "../models/error.ts";

/** The longest length of a check, 2^20. */
const LONGEST = 2 ** 20;

/** Lengths, ascending and without repeats, and the seed. Throws an {@link InputError} of one line where they are unusable. */
export function checkedOptions(
  name: string,
  given: { readonly lengths?: readonly number[] | undefined; readonly seed?: number | undefined },
  defaults: readonly number[],
): { readonly lengths: readonly number[]; readonly seed: number } {
  const lengths = [...new Set(given.lengths ?? defaults)].sort((x, y) => x - y);
  for (const n of lengths) {
    if (!Number.isSafeInteger(n) || n < 0 || n > LONGEST) {
      throw new InputError(`Cannot check ${name}: a length must be a whole number from 0 to 2^20, got ${n}`);
    }
  }
  if (lengths.length === 0) throw new InputError(`Cannot check ${name}: at least one length is needed, got none`);
  const seed = given.seed ?? 1;
  if (!Number.isSafeInteger(seed)) {
    throw new InputError(`Cannot check ${name}: the seed must be a whole number, got ${seed}`);
  }
  return { lengths, seed };
}
