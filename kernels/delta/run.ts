/** The delta rule from arrays on the host: a model's inputs in, outputs and states out. */
import type { AnyAffineModel } from "../../models/affine.ts";
import { InputError } from "../../models/error.ts";
import type { RunOptions } from "../../models/execution.ts";
import { type Dims, givenInputs, type Inputs, prepare, prepareState, stateLength } from "../../models/inputs.ts";
import type { Gpu } from "../gpu.ts";
import { assertFinite } from "../_hosted.ts";
import { runPlans } from "../plan.ts";
import { type DType, Tensor } from "../tensor.ts";
import { compileShader, dispatchItems, poisonShader } from "../wgsl.ts";
import { type DeltaOptions, planDeltaForward } from "./forward.ts";
import { deltaRule, inputLayouts } from "./rule.ts";
import { type DeltaDims, inputShape } from "./tensors.ts";

export interface DeltaRunOptions extends RunOptions, DeltaOptions {
  /** What inputs and outputs are stored as; default f32. */
  readonly dtype?: DType;
}

export interface DeltaRunResult {
  /** `[B, T, H, V]`. */
  readonly outputs: Float32Array;
  /** `[B, H, K, V]`. */
  readonly finalState: Float32Array;
  /** `[B, T·n_h, H, K, V]`: after every micro-step, where asked for. */
  readonly states?: Float32Array;
  /** `[B, ceil(T / chunk), H, K, V]`: before every chunk, where asked for. */
  readonly chunkStates?: Float32Array;
}

export function deltaExtent(model: AnyAffineModel, { B, T, H, sizes }: Dims): DeltaDims {
  const { K, V } = sizes;
  if (K === undefined || V === undefined) {
    throw new InputError(`Cannot run ${model.name}: sizes K and V must be given, got ${JSON.stringify(sizes)}`);
  }
  return { B, T, H, K, V };
}

/** Tensors of one call, filled with NaN where the call writes them, and freed together. */
class Workspace {
  readonly gpu: Gpu;
  readonly #tensors: Tensor[] = [];

  constructor(gpu: Gpu) {
    this.gpu = gpu;
  }

  given(data: ArrayLike<number>, shape: readonly number[], dtype: DType = "f32"): Tensor {
    return this.#kept(Tensor.from(this.gpu, data, shape, { dtype }));
  }

  async poisoned(shape: readonly number[], dtype: DType = "f32"): Promise<Tensor> {
    const tensor = this.#kept(Tensor.empty(this.gpu, shape, { dtype }));
    const poison = await compileShader(this.gpu, poisonShader);
    await this.gpu.run("poison", [dispatchItems(poison, { poisoned: tensor.buffer }, tensor.buffer.size / 4)]);
    return tensor;
  }

  release(): void {
    for (const tensor of this.#tensors) tensor.destroy();
  }

  #kept(tensor: Tensor): Tensor {
    this.#tensors.push(tensor);
    return tensor;
  }
}

/**
 * Runs a model of the family. Rejects with an {@link InputError} before any GPU work if the inputs leave the model's
 * contract or exceed the device; with an Error if a result overflows f32.
 */
export async function runDelta(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  options: DeltaRunOptions = {},
): Promise<DeltaRunResult> {
  const { initialState, states: wantStates = false, chunkStates: wantChunks = false, dtype = "f32", ...rest } = options;
  const rule = deltaRule(model);
  const batch = prepare(model, dims, inputs);
  const extent = deltaExtent(model, dims);
  const { B, T, H, K, V } = extent;
  const initial = initialState === undefined
    ? undefined
    : assertFinite(model, "the initial state", Float32Array.from(prepareState(model, dims, initialState)));
  if (T === 0) {
    return {
      outputs: new Float32Array(0),
      finalState: initial ?? new Float32Array(stateLength(model, dims)),
      ...(wantStates ? { states: new Float32Array(0) } : {}),
      ...(wantChunks ? { chunkStates: new Float32Array(0) } : {}),
    };
  }
  const work = new Workspace(gpu);
  const run = async (tensors: { states?: Tensor; chunkStates?: Tensor }): Promise<DeltaRunResult> => {
    const outputs = await work.poisoned([B, T, H, V], dtype);
    const finalState = await work.poisoned([B, H, K, V]);
    const plan = await planDeltaForward(gpu, model, {
      inputs: Object.fromEntries(
        Object.entries(givenInputs(batch)).map((
          [name, values],
        ) => [name, work.given(values, inputShape(inputLayouts(rule)[name]!, extent, rule.microSteps), dtype)]),
      ),
      outputs,
      finalState,
      ...(initial === undefined ? {} : { initialState: work.given(initial, [B, H, K, V]) }),
      ...tensors,
    }, rest);
    try {
      await runPlans(gpu, plan.name, [plan]);
      return {
        outputs: assertFinite(model, "outputs", await outputs.read()),
        finalState: assertFinite(model, "the final state", await finalState.read()),
      };
    } finally {
      plan.release();
    }
  };
  const { chunk = 64 } = rest;
  const read = async (what: string, tensor: Tensor): Promise<Float32Array> =>
    assertFinite(model, what, await tensor.read());
  try {
    if (!wantStates && !wantChunks) return await run({});
    let result: DeltaRunResult | undefined;
    if (wantStates) {
      const states = await work.poisoned([B, T * rule.microSteps, H, K, V]);
      result = { ...await run({ states }), states: await read("states", states) };
    }
    if (!wantChunks) return result!;
    const chunkStates = await work.poisoned([B, Math.ceil(T / chunk), H, K, V]);
    const again = await run({ chunkStates });
    return { ...again, ...result, chunkStates: await read("states", chunkStates) };
  } finally {
    work.release();
  }
}
