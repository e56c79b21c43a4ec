/**
 * Which kernels a layer runs on, and what these keep for its backward pass.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import { InputError } from "../../models/error.ts";
import type { Dims } from "../../models/inputs.ts";
import { fusedFamilies } from "../fused.ts";
import { genericLayer } from "../generic_layer.ts";
import type { Gpu } from "../gpu.ts";
import type { Plan } from "../plan.ts";
import { assertShape } from "../tensor.ts";
import type { Named } from "../_work.ts";
import type { Layer, LayerOptions } from "./layer.ts";

export interface MixerOptions extends LayerOptions {
  /** Default: fused where a family has the model, else generic. */
  readonly kernels?: "fused" | "generic" | undefined;
}

/** The kernels a model runs on. Throws an {@link InputError} where fused ones are asked for and there are none. */
export function mixerLayer(model: AnyAffineModel, { kernels }: MixerOptions = {}): Layer {
  if (kernels === "generic") return genericLayer;
  const family = fusedFamilies.find((family) => family.supports(model));
  if (family === undefined && kernels === "fused") {
    throw new InputError(`Cannot plan ${model.name}: fused kernels must have the model, got one that none has`);
  }
  return family?.layer ?? genericLayer;
}

/** Without a token there is nothing to fuse. */
export function layerFor(model: AnyAffineModel, { T }: Dims, options: MixerOptions): Layer {
  return T === 0 ? genericLayer : mixerLayer(model, options);
}

/**
 * The shapes of what a model's forward pass can keep for its backward pass, by name; none where there is nothing. Without them
 * the backward pass runs the forward pass again.
 */
export function mixerKept(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  options: MixerOptions = {},
): { readonly [name: string]: readonly number[] } {
  return layerFor(model, dims, options).kept(gpu, model, dims, options);
}

/** A plan of the layer's, or of the generic kernel where a device or a size is beyond the layer and another may be taken. */
export async function orGeneric(layer: Layer, another: boolean, plan: (layer: Layer) => Promise<Plan>): Promise<Plan> {
  try {
    return await plan(layer);
  } catch (error) {
    if (!another || layer === genericLayer || !(error instanceof InputError)) throw error;
    return await plan(genericLayer);
  }
}

/** What is kept, checked against its shapes. */
export function keptOf(
  layer: Layer,
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  given: Named | undefined,
  options: MixerOptions,
): Named | undefined {
  const shapes = Object.entries(layer.kept(gpu, model, dims, options));
  if (given === undefined || shapes.length === 0) return undefined;
  return Object.fromEntries(shapes.map(([name, shape]) => {
    const tensor = given[name];
    if (tensor === undefined) {
      throw new InputError(
        `Cannot plan ${model.name}: it keeps ${shapes.map(([known]) => known).join(", ")}, got no ${name}`,
      );
    }
    assertShape(`the kept ${name} of ${model.name}`, tensor, shape);
    return [name, tensor];
  }));
}
