/**
 * The element-wise scan as a layer.
 *
 * @module
 */
import type { Layer } from "../mixer/layer.ts";
import { planModelScanBackward } from "./_model_backward.ts";
import { planModelScan } from "./_model_plan.ts";

export const elementwiseLayer: Layer = {
  accumulates: true,
  hasStates: true,
  kept: () => ({}),
  forward: planModelScan,
  backward: planModelScanBackward,
};
