/**
 * The online binary counter: the static tree, one element at a time. Sequential meaning for an associative operator:
 *
 * ```
 * state = nothing
 * for each x: state = state is nothing ? x : combine(state, x)
 *             emit state
 * ```
 *
 * After t elements it holds one root per 1 in the binary form of t, a full subtree of 2^level elements each. A new
 * element carries like an increment: while the lowest root has its level, `cur = combine(root, cur)`. The prefix is the
 * left fold of the roots from the most significant one down. For any function whatever the prefixes are, term by term,
 * those of the static tree.
 *
 * @module
 */
import type { Operator } from "./monoid.ts";
import type { Schedule } from "./schedule.ts";
import type { Stream } from "./stream.ts";

/** A full subtree over 2^level elements. */
export interface Root<M> {
  readonly level: number;
  readonly value: M;
}

/** All a counter needs to go on: plain data, as serialisable as its elements. */
export interface CounterState<M> {
  /** Elements taken in: the sum of 2^level over the roots. */
  readonly count: number;
  /** Most significant first, levels strictly falling. */
  readonly roots: readonly Root<M>[];
  /** `folds[i]` = left fold of `roots[0 … i]`, as many as are known; those missing are computed when needed. */
  readonly folds?: readonly M[];
}

/**
 * - `"cached"` keeps with the roots the folds above them: with the prefix read at every element that is one combine per
 *   prefix and one per carry, fewer than 2 per element amortised (2036 at n = 1024), for at most 2⌈log2(t+1)⌉ elements
 *   live after t.
 * - `"refolding"` folds the roots anew for each prefix: at most ⌈log2(t+1)⌉ live, popcount(t) − 1 combines per prefix
 *   (at n = 1024: 1023 carries and 4097 refolds).
 *
 * Either way one element can cost ⌈log2 t⌉ + 1 chained combines, and they cannot be spread over earlier ones: the
 * prefix at 2^k depends on the last element through all of them. Live counts are between calls; a carry in progress
 * holds its running element besides.
 */
export type CounterMode = "cached" | "refolding";

/** Options of a {@linkcode Counter}. */
export interface CounterOptions {
  /** `"cached"` unless told otherwise. */
  readonly mode?: CounterMode;
}

/** The online counter over an operator. */
export class Counter<M> implements Stream<M> {
  readonly mode: CounterMode;
  readonly #op: Operator<M>;
  #size = 0;
  #roots: Root<M>[] = [];
  #folds: M[] = [];

  constructor(op: Operator<M>, options: CounterOptions = {}) {
    this.#op = op;
    this.mode = options.mode ?? "cached";
  }

  /** Elements taken in so far. */
  get size(): number {
    return this.#size;
  }

  /** Takes in the next element: as many combines as the increment of `size` has carries. */
  push(x: M): void {
    const roots = this.#roots;
    let level = 0;
    let value = x;
    for (let low = roots.at(-1); low?.level === level; low = roots.at(-1 - level)) {
      value = this.#op.combine(low.value, value);
      level++;
    }
    // Cleared only now, so that a combine that throws leaves the counter as it was.
    roots.length -= level;
    this.#folds.length = Math.min(this.#folds.length, roots.length);
    roots.push({ level, value });
    this.#size++;
  }

  /** The prefix of all elements so far, or `undefined` before the first. Reading it again costs a cached one nothing. */
  prefix(): M | undefined {
    const folds = this.mode === "cached" ? this.#folds : [];
    for (let i = folds.length; i < this.#roots.length; i++) {
      const { value } = this.#roots[i] as Root<M>;
      folds.push(i === 0 ? value : this.#op.combine(folds[i - 1] as M, value));
    }
    return folds.at(-1);
  }

  /** The roots, most significant first. */
  roots(): Root<M>[] {
    return [...this.#roots];
  }

  /** The roots and the folds kept; the first fold is the first root and is not counted twice. */
  held(): M[] {
    return [...this.#roots.map((root) => root.value), ...this.#folds.slice(1)];
  }

  /** The state as of now; later pushes leave it unchanged. */
  save(): CounterState<M> {
    const state = { count: this.#size, roots: this.roots() };
    return this.mode === "cached" ? { ...state, folds: [...this.#folds] } : state;
  }

  /**
   * Continues from a saved state, of either mode or of `blellochPrefill`, in place of its own. The folds are taken on
   * trust.
   *
   * @throws {RangeError} if the levels do not fall strictly, do not add up to the count, or there are more folds than
   * roots; the counter is then unchanged.
   */
  restore(state: CounterState<M>): void {
    const { count, roots, folds = [] } = state;
    let above = Infinity;
    let covered = 0;
    for (const { level } of roots) {
      if (!Number.isInteger(level) || level < 0 || level >= above) {
        throw new RangeError(
          `Cannot restore counter: root levels must be integers ≥ 0, strictly falling, got ${
            roots.map((r) => r.level)
          }`,
        );
      }
      above = level;
      covered += 2 ** level;
    }
    if (covered !== count) {
      throw new RangeError(`Cannot restore counter: roots must cover count = ${count} elements, got ${covered}`);
    }
    if (folds.length > roots.length) {
      throw new RangeError(
        `Cannot restore counter: folds must be at most as many as roots (${roots.length}), got ${folds.length}`,
      );
    }
    this.#size = count;
    this.#roots = roots.map(({ level, value }) => ({ level, value }));
    this.#folds = [];
    if (this.mode === "cached" && folds.length > 0) {
      // The first root itself, so that a state read back from storage shares it again.
      this.#folds = [(roots[0] as Root<M>).value, ...folds.slice(1)];
    }
  }
}

function counterSchedule(name: string, mode: CounterMode): Schedule {
  return {
    name,
    parenthesisation: "counter",
    inclusive<M>(op: Operator<M>, xs: readonly M[]): M[] {
      const counter = new Counter(op, { mode });
      return xs.map((x) => {
        counter.push(x);
        return counter.prefix() as M;
      });
    },
  };
}

/** The counter with cached folds as a schedule. */
export const counter: Schedule = counterSchedule("counter", "cached");

/** The refolding counter as a schedule: the same prefixes for less memory and more combines. */
export const refoldingCounter: Schedule = counterSchedule("counter(refolding)", "refolding");
