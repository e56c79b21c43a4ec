/** How a product is spread over workgroups. */

import type { Packed } from "./_pack.ts";
import type { Problem } from "./_problem.ts";
import type { Tiling } from "./_tiling.ts";

/** A product of one shape, as it is spread over workgroups. */
export interface Spread {
  readonly problem: Problem;
  readonly tiling: Tiling;
  readonly a: Packed;
  readonly b: Packed;
  /** Parts of the sum, the packed operands' chunks, each by workgroups of its own: those from `first` on. */
  readonly first: number;
  readonly parts: number;
}
