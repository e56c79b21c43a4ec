/**
 * The chunked linear attention family as an execution of the harness: every model of family.ts.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import {
  type Execution,
  type GradientOptions,
  type GradientResult,
  type RunOptions,
  type RunResult,
  withRelativeFault,
} from "../../models/execution.ts";
import type { Dims, Inputs } from "../../models/inputs.ts";
import type { Fault } from "../faults.ts";
import type { FusedFamily, FusedOptions } from "../_fused_family.ts";
import type { Gpu } from "../gpu.ts";
import { hostedGradients, runHosted } from "../_hosted.ts";
import { matrixUnit } from "../matrix_unit.ts";
import type { ChunkGradientTuning } from "./gradients.ts";
import { chunkModelOf, chunkModels, requireChunkModel } from "./family.ts";
import type { ChunkTuning } from "./forward.ts";
import { backwardUnit } from "./_backward_unit.ts";
import { chunkLayer, chunkLayerOf } from "./layer.ts";
import { chunkRounding, type ForwardForm } from "./rounding.ts";
import { walks } from "./_walked.ts";

export interface ChunkRunOptions extends ChunkTuning {
  readonly fault?: Fault;
}

/**
 * Runs a model of the family from arrays on the host. Rejects with an InputError before any GPU work if the inputs
 * leave the model's contract or exceed the device; with an Error if a result overflows f32.
 */
export async function runChunk(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  run: RunOptions = {},
  { fault, ...tuning }: ChunkRunOptions = {},
): Promise<RunResult> {
  requireChunkModel(model);
  return await runHosted(gpu, chunkLayerOf(tuning), model, dims, inputs, run, { split: true, fault });
}

/**
 * Gradients of Σ dO·o + Σ dS·S_T by every input of a model of the family, and by the initial state; the arguments are those
 * of `Execution.gradients`. Rejects with an InputError on a model that the family does not have, and on inputs or
 * cotangents outside the contract.
 */
export async function gradientsOfChunk(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  given: GradientOptions,
  { fault, ...tuning }: ChunkGradientTuning = {},
): Promise<GradientResult> {
  requireChunkModel(model);
  return await hostedGradients(gpu, chunkLayerOf({}, tuning), model, dims, inputs, given, { split: true, fault });
}

const supports = (model: AnyAffineModel): boolean => chunkModelOf(model) !== undefined;

/** The execution with a tuning of the caller's. */
export function chunkExecution(gpu: Gpu, options: ChunkRunOptions = {}): Execution {
  const asked = {
    ...(options.mode === undefined ? {} : { mode: options.mode }),
    ...(options.hardware === undefined ? {} : { hardware: options.hardware }),
  };
  const tiles = matrixUnit(gpu, asked);
  // Of harness and layers alike, though the harness's runs may be cut in segments (_hosted.ts); all in f32.
  const forward = (model: AnyAffineModel): ForwardForm => {
    const entry = chunkModelOf(model);
    const traits = { chunkStates: false, gates: "f32" } as const;
    const decay = { form: "log", per: "token", ...entry?.decay ?? { kind: "none" } } as const;
    return walks(gpu, traits, options, decay) ? "walk" : tiles;
  };
  const walked = chunkModels.some(({ model }) => forward(model) === "walk");
  const chunk = options.chunk ?? (options.design === "units" ? 64 : undefined);
  const backward = { ...asked, ...(options.fault === undefined ? {} : { fault: options.fault }) };
  return {
    name: `fused chunks (${gpu.adapter.provider}, ${walked ? "walk" : tiles.mode})`,
    rounding: chunkRounding({ ...(chunk === undefined ? {} : { chunk }), forward, backward: backwardUnit(gpu, asked) }),
    accelerated: true,
    supports,
    run: (model, dims, inputs, run) => runChunk(gpu, model, dims, inputs, run, options),
    gradients: (model, dims, inputs, given) => gradientsOfChunk(gpu, model, dims, inputs, given, backward),
    // A chunk's update is combined with the state: S = a S + Kᵀ V, which swapped is S + a Kᵀ V.
    faults: ["relative", "dropped-carry", "swapped-operands"],
    planted: (fault) =>
      fault === "relative"
        ? withRelativeFault(chunkExecution(gpu, options))
        : chunkExecution(gpu, { ...options, fault }),
  };
}

export const chunkFamily: FusedFamily = {
  name: "chunked linear attention",
  supports,
  layer: chunkLayer,
  execution: (gpu: Gpu, { fault }: FusedOptions = {}): Execution =>
    chunkExecution(gpu, fault === undefined ? {} : { fault }),
};
