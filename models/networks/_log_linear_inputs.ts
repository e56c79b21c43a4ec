/**
 * What both forms of the log-linear layer take.
 *
 * @module
 */

/** The inputs of tokens, `[B, n, H, w]` each; g the log decay, lambda the weights of the levels. */
export interface Projected<T> {
  readonly q: T;
  readonly k: T;
  readonly v: T;
  readonly g: T;
  readonly lambda: T;
}

/** x `[…, 1]` repeated along the last axis: `[…, count]`. */
export type Widen<T> = (x: T, count: number) => T;
