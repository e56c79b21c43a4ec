/**
 * The only list of fused kernels that are timed.
 *
 * @module
 */
import { bareProductLines } from "./bare_products.ts";
import { chunkBackwardLines } from "./chunk_backward.ts";
import { chunkForwardLines } from "./chunk_forward.ts";
import { deltaLines } from "./delta.ts";
import { elementwiseLines } from "./elementwise.ts";
import { fragmentLines } from "./fragments.ts";
import type { FusedLine } from "./line.ts";
import { matmulLines } from "./matmul.ts";
import { mlstmLines } from "./mlstm.ts";
import { selectiveLines } from "./selective.ts";
import { stepLines } from "./steps.ts";
import { walkLines } from "./walk.ts";
import { walkBackwardLines } from "./walk_backward.ts";

export const fusedLines: readonly FusedLine[] = [
  ...elementwiseLines,
  ...selectiveLines,
  ...deltaLines,
  ...stepLines,
  ...walkLines,
  ...chunkForwardLines,
  ...mlstmLines,
  ...chunkBackwardLines,
  ...walkBackwardLines,
  ...matmulLines,
  ...fragmentLines,
  ...bareProductLines,
];
