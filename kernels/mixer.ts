/**
 * Every affine model as a differentiable layer on tensors that stay on the GPU: what `TensorOps.scan` (models/networks/ops.ts) needs.
 *
 * ```ts
 * const forward = await planMixer(gpu, gla, { inputs: { q, k, v, g }, outputs: o });
 * const backward = await planMixerBackward(gpu, gla, {
 *   inputs: { q, k, v, g },
 *   dOutputs: dO,
 *   gradients: { q: dq, k: dk, v: dv, g: dg },
 * });
 * await runPlans(gpu, "layer", [forward, backward]);
 * ```
 *
 * Shapes, all f32, B sequences of T ≥ 0 tokens:
 *
 * | what | shape |
 * |---|---|
 * | inputs and their gradients | `[B, T, H, …axes]` (`[B, T·n, H, …axes]` where given for n micro-steps); parameters `[H, …axes]` |
 * | outputs, dOutputs | `[B, T, H, columns]` |
 * | states and their cotangents | `[B, H, rows, columns]`, with an axis of 2 behind where an entry is two numbers |
 *
 * A model without heads has H = 1, and its tensors may leave that axis out. A parameter that the model has a value for may be
 * left out.
 *
 * Nothing is read back and no value is looked at: that inputs lie in their domains is the caller's duty. What the harness
 * clamps on the host is not clamped here: log gates must be ≥ −104 (e^−104 is below f32's smallest number); only Mamba-2's
 * Δ·A is brought there by its kernel.
 *
 * A model runs on a family of fused kernels where one has it (fused.ts), else on the generic kernel, which takes any, one's
 * own too, and sizes (or devices) that the fused kernels do not take. Both are the kernels that the harness judges, but for gradients
 * that are asked for as sums (`summed`), whose bounds are tests' own. Every run gives the same bits. A row's bits depend on no other row,
 * nor on how many there are (unless {@linkcode MixerOptions.split} allows it). Outputs of a prefix have the bits of the whole
 * sequence's
 *
 * - in the generic kernel, the delta rule, and the element-wise scan;
 * - in the selective scan;
 * - in walks through the tokens of a chunked model, which GPUs take where nothing else is asked for;
 * - in chunks on tiles with `mode: "f32"`; in other modes operands of a chunk are scaled together, and a token's last bits may
 *   depend on later ones of its chunk.
 *
 * @module
 */
import type { AnyAffineModel } from "../models/affine.ts";
import type { Gpu } from "./gpu.ts";
import { keptOf, layerFor, type MixerOptions, orGeneric } from "./mixer/choose.ts";
import { allInputs, asShape, asState, checkApart, dimsOf, outputShape } from "./mixer/_shapes.ts";
import type { Plan } from "./plan.ts";
import type { Tensor } from "./tensor.ts";
import { type Named, Work } from "./_work.ts";

export { type MixerBackwardOptions, type MixerBackwardTensors, planMixerBackward } from "./mixer/backward.ts";
export { mixerKept, mixerLayer, type MixerOptions } from "./mixer/choose.ts";
export { type MixerStepTensors, planMixerStep } from "./mixer/step.ts";

export interface MixerTensors {
  readonly inputs: Named;
  /** Written. */
  readonly outputs: Tensor;
  /** The state before the first token; zero where not given. */
  readonly initial?: Tensor | undefined;
  /** Where the state after the last token goes. */
  readonly final?: Tensor | undefined;
  /** Where the forward pass keeps what saves the backward pass from running it again: {@linkcode mixerKept}. */
  readonly kept?: Named | undefined;
}

/** Makes the forward pass ready. Rejects with an {@link InputError} on tensors that do not fit the model or the device. */
export async function planMixer(
  gpu: Gpu,
  model: AnyAffineModel,
  tensors: MixerTensors,
  options: MixerOptions = {},
): Promise<Plan> {
  const dims = dimsOf(model, "outputs", tensors.outputs, tensors.inputs);
  const layer = layerFor(model, dims, options);
  const work = new Work(gpu);
  try {
    const inputs = allInputs(work, model, dims, tensors.inputs);
    const state = (what: string, tensor: Tensor | undefined): Tensor | undefined =>
      tensor && asState(model, what, tensor, dims);
    const given = {
      inputs,
      outputs: asShape(model, "outputs", tensors.outputs, outputShape(model, dims), 2),
      initial: state("the initial state", tensors.initial),
      final: state("the final state", tensors.final),
      kept: keptOf(layer, gpu, model, dims, tensors.kept, options),
    };
    checkApart(gpu, model, [...Object.values(inputs), given.initial], [
      given.outputs,
      given.final,
      ...Object.values(given.kept ?? {}),
    ]);
    // What is kept is for the backward pass of the same kernels.
    const plan = await orGeneric(
      layer,
      given.kept === undefined && options.kernels === undefined,
      (one) => one.forward(gpu, model, dims, given, options),
    );
    work.plan(plan);
    return work.finish(plan);
  } catch (error) {
    work.release();
    throw error;
  }
}
