/**
 * Judging arrays: every number within its own derived radius of the truth, none unwritten, none NaN.
 *
 * @module
 */
import type { RunResult } from "../models/execution.ts";
import { POISON32, ulpOf32 } from "./ulp.ts";

/** The relative fault that every row must be able to see: 2^−10. */
export const PLANTED: number = 2 ** -10;

/**
 * What covers the truth's and the radii's own rounding: both come from f64 runs of the same recurrence, so each is
 * off by at most some 2^−29 of the radius (u_64 / u_32, both bounds having the same form); 2^−20 is far above that.
 */
const SLACK = 1 + 2 ** -20;

/** A number that is not where it should be. */
export interface BadNumber {
  readonly index: number;
  readonly got: number;
  readonly want: number;
  readonly ulps: number;
  readonly allowed: number;
}

/** What a comparison found. Ulps are f32 ulps of the truth. */
export interface Verdict {
  readonly ok: boolean;
  /** The largest error. */
  readonly maxUlp: number;
  /** The error allowed where error / allowed is largest, and that quotient. */
  readonly boundUlp: number;
  readonly ratio: number;
  readonly first?: BadNumber;
  /** Whether a relative fault of 2^−10 in the best-conditioned number would have been seen; none in an all-zero array. */
  readonly planted: "seen" | "missed" | "none";
}

/** Judges runs of one execution on prefixes of one reference. */
export interface Judge {
  /**
   * `T` tokens of the reference's inputs were run from its initial state; by several runs, each from the state that the one
   * before returned, where `starts` names more tokens than the first. A matrix action needs `states`, or `chunkStates`.
   */
  judge(result: RunResult, T: number, starts?: readonly number[]): Verdict;
}

const nothing: Verdict = { ok: true, maxUlp: 0, boundUlp: 0, ratio: 0, planted: "none" };

/** Joins the verdicts of several arrays: all must hold, and the fault must be seen in one of those that can show it. */
export function joined(verdicts: readonly Verdict[]): Verdict {
  return verdicts.reduce((x, y) => {
    const first = x.first ?? y.first;
    const worse = x.ratio >= y.ratio ? x : y;
    return {
      ok: x.ok && y.ok,
      maxUlp: Math.max(x.maxUlp, y.maxUlp),
      boundUlp: worse.boundUlp,
      ratio: worse.ratio,
      ...(first === undefined ? {} : { first }),
      planted: [x, y].some((v) => v.planted === "seen")
        ? "seen"
        : [x, y].some((v) => v.planted === "missed")
        ? "missed"
        : "none",
    };
  }, nothing);
}

/** Compares `got` with `want`, entry by entry, each within `allowed[i]`. */
export function withinRadius(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  allowed: ArrayLike<number>,
): Verdict {
  if (got.length !== want.length || want.length !== allowed.length) {
    throw new RangeError(
      `Cannot compare: lengths must be equal, got ${got.length}, ${want.length} and ${allowed.length}`,
    );
  }
  let [maxUlp, boundUlp, ratio, best] = [0, 0, -1, 0];
  let significant = false;
  let first: BadNumber | undefined;
  for (let i = 0; i < want.length; i++) {
    const ulp = ulpOf32(want[i]!);
    const limit = allowed[i]! * SLACK;
    const value = got[i]!;
    const error = Number.isFinite(value) && value !== POISON32 ? Math.abs(value - want[i]!) : Infinity;
    const quotient = error === 0 ? 0 : error / limit;
    maxUlp = Math.max(maxUlp, error / ulp);
    if (quotient > ratio) [ratio, boundUlp] = [quotient, limit / ulp];
    // `!(≤)`, so that a limit that is NaN fails.
    if (!(error <= limit)) first ??= { index: i, got: value, want: want[i]!, ulps: error / ulp, allowed: limit / ulp };
    // Subnormal truths are beyond any relative claim.
    if (Math.abs(want[i]!) <= 2 ** -100) continue;
    significant = true;
    best = Math.max(best, limit === 0 ? Infinity : Math.abs(want[i]!) / limit);
  }
  const planted = !significant ? "none" : best * PLANTED > 2 ? "seen" : "missed";
  return {
    ok: first === undefined,
    maxUlp,
    boundUlp,
    ratio: Math.max(ratio, 0),
    ...(first === undefined ? {} : { first }),
    planted,
  };
}

/** Compares numbers that must be the same ones; that it sees every fault says nothing of a derived bound. */
export function identical(got: ArrayLike<number>, want: ArrayLike<number>): Verdict {
  return { ...withinRadius(got, want, new Float64Array(want.length)), planted: "none" };
}
