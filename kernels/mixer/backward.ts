/**
 * The backward pass of a layer: see kernels/mixer.ts.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import type { Gpu } from "../gpu.ts";
import type { Plan } from "../plan.ts";
import type { Tensor } from "../tensor.ts";
import { type Named, Work } from "../_work.ts";
import { keptOf, layerFor, type MixerOptions, orGeneric } from "./choose.ts";
import { allInputs, asInput, asShape, asState, checkApart, checkNames, dimsOf, outputShape } from "./_shapes.ts";

export interface MixerBackwardTensors {
  readonly inputs: Named;
  /** The cotangent of the outputs. */
  readonly dOutputs: Tensor;
  /** Where gradients of inputs go, of those that are wanted. */
  readonly gradients: Named;
  /** The outputs, if they are still there: where they are the states, these are not computed again. */
  readonly outputs?: Tensor | undefined;
  /** As in the forward pass. */
  readonly initial?: Tensor | undefined;
  /** The cotangent of the final state; zero where not given. */
  readonly dFinal?: Tensor | undefined;
  /** Where the cotangent of the initial state goes. */
  readonly dInitial?: Tensor | undefined;
  /** As the forward pass wrote them, with the same options but for `split` and `summed`. */
  readonly kept?: Named | undefined;
}

export interface MixerBackwardOptions extends MixerOptions {
  /** Gradients that are added to what is there: all, or those named. `dInitial` never is. */
  readonly accumulate?: boolean | readonly string[] | undefined;
}

const defined = (tensors: Named | undefined): Tensor[] => Object.values(tensors ?? {});

/** Makes the backward pass ready: gradients of Σ dOutputs · o + Σ dFinal · S_T. Rejects as planMixer does. */
export async function planMixerBackward(
  gpu: Gpu,
  model: AnyAffineModel,
  tensors: MixerBackwardTensors,
  { accumulate = false, ...options }: MixerBackwardOptions = {},
): Promise<Plan> {
  const dims = dimsOf(model, "dOutputs", tensors.dOutputs, tensors.inputs);
  const layer = layerFor(model, dims, options);
  const work = new Work(gpu);
  try {
    const inputs = allInputs(work, model, dims, tensors.inputs);
    checkNames(model, "gradients", tensors.gradients);
    const gradients = Object.fromEntries(
      Object.entries(tensors.gradients).map((
        [name, tensor],
      ) => [name, asInput(model, `the gradient of ${name}`, name, tensor, dims)]),
    );
    const state = (what: string, tensor: Tensor | undefined): Tensor | undefined =>
      tensor && asState(model, what, tensor, dims);
    const outputs = (what: string, tensor: Tensor): Tensor => asShape(model, what, tensor, outputShape(model, dims), 2);
    const given = {
      inputs,
      dOutputs: outputs("dOutputs", tensors.dOutputs),
      outputs: tensors.outputs && outputs("outputs", tensors.outputs),
      initial: state("the initial state", tensors.initial),
      dFinal: state("dFinal", tensors.dFinal),
      dInitial: state("dInitial", tensors.dInitial),
      kept: keptOf(layer, gpu, model, dims, tensors.kept, options),
    };
    const read = [given.dOutputs, given.outputs, given.initial, given.dFinal];
    checkApart(gpu, model, [...defined(inputs), ...defined(given.kept), ...read], [
      ...defined(gradients),
      given.dInitial,
    ]);
    const added = new Set(accumulate === true ? Object.keys(gradients) : accumulate === false ? [] : accumulate);
    const direct = layer.accumulates ? gradients : Object.fromEntries(
      Object.entries(gradients).map(([name, tensor]) =>
        [name, added.has(name) ? work.room(`gradient of ${name}`, tensor.shape) : tensor] as const
      ),
    );
    const plan = await orGeneric(
      layer,
      options.kernels === undefined,
      (one) =>
        one.backward(
          gpu,
          model,
          dims,
          { ...given, gradients: direct, accumulate: one === layer ? added : undefined },
          options,
        ),
    );
    work.plan(plan);
    for (const [name, tensor] of Object.entries(gradients)) {
      if (direct[name] !== tensor) await work.copy(direct[name]!, tensor, { how: "add" });
    }
    return work.finish(plan);
  } catch (error) {
    work.release();
    throw error;
  }
}
