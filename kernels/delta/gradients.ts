/** Gradients of a model of the family from arrays on the host. */
import type { AnyAffineModel } from "../../models/affine.ts";
import type { GradientOptions, GradientResult } from "../../models/execution.ts";
import type { Dims, Inputs } from "../../models/inputs.ts";
import type { Fault } from "../faults.ts";
import type { Gpu } from "../gpu.ts";
import { hostedGradients } from "../_hosted.ts";
import { deltaLayerOf, type DeltaLayerTuning } from "./layer.ts";
import { deltaRule } from "./rule.ts";
import { deltaExtent } from "./run.ts";

export interface DeltaGradientOptions extends DeltaLayerTuning {
  /** Of the backward pass. */
  readonly fault?: Fault;
}

/**
 * Gradients of Σ dO·o + Σ dS·S_T. Rejects with an `InputError` before any GPU work if inputs or cotangents leave the
 * contract or exceed the device; with an Error if a gradient overflows f32.
 */
export async function deltaGradients(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  given: GradientOptions,
  { fault, ...tuning }: DeltaGradientOptions = {},
): Promise<GradientResult> {
  deltaRule(model);
  deltaExtent(model, dims);
  return await hostedGradients(gpu, deltaLayerOf(tuning), model, dims, inputs, given, { split: true, fault });
}
