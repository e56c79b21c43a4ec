/**
 * Measures instead of claims: combines (work), longest chain of dependent combines (depth) and live elements (memory)
 * of any schedule or stream. SPD(T, m) in the sense of arXiv 2506.10918 is read off these figures.
 *
 * @module
 */
import type { Operator } from "./monoid.ts";
import type { Schedule } from "./schedule.ts";
import type { Stream } from "./stream.ts";

/** An element that remembers how many combines in a row led to it; 0 for an input. */
export interface Metered<M> {
  readonly value: M;
  readonly depth: number;
}

/** An operator that counts. */
export interface Meter<M> extends Operator<Metered<M>> {
  /** Combines so far. */
  readonly combines: number;
  /** Longest chain of dependent combines so far. */
  readonly depth: number;
  /** An input element, at depth 0. */
  lift(value: M): Metered<M>;
}

/** Wraps `op`: the same values, with work and depth counted. A level counts as its single combines. */
export function meter<M>(op: Operator<M>): Meter<M> {
  let combines = 0;
  let deepest = 0;
  return {
    get combines(): number {
      return combines;
    },
    get depth(): number {
      return deepest;
    },
    lift: (value: M): Metered<M> => ({ value, depth: 0 }),
    combine(earlier: Metered<M>, later: Metered<M>): Metered<M> {
      const depth = Math.max(earlier.depth, later.depth) + 1;
      combines++;
      deepest = Math.max(deepest, depth);
      return { value: op.combine(earlier.value, later.value), depth };
    },
  };
}

/** Work and depth of a schedule. */
export interface ScheduleCost {
  readonly combines: number;
  readonly depth: number;
}

/**
 * Runs the schedule on `n` elements without content and counts.
 *
 * @throws {RangeError} if `n` is not an integer ≥ 0.
 */
export function scheduleCost(schedule: Schedule, n: number): ScheduleCost {
  if (!Number.isInteger(n) || n < 0) {
    throw new RangeError(`Cannot measure ${schedule.name}: n must be an integer ≥ 0, got ${n}`);
  }
  const counting = meter<null>({ combine: () => null });
  schedule.inclusive(counting, Array.from({ length: n }, () => counting.lift(null)));
  return { combines: counting.combines, depth: counting.depth };
}

/** Cost of a stream whose prefix is read after every element. */
export interface StreamCost {
  readonly pushes: number;
  /** Combines in all. */
  readonly combines: number;
  /** Most combines between one prefix and the next: the latency of the worst element. */
  readonly worst: number;
  /** Largest total size held after a prefix was read. */
  readonly peak: number;
}

/**
 * Feeds `xs` to the stream that `open` makes of the metered operator, reading the prefix after every element.
 * `size` weighs an element held, in whatever unit (bytes, tokens); by default each counts 1.
 */
export function streamCost<M>(
  open: <E>(op: Operator<E>) => Stream<E>,
  op: Operator<M>,
  xs: Iterable<M>,
  size: (x: M) => number = () => 1,
): StreamCost {
  const counting = meter(op);
  const stream = open(counting);
  let worst = 0;
  let peak = 0;
  for (const x of xs) {
    const before = counting.combines;
    stream.push(counting.lift(x));
    stream.prefix();
    worst = Math.max(worst, counting.combines - before);
    peak = Math.max(peak, stream.held().reduce((total, { value }) => total + size(value), 0));
  }
  return { pushes: stream.size, combines: counting.combines, worst, peak };
}
