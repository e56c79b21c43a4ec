/**
 * What a check says: one row per claim, as it is printed and as `--json` emits it.
 *
 * @module
 */
import type { BadNumber } from "./compare.ts";

/** What a row claims. */
export type CheckName =
  /** The operator composes as its action says, for any grouping (law), or by how much it does not. */
  | "associativity"
  /** lift and combine in one schedule give `step`'s states, in dyadics. */
  | "exact"
  /** The same over a finite ring. */
  | "finite-ring"
  /** An f32 execution is within its derived bound of the truth. */
  | "accuracy"
  /** Gradients are within their derived bound of exact dual numbers. */
  | "gradient"
  /** Stopping at a token and going on from the saved state changes nothing. */
  | "resume"
  /** Streaming holds what the model's class allows. */
  | "memory"
  /** A planted fault is seen. */
  | "control";

/** One claim and what was found. */
export interface Row {
  readonly model: string;
  readonly check: CheckName;
  readonly execution: string;
  /** Class or name of the inputs. */
  readonly inputs: string;
  readonly length: number;
  readonly seed: number;
  readonly ok: boolean;
  /** Largest error in f32 ulps of the truth; 0 where equality is exact; null where nothing is measured so. */
  readonly maxUlp: number | null;
  /** Allowed error in ulps where error over allowance is largest; 0 where equality is exact. */
  readonly bound: number | null;
  /** Largest error over allowance. */
  readonly ratio: number | null;
  /** Elements held between tokens while streaming, and combines and longest chain of the schedule at this length. */
  readonly liveElements: number | null;
  readonly combines: number | null;
  readonly depth: number | null;
  /** One line for a person: what failed, or what was measured. */
  readonly detail?: string;
  readonly firstBad?: BadNumber;
  /** The command that runs this row again, for a failure. */
  readonly replay?: string;
}

/** All rows of a check. */
export interface Report {
  readonly rows: readonly Row[];
  readonly failed: number;
  readonly ok: boolean;
}

/** Joins rows to a report; `expected` rows must be there, so that none goes missing. */
export function reportOf(rows: readonly Row[], expected: number): Report {
  const failed = rows.filter(({ ok }) => !ok).length;
  return { rows, failed, ok: failed === 0 && rows.length === expected };
}
