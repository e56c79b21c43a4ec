import type { Operator } from "./monoid.ts";
import type { Schedule } from "./schedule.ts";

/**
 * The most combines in which one leaf lies in the later operand, over all leaves and all inclusive prefixes of `n`
 * elements. Rounding-error bounds need it: in `(E2·E1, f2 + E2 ▷ f1)` these are the additions that a leaf's term meets
 * as `f2`, with no gate applied. A bound that charges each gate one product and one addition has not paid for them, and
 * they depend on the schedule.
 *
 * Measured by running the schedule on `combine(l, r) = max(l, r + 1)`: 1 for the fold, ⌊log2 n⌋ for the tree and the
 * counter; 0 below two elements.
 *
 * @throws {RangeError} if `n` is not an integer ≥ 0.
 */
export function rightCombines(schedule: Schedule, n: number): number {
  if (!Number.isInteger(n) || n < 0) {
    throw new RangeError(`Cannot count right combines of ${schedule.name}: n must be an integer ≥ 0, got ${n}`);
  }
  const prefixes = schedule.inclusive(RIGHT_COUNT, Array.from({ length: n }, () => 0));
  return prefixes.reduce((most, count) => Math.max(most, count), 0);
}

/** An element is the largest such count over the leaves it contains. */
const RIGHT_COUNT: Operator<number> = {
  combine: (earlier, later) => Math.max(earlier, later + 1),
};
