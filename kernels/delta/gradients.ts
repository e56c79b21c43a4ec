/** Gradients of a model of the family from arrays on the host. */
import type { AnyAffineModel } from "../../models/affine.ts";
import { InputError } from "../../models/error.ts";
import type { GradientOptions, GradientResult } from "../../models/execution.ts";
import { type Dims, type Inputs, prepare, prepareState, stateLength } from "../../models/inputs.ts";
import type { Gpu } from "../gpu.ts";
import { runPlans } from "../plan.ts";
import type { Tensor } from "../tensor.ts";
import { type DeltaBackwardOptions, planDeltaBackward } from "./backward.ts";
import { planDeltaForward } from "./forward.ts";
import { deltaRule, inputLayouts } from "./rule.ts";
import { assertFinite, deltaExtent, tokenInputs, Workspace } from "./run.ts";
import { inputShape } from "./tensors.ts";
import type { TileOptions } from "./tile.ts";

export interface DeltaGradientOptions extends DeltaBackwardOptions {
  readonly forward?: TileOptions;
}

/**
 * Gradients of Σ dO·o + Σ dS·S_T. Rejects with an {@link InputError} before any GPU work if inputs or cotangents leave the
 * contract or exceed the device; with an Error if a gradient overflows f32.
 */
export async function deltaGradients(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  given: GradientOptions,
  options: DeltaGradientOptions = {},
): Promise<GradientResult> {
  const rule = deltaRule(model);
  const { microSteps } = rule;
  const batch = prepare(model, dims, inputs);
  const extent = deltaExtent(model, dims);
  const { B, T, H, K, V } = extent;
  const { chunk = 64, forward = {} } = options;
  const length = B * T * H * V;
  if (given.outputs.length !== length) {
    throw new InputError(
      `Cannot run ${model.name}: the cotangent of outputs is [B, T, H, V], so ${length} numbers, got ` +
        given.outputs.length,
    );
  }
  const state = [B, H, K, V];
  const single = (what: string, values?: ArrayLike<number>): Float32Array | undefined =>
    values === undefined ? undefined : assertFinite(model, what, Float32Array.from(prepareState(model, dims, values)));
  const cotangent = single("the cotangent of the final state", given.finalState);
  const initial = single("the initial state", given.initialState);
  const layouts = inputLayouts(rule);
  if (T === 0) {
    return {
      inputs: Object.fromEntries(Object.keys(layouts).map((name) => [name, new Float32Array(0)])),
      initialState: cotangent ?? new Float32Array(stateLength(model, dims)),
    };
  }
  const work = new Workspace(gpu);
  const plans = [];
  try {
    const tensors: Record<string, Tensor> = {};
    const gradients: Record<string, Tensor> = {};
    for (const [name, values] of Object.entries(tokenInputs(rule, batch))) {
      const shape = inputShape(layouts[name]!, extent, microSteps);
      tensors[name] = work.given(values, shape);
      gradients[name] = await work.poisoned(shape);
    }
    const saved = {
      chunkStates: await work.poisoned([B, Math.ceil(T / chunk), H, ...state.slice(2)]),
      solved: await work.poisoned([B, T * microSteps, H, V]),
    };
    plans.push(
      await planDeltaForward(gpu, model, {
        ...saved,
        inputs: tensors,
        outputs: await work.poisoned([B, T, H, V]),
        finalState: await work.poisoned(state),
        ...(initial === undefined ? {} : { initialState: work.given(initial, state) }),
      }, { ...forward, chunk }),
    );
    const initialState = await work.poisoned(state);
    plans.push(
      await planDeltaBackward(gpu, model, {
        ...saved,
        inputs: tensors,
        gradients,
        initialState,
        outputs: work.given(given.outputs, [B, T, H, V]),
        ...(cotangent === undefined ? {} : { finalState: work.given(cotangent, state) }),
      }, options),
    );
    await runPlans(gpu, `${model.name} gradients`, plans);
    const read = async (what: string, tensor: Tensor): Promise<Float32Array> =>
      assertFinite(model, `the gradient of ${what}`, await tensor.read());
    const entries: [string, Float32Array][] = [];
    for (const [name, tensor] of Object.entries(gradients)) entries.push([name, await read(name, tensor)]);
    return { inputs: Object.fromEntries(entries), initialState: await read("the initial state", initialState) };
  } finally {
    for (const plan of plans) plan.release();
    work.release();
  }
}
