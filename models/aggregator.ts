/**
 * An aggregator as a definition: how two neighbouring summaries of a sequence become one. Like a model it is written
 * over an algebra, so that one text runs in f64, exactly, in certified intervals and as symbols:
 *
 *     const decayed = aggregator({
 *       name: "decayed-sum",
 *       width: 2,
 *       agg: (A, [a1, b1], [a2, b2]) => [A.mul(a2, a1), A.add(A.mul(a2, b1), b2)],
 *     });
 *
 * It may be any function. If it is not associative the tree is part of what a model with it computes.
 *
 * @module
 */
import type { Operator } from "../scan/mod.ts";
import type { Analytic } from "./arith.ts";
import { normal, type Random } from "./domain.ts";
import { InputError } from "./error.ts";
import { seeded } from "./random.ts";

/** `readonly [N, …, N]`, W of them, where W is known to the type checker; else `readonly N[]`. */
export type Summary<N, W extends number = number, T extends readonly N[] = readonly []> = number extends W
  ? readonly N[]
  : T["length"] extends W ? T
  : Summary<N, W, readonly [...T, N]>;

/** A way to aggregate summaries, vectors of `width` numbers. Build one with {@link aggregator}. */
export interface Aggregator<W extends number = number> {
  /** Lower case, words joined by `-`. */
  readonly name: string;
  /** Numbers in a summary. */
  readonly width: W;
  /** What is claimed of the associative law; the harness finds out and holds it to the claim. Default: nothing. */
  readonly associative?: boolean;
  /** The summary of two neighbouring spans, the earlier first. It must depend on nothing else, and change neither. */
  agg<N>(A: Analytic<N>, earlier: Summary<N, W>, later: Summary<N, W>): readonly N[];
  /** The summary of one element, for checks: `width` finite numbers. Default: standard normal ones. */
  leaf?(random: Random, index: number): readonly number[];
}

/**
 * Declares an aggregator; summaries destructure to `N` where `width` is a literal.
 *
 * @throws {InputError} if the width is not an integer ≥ 1.
 */
export function aggregator<const W extends number>(definition: Aggregator<W>): Aggregator {
  const { name, width } = definition;
  if (!Number.isSafeInteger(width) || width < 1) {
    throw new InputError(`Cannot aggregate with ${name}: width must be an integer ≥ 1, got ${width}`);
  }
  return definition as unknown as Aggregator;
}

/**
 * The operator that an aggregator defines over one algebra.
 *
 * @throws {InputError} from `combine` if `agg` does not return `width` numbers.
 */
export function aggregatorOperator<N>(A: Analytic<N>, definition: Aggregator): Operator<readonly N[]> {
  const { name, width } = definition;
  return {
    combine(earlier, later) {
      const joined = definition.agg(A, earlier, later);
      if (joined.length !== width) {
        throw new InputError(`Cannot aggregate with ${name}: agg must return ${width} numbers, got ${joined.length}`);
      }
      return joined;
    },
  };
}

/**
 * Summaries of `n` elements: the same for the same seed, those of a shorter sequence first.
 *
 * @throws {InputError} if `leaf` does not return `width` finite numbers.
 */
export function aggregatorLeaves(definition: Aggregator, n: number, seed: number): (readonly number[])[] {
  const { name, width } = definition;
  return Array.from({ length: n }, (_, index) => {
    const random = seeded(seed, "leaf", name, index);
    const values = definition.leaf?.(random, index) ?? Array.from({ length: width }, () => normal(random));
    if (values.length !== width || !values.every(Number.isFinite)) {
      throw new InputError(
        `Cannot check ${name}: leaf must return ${width} finite numbers, got [${values.join(", ")}]`,
      );
    }
    return values;
  });
}
