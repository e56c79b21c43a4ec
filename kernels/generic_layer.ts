/**
 * The generic kernel as a layer: it runs every model.
 *
 * @module
 */
import { planGenericBackward } from "./_generic_backward.ts";
import { planGenericForward } from "./_generic_forward.ts";
import type { Layer } from "./mixer/layer.ts";

export const genericLayer: Layer = {
  accumulates: true,
  kept: () => ({}),
  forward: (gpu, model, dims, tensors, { fault }) =>
    planGenericForward(gpu, model, dims, tensors, fault === undefined ? {} : { fault }),
  backward: (gpu, model, dims, tensors) => planGenericBackward(gpu, model, dims, tensors),
};
