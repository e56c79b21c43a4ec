/**
 * The only list of fused kernels: each runs some models much faster than the generic scan, and is judged by the same
 * rows.
 *
 * @module
 */
import type { Execution } from "../models/execution.ts";
import type { FusedFamily } from "./_fused_family.ts";
import { chunkFamily } from "./chunk/execution.ts";
import { deltaFamily } from "./delta/family.ts";
import { elementwiseFamily } from "./elementwise/family.ts";
import type { Gpu } from "./gpu.ts";
import { selectiveFamily } from "./selective/family.ts";

export type { FusedFamily, FusedOptions } from "./_fused_family.ts";

export const fusedFamilies: readonly FusedFamily[] = [elementwiseFamily, chunkFamily, deltaFamily, selectiveFamily];

/** The fused kernels as executions of the harness. */
export function fusedExecutions(gpu: Gpu): Execution[] {
  return fusedFamilies.map((family) => family.execution(gpu));
}
