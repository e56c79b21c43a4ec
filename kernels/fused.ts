/**
 * The only list of fused kernels: each runs some models much faster than the generic scan, and is judged by the same
 * rows.
 *
 * @module
 */
import type { AnyAffineModel } from "../models/affine.ts";
import type { Execution } from "../models/execution.ts";
import { chunkFamily } from "./chunk/execution.ts";
import { deltaFamily } from "./delta/family.ts";
import { elementwiseFamily } from "./elementwise/family.ts";
import type { Fault } from "./faults.ts";
import type { Gpu } from "./gpu.ts";
import type { Layer } from "./mixer/layer.ts";
import { selectiveFamily } from "./selective/family.ts";

export interface FusedOptions {
  readonly fault?: Fault;
}

/** Kernels of one design, and the models they run. */
export interface FusedFamily {
  /** `element-wise scan` */
  readonly name: string;
  supports(model: AnyAffineModel): boolean;
  /** Runs the supported models, with `supports`, `gradients` and `planted`. */
  execution(gpu: Gpu, options?: FusedOptions): Execution;
  /** The same kernels on tensors, for networks. */
  readonly layer: Layer;
}

export const fusedFamilies: readonly FusedFamily[] = [elementwiseFamily, chunkFamily, deltaFamily, selectiveFamily];

/** The fused kernels as executions of the harness. */
export function fusedExecutions(gpu: Gpu): Execution[] {
  return fusedFamilies.map((family) => family.execution(gpu));
}
