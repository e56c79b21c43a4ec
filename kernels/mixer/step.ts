/**
 * A layer's next token: the recurrent form with the shapes of {@linkcode planMixer}, for decoders.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import { InputError } from "../../models/error.ts";
import { type Dims, inputEntries, stateShape, stateWidth } from "../../models/inputs.ts";
import type { Gpu } from "../gpu.ts";
import { genericLayer } from "../generic_layer.ts";
import type { Plan } from "../plan.ts";
import { planStep, stepInputShape } from "../step.ts";
import { Tensor } from "../tensor.ts";
import { type Named, Work } from "../_work.ts";
import { allInputs, asShape, asState, checkApart, dimsOf, outputShape } from "./_shapes.ts";

/** Tensors of one token, T = 1, in the shapes of planMixer. */
export interface MixerStepTensors {
  /** `[B, 1, H, …axes]`, `[B, n, H, …axes]` where given for n micro-steps, parameters `[H, …axes]`. */
  readonly inputs: Named;
  /** `[B, 1, H, columns]`, written. */
  readonly outputs: Tensor;
  /** `[B, H, rows, columns]`, read and replaced. */
  readonly state: Tensor;
}

/**
 * One token of every sequence, a plan that can run again and again: one dispatch (step.ts) where the device binds so many
 * buffers and the model can be stepped so, else the generic kernel's.
 *
 * Rejects with an {@link InputError} on tensors that do not fit the model or the device.
 */
export async function planMixerStep(
  gpu: Gpu,
  model: AnyAffineModel,
  { inputs: given, outputs, state }: MixerStepTensors,
): Promise<Plan> {
  const dims: Dims = dimsOf(model, "outputs", outputs, given);
  if (dims.T !== 1) {
    throw new InputError(`Cannot step ${model.name}: tensors must be of one token, got ${dims.T}`);
  }
  const work = new Work(gpu);
  try {
    const inputs = allInputs(work, model, dims, given);
    const y = asShape(model, "outputs", outputs, outputShape(model, dims), 2);
    const s = asState(model, "the state", state, dims);
    checkApart(gpu, model, Object.values(inputs), [y, s]);
    const plan = await stepped(gpu, model, dims, inputs, y, s) ?? await generic(gpu, model, dims, inputs, y, s);
    work.plan(plan);
    return work.finish(plan);
  } catch (error) {
    work.release();
    throw error;
  }
}

/** In one dispatch; undefined where that cannot be. */
async function stepped(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Named,
  outputs: Tensor,
  state: Tensor,
): Promise<Plan | undefined> {
  const view = (tensor: Tensor, shape: readonly number[]): Tensor => new Tensor(gpu, tensor.buffer, shape);
  const [B, , H, columns] = outputs.shape as [number, number, number, number];
  try {
    return await planStep(gpu, model, dims, {
      inputs: Object.fromEntries(
        inputEntries(model).map(([name]) => [name, view(inputs[name]!, stepInputShape(model, name, dims))]),
      ),
      output: view(outputs, [B, H, columns]),
      state: view(state, [...stateShape(model, dims).slice(0, 4), stateWidth(model)]),
    });
  } catch (error) {
    // Shapes are right: it is the device's or the model's limit.
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

async function generic(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Named,
  outputs: Tensor,
  state: Tensor,
): Promise<Plan> {
  const work = new Work(gpu);
  try {
    const final = work.room("next state", state.shape);
    const plan = await genericLayer.forward(gpu, model, dims, { inputs, outputs, initial: state, final }, {});
    work.plan(plan);
    await work.copy(final, state);
    return work.finish({ ...plan, name: `step ${model.name}` });
  } catch (error) {
    work.release();
    throw error;
  }
}
