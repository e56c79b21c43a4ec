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
  /** Whether operands are the tensors themselves, unscaled halves. */
  readonly direct: boolean;
  /** Parts of the sum, each by workgroups of its own. */
  readonly parts: number;
  /** What is written: numbers of C, or of partial sums `[parts, batches, M, N]`. */
  readonly type: "f32" | "f16";
  /** Tiles that a group brings through workgroup memory at a time; divides its columns. */
  readonly strip: number;
  readonly accumulate: boolean;
  /** Whether the problem's bias is added. */
  readonly bias: boolean;
}
