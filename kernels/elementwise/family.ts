/**
 * The fused element-wise scan as an execution of the harness: every model whose state is a vector of independent
 * channels, `h_t = a_t ⊙ h_{t−1} + b_t` (HGRN, QRNN, SRU, minGRU, minLSTM, RG-LRU, and the linear recurrence itself).
 *
 * @module
 */
import { wgslAccuracy } from "../../models/accuracy.ts";
import type { AnyAffineModel } from "../../models/affine.ts";
import type { Execution } from "../../models/execution.ts";
import { microSteps } from "../../models/inputs.ts";
import type { FusedFamily, FusedOptions } from "../fused.ts";
import type { Gpu } from "../gpu.ts";
import { hostedGradients, runHosted } from "../_hosted.ts";
import { columnCombines } from "./_combines.ts";
import { elementwiseLayer } from "./layer.ts";

/**
 * Columns in one pass, or in chunks whose elements are scanned in one more. (Chunks are few enough that theirs is never cut
 * again.)
 */
const RIGHT_COMBINES = 2 * columnCombines();

function supports(model: AnyAffineModel): boolean {
  return model.action === "diagonal" && model.state.length === 1 && model.normaliser !== true &&
    model.reads !== "pre" && microSteps(model) === 1;
}

function execution(gpu: Gpu, { fault }: FusedOptions = {}): Execution {
  return {
    name: `fused element-wise scan (${gpu.adapter.provider})`,
    rounding: {
      unit: wgslAccuracy.unit,
      rightCombines: () => RIGHT_COMBINES,
      accuracy: "wgsl",
      denseChunk: () => 1,
      gradient: () => ({ late: RIGHT_COMBINES }),
    },
    scans: true,
    accelerated: true,
    supports,
    run: (model, dims, inputs, options = {}) =>
      runHosted(gpu, elementwiseLayer, model, dims, inputs, options, { split: true, fault }),
    gradients: (model, dims, inputs, options) =>
      hostedGradients(gpu, elementwiseLayer, model, dims, inputs, options, { split: true, fault }),
    planted: (planted) => execution(gpu, { fault: planted === "relative" ? { relative: 2 ** -10 } : planted }),
  };
}

export const elementwiseFamily: FusedFamily = {
  name: "element-wise scan",
  supports,
  execution,
  layer: elementwiseLayer,
};
