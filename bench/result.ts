/**
 * A line of the bench, as it is printed, saved and plotted.
 *
 * @module
 */

/** How long something took, where, and beside what. */
export interface Timing {
  readonly kernel: string;
  readonly shape: string;
  /** The device: a GPU's description and its provider, or the CPU's. */
  readonly adapter: string;
  /** `deno 2.9.6` */
  readonly runtime: string;
  /** Median milliseconds of one call. */
  readonly ms: number;
  /** Its quartiles: p25 and p75. */
  readonly spread: readonly [number, number];
  /** Calls timed. */
  readonly samples: number;
  /** Bytes that one call has to move at least. */
  readonly bytes: number;
  readonly tokensPerSecond: number;
  /** bytes / ms as a share of a copy's, measured in the same run. */
  readonly bandwidthFraction: number;
  /** The copy's bytes per second, read and written. */
  readonly copyBytesPerSecond: number;
  /** ISO 8601. */
  readonly date: string;
}

/** One kernel's timing. Made only of a result that was within its bound. */
export interface BenchResult extends Timing {
  readonly dtype: "f32";
  /** Largest error, in f32 ulps of the truth: large where a sum cancels, and the bound of that number with it. */
  readonly maxUlp: number;
  /** The derived bound, in ulps, of the number that comes nearest to its own; not of the one with the largest error. */
  readonly bound: number;
  /** error / bound of that number: at most 1. */
  readonly boundFraction: number;
}
