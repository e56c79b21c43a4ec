/**
 * Gradients of any model on the GPU, derived from its `lift` and `read`: the program of models/backward.ts in f32, from arrays
 * on the host (_generic_backward.ts is the plan). Results are the same at every run.
 *
 * @module
 */
import type { AnyAffineModel } from "../models/affine.ts";
import type { Cotangents } from "../models/backward.ts";
import type { Dims, Inputs } from "../models/inputs.ts";
import { genericLayer } from "./generic_layer.ts";
import type { Gpu } from "./gpu.ts";
import { hostedGradients } from "./_hosted.ts";

/** Cotangents, and where the run started from. */
export interface GpuGradientOptions extends Cotangents {
  /** `[B, H, rows, columns, width]`; zero where not given. */
  readonly initialState?: ArrayLike<number>;
}

/** Gradients in the shapes that inputs and states are given in; see `Gradients` in models/backward.ts. */
export interface GpuGradients {
  readonly inputs: { readonly [name: string]: Float32Array };
  readonly initialState: Float32Array;
}

/**
 * The gradients of `Σ outputs · o + Σ finalState · S_T` with respect to every input and the initial state.
 *
 * States and λs of a slab of time are held on the device, and the states before every slab.
 *
 * @throws {InputError} on inputs or cotangents outside the contract, and when a buffer exceeds the device's limits.
 */
export async function gradientsOnGpu(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  options: GpuGradientOptions,
): Promise<GpuGradients> {
  const { inputs: gradients, initialState } = await hostedGradients(
    gpu,
    genericLayer,
    model,
    dims,
    inputs,
    options,
    {},
  );
  return { inputs: gradients as GpuGradients["inputs"], initialState: initialState as Float32Array };
}
