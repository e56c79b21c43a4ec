import type { Operator } from "./monoid.ts";

/**
 * The tree of combines a schedule builds over n elements:
 *
 * - `"left"`: `((x0 x1) x2) x3 …`, the fold;
 * - `"counter"`: the binary counter's, equal to the static Blelloch tree's;
 * - `"chunked"`: one that depends on the chunk size.
 *
 * Two `"left"` schedules agree for any function, and so do two `"counter"` ones; every other pair agrees for
 * associative operators only.
 */
export type Parenthesisation = "left" | "counter" | "chunked";

/** A way to compute all inclusive prefixes, as a value: `inclusive(op, xs)[i] = x0 · x1 · … · xi`. */
export interface Schedule {
  readonly name: string;
  readonly parenthesisation: Parenthesisation;
  /** The prefix of every non-empty beginning of `xs`, in order; `[]` for no elements. */
  inclusive<M>(op: Operator<M>, xs: readonly M[]): M[];
}
