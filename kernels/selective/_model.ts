/** Runs of the model S6 from host arrays. */
import type { AnyAffineModel } from "../../models/affine.ts";
import { InputError } from "../../models/error.ts";
import type { GradientOptions, GradientResult, RunOptions, RunResult } from "../../models/execution.ts";
import { type Batch, type Dims, type Inputs, prepare, prepareState } from "../../models/inputs.ts";
import type { Gpu } from "../gpu.ts";
import { type Plan, runPlans } from "../plan.ts";
import { Tensor } from "../tensor.ts";
import { POISON } from "../wgsl.ts";
import { planSelectiveScanBackward, type SelectiveGradientOptions } from "./backward.ts";
import { planSelectiveScan, type SelectiveOptions } from "./forward.ts";
import type { SelectiveInputs } from "./tensors.ts";

type NamedTensors = { readonly [name: string]: Tensor };

/** Tensors that live as long as one run. */
class Loan {
  readonly #gpu: Gpu;
  readonly #tensors: Tensor[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  of(label: string, data: ArrayLike<number>, shape: readonly number[]): Tensor {
    const tensor = Tensor.from(this.#gpu, data, shape, { label });
    this.#tensors.push(tensor);
    return tensor;
  }

  /** A result's room, filled with NaN, so that a number nobody writes shows. */
  empty(label: string, shape: readonly number[]): Tensor {
    const tensor = Tensor.empty(this.#gpu, shape, { label });
    this.#gpu.write(tensor.buffer, new Uint32Array(tensor.buffer.size / 4).fill(POISON));
    this.#tensors.push(tensor);
    return tensor;
  }

  end(): void {
    for (const tensor of this.#tensors) tensor.destroy();
  }
}

function inputsOf(loan: Loan, { inputs, dims: { B, T, sizes } }: Batch): SelectiveInputs & NamedTensors {
  const [D, N] = [sizes.D!, sizes.N!];
  const tensor = (name: string, shape: readonly number[]): Tensor => loan.of(name, inputs[name]!, shape);
  return {
    u: tensor("u", [B, T, D]),
    delta: tensor("delta", [B, T, D]),
    A: tensor("A", [N, D]),
    B: tensor("B", [B, T, N]),
    C: tensor("C", [B, T, N]),
    D: tensor("D", [D]),
    deltaBias: tensor("deltaBias", [D]),
    ...(inputs["z"] === undefined ? {} : { z: tensor("z", [B, T, D]) }),
  };
}

function assertFinite(model: AnyAffineModel, what: string, values: Float32Array): Float32Array {
  const bad = values.findIndex((x) => !Number.isFinite(x));
  if (bad < 0) return values;
  throw new Error(`Cannot run ${model.name} in f32: ${what} must stay finite, got ${values[bad]} at ${bad}`);
}

async function withPlan(gpu: Gpu, label: string, made: Promise<Plan>, read: () => Promise<void>): Promise<void> {
  const plan = await made;
  try {
    await runPlans(gpu, label, [plan]);
    await read();
  } finally {
    plan.release();
  }
}

/** Outputs and final state. Rejects with an `InputError` on inputs outside the model's contract. */
export async function runSelective(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  given: Inputs,
  options: RunOptions,
  tuning: SelectiveOptions,
): Promise<RunResult> {
  if (options.states === true) {
    throw new InputError(
      `Cannot run ${model.name}: the fused selective scan keeps no state per token, got states: true`,
    );
  }
  const batch = prepare(model, dims, given);
  const { B, T, sizes } = dims;
  const loan = new Loan(gpu);
  try {
    const start = prepareState(model, dims, options.initialState);
    const y = loan.empty("y", [B, T, sizes.D!]);
    const finalState = loan.empty("final state", [B, sizes.N!, sizes.D!]);
    const tensors = {
      ...inputsOf(loan, batch),
      y,
      finalState,
      ...(options.initialState === undefined
        ? {}
        : { initialState: loan.of("initial state", start, [B, sizes.N!, sizes.D!]) }),
    };
    let [outputs, state]: Float32Array[] = [];
    await withPlan(gpu, model.name, planSelectiveScan(gpu, tensors, tuning), async () => {
      [outputs, state] = [await y.read(), await finalState.read()];
    });
    return {
      outputs: assertFinite(model, "outputs", outputs!),
      finalState: assertFinite(model, "the final state", state!),
    };
  } finally {
    loan.end();
  }
}

/** Gradients of every input and of the initial state. */
export async function selectiveGradients(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  given: Inputs,
  options: GradientOptions,
  tuning: SelectiveGradientOptions,
): Promise<GradientResult> {
  const batch = prepare(model, dims, given);
  const { B, T, sizes } = dims;
  const [D, N] = [sizes.D!, sizes.N!];
  const loan = new Loan(gpu);
  try {
    const state = (label: string, values: ArrayLike<number> | undefined): Tensor =>
      loan.of(label, prepareState(model, dims, values), [B, N, D]);
    const inputs = inputsOf(loan, batch);
    const gradients = Object.fromEntries(
      Object.entries<Tensor>(inputs).map(([name, { shape }]) => [`d${name}`, loan.empty(`d${name}`, shape)]),
    );
    const dInitialState = loan.empty("dInitialState", [B, N, D]);
    const tensors = {
      ...inputs,
      ...gradients as { readonly [name in "du" | "ddelta" | "dA" | "dB" | "dC"]: Tensor },
      dInitialState,
      dy: loan.of("dy", options.outputs, [B, T, D]),
      initialState: state("initial state", options.initialState),
      dFinalState: state("dFinalState", options.finalState),
    };
    const results: { [name: string]: Float32Array } = {};
    let start: Float32Array | undefined;
    await withPlan(gpu, `gradients of ${model.name}`, planSelectiveScanBackward(gpu, tensors, tuning), async () => {
      for (const name of Object.keys(inputs)) results[name] = await gradients[`d${name}`]!.read();
      start = await dInitialState.read();
    });
    return { inputs: results, initialState: start! };
  } finally {
    loan.end();
  }
}
