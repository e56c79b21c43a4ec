/**
 * Every affine model as a differentiable layer on tensors that stay on the GPU: what `TensorOps.scan` (models/ops.ts) needs.
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
 * own too, and sizes (or devices) that the fused kernels do not take. Both are the kernels that the harness judges. Every run gives the same bits. A row's bits depend on no other row,
 * nor on how many there are (unless {@linkcode MixerOptions.split} allows it). Outputs of a prefix have the bits of the whole
 * sequence's
 *
 * - in the generic kernel, the delta rule, and the element-wise scan;
 * - in the selective scan;
 * - in chunks on tiles with `mode: "f32"`; in other modes operands of a chunk are scaled together, and a token's last bits may
 *   depend on later ones of its chunk.
 *
 * @module
 */
import type { AnyAffineModel } from "../models/affine.ts";
import { fusedFamilies } from "./fused.ts";
import { genericLayer } from "./generic_layer.ts";
import type { Gpu } from "./gpu.ts";
import type { Layer, LayerOptions } from "./mixer/layer.ts";
import { allInputs, asInput, asShape, asState, checkApart, checkNames, dimsOf, outputShape } from "./mixer/_shapes.ts";
import { InputError } from "../models/error.ts";
import type { Dims } from "../models/inputs.ts";
import type { Plan } from "./plan.ts";
import type { Tensor } from "./tensor.ts";
import { type Named, Work } from "./_work.ts";

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
  /** As the forward pass wrote them, with the same options. */
  readonly kept?: Named | undefined;
}

export interface MixerOptions extends LayerOptions {
  /** Default: fused where a family has the model, else generic. */
  readonly kernels?: "fused" | "generic" | undefined;
}

export interface MixerBackwardOptions extends MixerOptions {
  /** Gradients that are added to what is there: all, or those named. `dInitial` never is. */
  readonly accumulate?: boolean | readonly string[] | undefined;
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
const layerFor = (model: AnyAffineModel, { T }: Dims, options: MixerOptions): Layer =>
  T === 0 ? genericLayer : mixerLayer(model, options);

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

const defined = (tensors: Named | undefined): Tensor[] => Object.values(tensors ?? {});

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
    checkApart(gpu, model, [...defined(inputs), given.initial], [given.outputs, given.final, ...defined(given.kept)]);
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

/** Makes the backward pass ready: gradients of Σ dOutputs · o + Σ dFinal · S_T. Rejects as {@linkcode planMixer} does. */
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

/** A plan of the layer's, or of the generic kernel where a device or a size is beyond the layer and another may be taken. */
async function orGeneric(layer: Layer, another: boolean, plan: (layer: Layer) => Promise<Plan>): Promise<Plan> {
  try {
    return await plan(layer);
  } catch (error) {
    if (!another || layer === genericLayer || !(error instanceof InputError)) throw error;
    return await plan(genericLayer);
  }
}

/** What is kept, checked against its shapes. */
function keptOf(
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
    // Shapes of what is kept have heads only where the model has.
    return [name, asShape({ ...model, heads: true }, `the kept ${name}`, tensor, shape, 2)];
  }));
}
