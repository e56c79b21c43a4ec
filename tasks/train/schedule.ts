/**
 * The learning rate of every step.
 *
 * @module
 */

/** How the rate goes: up in a straight line over the warm-up, then level, or down to `floor` times the peak. */
export interface Schedule {
  readonly kind: "constant" | "cosine" | "linear";
  /** Steps of the warm-up. */
  readonly warmup: number;
  /** What is left at the end, as a share of the peak; 0 without. */
  readonly floor?: number;
}

export const scheduleKinds: readonly Schedule["kind"][] = ["constant", "cosine", "linear"];

/** The rate of step `step` (from 0) of `total`. The first step of a warm-up has a rate above 0. */
export function rateAt({ kind, warmup, floor = 0 }: Schedule, peak: number, step: number, total: number): number {
  if (step < warmup) return peak * (step + 1) / warmup;
  if (kind === "constant") return peak;
  const gone = Math.min(1, (step - warmup) / Math.max(1, total - warmup));
  const left = kind === "linear" ? 1 - gone : (1 + Math.cos(Math.PI * gone)) / 2;
  return peak * (floor + (1 - floor) * left);
}
