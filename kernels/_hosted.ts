/**
 * A layer's plans run from arrays on the host: what an execution of the harness is made of. Inputs are checked, results that
 * nobody wrote show as NaN, and what f32 cannot hold is an error.
 *
 * @module
 */
import { type AnyAffineModel, outputColumns } from "../models/affine.ts";
import { checkCotangents } from "../models/backward.ts";
import { InputError } from "../models/error.ts";
import type { GradientOptions, GradientResult, RunOptions, RunResult } from "../models/execution.ts";
import {
  type Batch,
  type Dims,
  givenInputs,
  inputEntries,
  type Inputs,
  inputShape,
  prepare,
  prepareState,
  stateShape,
} from "../models/inputs.ts";
import type { Gpu } from "./gpu.ts";
import type { Layer, LayerOptions } from "./mixer/layer.ts";
import { runPlans } from "./plan.ts";
import { Tensor } from "./tensor.ts";
import { compileShader, dispatchItems, poisonShader } from "./wgsl.ts";
import type { Named } from "./_work.ts";

/** Throws unless all numbers are finite. */
export function assertFinite(model: AnyAffineModel, what: string, values: Float32Array): Float32Array {
  const bad = values.findIndex((x) => !Number.isFinite(x));
  if (bad < 0) return values;
  throw new Error(`Cannot run ${model.name} in f32: ${what} must stay finite, got ${values[bad]} at ${bad}`);
}

/** A checked state in f32; undefined where none is given. */
function stateOf(
  model: AnyAffineModel,
  dims: Dims,
  what: string,
  given: ArrayLike<number> | undefined,
): Float32Array | undefined {
  if (given === undefined) return undefined;
  const state = Float32Array.from(prepareState(model, dims, given));
  const bad = state.findIndex((x) => !Number.isFinite(x));
  if (bad < 0) return state;
  throw new InputError(`Cannot run ${model.name}: ${what} must fit f32, got ${given[bad]} at ${bad}`);
}

/** The tensors of one call. */
class Loan {
  readonly #gpu: Gpu;
  readonly #tensors: Tensor[] = [];
  readonly #results: Tensor[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  given(label: string, data: ArrayLike<number>, shape: readonly number[]): Tensor {
    const tensor = Tensor.from(this.#gpu, data, shape, { label });
    this.#tensors.push(tensor);
    return tensor;
  }

  inputs({ model, dims, ...batch }: Batch): Named {
    const values = givenInputs({ model, dims, ...batch });
    return Object.fromEntries(
      inputEntries(model).map(([name, spec]) => [name, this.given(name, values[name]!, inputShape(model, spec, dims))]),
    );
  }

  result(label: string, shape: readonly number[]): Tensor {
    const tensor = Tensor.empty(this.#gpu, shape, { label });
    this.#tensors.push(tensor);
    this.#results.push(tensor);
    return tensor;
  }

  /** Fills results with NaN. */
  async poison(): Promise<void> {
    const poison = await compileShader(this.#gpu, poisonShader);
    await this.#gpu.run(
      "poison",
      this.#results.map(({ buffer }) => dispatchItems(poison, { poisoned: buffer }, buffer.size / 4)),
    );
  }

  end(): void {
    for (const tensor of this.#tensors) tensor.destroy();
  }
}

/** Outputs and final state. Rejects with an {@link InputError} on inputs outside the model's contract. */
export async function runHosted(
  gpu: Gpu,
  layer: Layer,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  { initialState, states = false }: RunOptions,
  options: LayerOptions,
): Promise<RunResult> {
  const batch = prepare(model, dims, inputs);
  const start = stateOf(model, dims, "the initial state", initialState);
  const { B, T, H, sizes } = dims;
  const state = stateShape(model, dims);
  if (T === 0) {
    const finalState = start ?? new Float32Array(state.reduce((product, extent) => product * extent, 1));
    return { outputs: new Float32Array(0), finalState, ...(states ? { states: new Float32Array(0) } : {}) };
  }
  const loan = new Loan(gpu);
  try {
    const tensors = {
      inputs: loan.inputs(batch),
      outputs: loan.result("outputs", [B, T, H, outputColumns(model, sizes)]),
      final: loan.result("final state", state),
      initial: start && loan.given("initial state", start, state),
      ...(states && layer.hasStates === true ? { states: loan.result("states", [B, T, H, ...state.slice(2)]) } : {}),
    };
    const plan = await layer.forward(gpu, model, dims, tensors, options);
    try {
      await loan.poison();
      await runPlans(gpu, plan.name, [plan]);
      return {
        outputs: assertFinite(model, "outputs", await tensors.outputs.read()),
        finalState: assertFinite(model, "the final state", await tensors.final.read()),
        ...(tensors.states === undefined ? {} : { states: assertFinite(model, "states", await tensors.states.read()) }),
      };
    } finally {
      plan.release();
    }
  } finally {
    loan.end();
  }
}

/** The gradients of Σ dO·o + Σ dS·S_T by every input and the initial state; as `Execution.gradients`. */
export async function hostedGradients(
  gpu: Gpu,
  layer: Layer,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  options: GradientOptions,
  layerOptions: LayerOptions,
): Promise<GradientResult> {
  const batch = prepare(model, dims, inputs);
  checkCotangents(model, dims, options);
  const start = stateOf(model, dims, "the initial state", options.initialState);
  const { B, T, H, sizes } = dims;
  const state = stateShape(model, dims);
  // A state with a shared exponent has its cotangent brought to the initial one by the kernels.
  if (T === 0 && model.action !== "scaled") {
    const zeros = Object.entries(givenInputs(batch)).map(([name, values]) => [name, new Float32Array(values.length)]);
    const length = state.reduce((product, extent) => product * extent, 1);
    return {
      inputs: Object.fromEntries(zeros),
      initialState: Float32Array.from(options.finalState ?? new Float32Array(length)),
    };
  }
  const loan = new Loan(gpu);
  try {
    const dFinal = options.finalState && loan.given("cotangent of the final state", options.finalState, state);
    const tensors = {
      inputs: loan.inputs(batch),
      dOutputs: loan.given("cotangent of the outputs", options.outputs, [B, T, H, outputColumns(model, sizes)]),
      gradients: Object.fromEntries(
        inputEntries(model).map((
          [name, spec],
        ) => [name, loan.result(`gradient of ${name}`, inputShape(model, spec, dims))]),
      ),
      initial: start && loan.given("initial state", start, state),
      dFinal,
      dInitial: loan.result("gradient of the initial state", state),
    };
    const plan = await layer.backward(gpu, model, dims, tensors, layerOptions);
    try {
      await loan.poison();
      await runPlans(gpu, plan.name, [plan]);
      const gradients: { [name: string]: Float32Array } = {};
      for (const [name, tensor] of Object.entries(tensors.gradients)) {
        gradients[name] = assertFinite(model, `the gradient of ${name}`, await tensor.read());
      }
      const initialState = await tensors.dInitial.read();
      return {
        inputs: gradients,
        initialState: assertFinite(model, "the gradient of the initial state", initialState),
      };
    } finally {
      plan.release();
    }
  } finally {
    loan.end();
  }
}
