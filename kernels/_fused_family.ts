/** What a family of fused kernels is: see fused.ts. */

import type { AnyAffineModel } from "../models/affine.ts";
import type { Execution } from "../models/execution.ts";
import type { Fault } from "./faults.ts";
import type { Gpu } from "./gpu.ts";
import type { Layer } from "./mixer/layer.ts";

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
