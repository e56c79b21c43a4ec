/**
 * The generic kernel as a layer: it runs every model.
 *
 * @module
 */
import { planGenericBackward } from "./_generic_backward.ts";
import { planGenericForward } from "./_generic_forward.ts";
import type { Layer, LayerOptions } from "./mixer/layer.ts";

const slabs = ({ slabBytes }: LayerOptions): { readonly slabBytes?: number } =>
  slabBytes === undefined ? {} : { slabBytes };

export const genericLayer: Layer = {
  accumulates: true,
  kept: () => ({}),
  forward: (gpu, model, dims, tensors, options) =>
    planGenericForward(gpu, model, dims, tensors, {
      ...slabs(options),
      ...(options.fault === undefined ? {} : { fault: options.fault }),
    }),
  backward: (gpu, model, dims, tensors, options) => planGenericBackward(gpu, model, dims, tensors, slabs(options)),
};
