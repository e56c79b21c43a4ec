/**
 * One token for a whole batch of states in one dispatch: the recurrent form, for streaming. The states stay on the GPU
 * and are updated in place; nothing else is kept, so its memory does not depend on how many tokens have passed.
 *
 * ```ts
 * const stepper = await openStepper(gpu, gla, { B: 64, H: 16, sizes: { K: 64, V: 64 } });
 * stepper.inputs.q.write(q); // … k, v, g
 * await runPlans(gpu, "token", [stepper.plan]);
 * const o = await stepper.output.read();
 * ```
 *
 * The kernel is made from the model's traced definition: of every entry of the state by itself where its action allows,
 * and for a matrix action from `E = diag(d) + Σ left rightᵀ` (models/low_rank.ts), so that a column takes O(K).
 *
 * @module
 */
import { type AnyAffineModel, outputColumns, stateColumns, stateRows } from "../models/affine.ts";
import { InputError } from "../models/error.ts";
import { checkDims, type Dims, inputEntries, microSteps, stateWidth } from "../models/inputs.ts";
import { stepShader } from "./_step_shader.ts";
import { type StepDims, stepWorkgroups } from "./_step_tiling.ts";
import type { Fault } from "./faults.ts";
import type { Gpu } from "./gpu.ts";
import { type Plan, planOf } from "./plan.ts";
import { assertShape, Tensor } from "./tensor.ts";
import { compileShader, dispatch } from "./wgsl.ts";

export type { StepDims } from "./_step_tiling.ts";

/** What one step reads and writes. */
export interface StepTensors {
  /** By the model's names, f32: see {@linkcode stepInputShape}. */
  readonly inputs: { readonly [name: string]: Tensor };
  /** `[B, H, rows, columns, width]`, f32; read and replaced. */
  readonly state: Tensor;
  /** `[B, H, outputs]`, f32. */
  readonly output: Tensor;
}

export interface StepOptions {
  readonly fault?: Fault;
}

/**
 * The shape of an input of one token: `[B, H, …axes]`, `[B, n, H, …axes]` where it is given for each of a token's n > 1
 * micro-steps, `[H, …axes]` for a parameter; without the head axis for models without heads.
 */
export function stepInputShape(model: AnyAffineModel, name: string, { B, H, sizes }: StepDims): readonly number[] {
  const spec = inputEntries(model).find(([known]) => known === name)?.[1];
  if (spec === undefined) {
    throw new InputError(
      `Cannot step ${model.name}: its inputs are ${
        inputEntries(model).map(([known]) => known).join(", ")
      }, got ${name}`,
    );
  }
  const n = microSteps(model);
  const every = spec.micro === undefined || spec.micro === "every";
  return [
    ...(spec.per === "parameter" ? [] : [B, ...(n > 1 && every ? [n] : [])]),
    ...(model.heads ? [H] : []),
    ...spec.axes.map((axis) => sizes[axis]!),
  ];
}

function stateShape(model: AnyAffineModel, { B, H, sizes }: StepDims): readonly number[] {
  return [B, H, stateRows(model, sizes), stateColumns(model, sizes), stateWidth(model)];
}

/**
 * One token of every sequence, as a plan that can run again and again.
 *
 * Rejects with an {@link InputError} where a tensor has the wrong shape or type, the model's matrix is not diagonal plus
 * low rank, or the device cannot bind so many buffers. Inputs are not checked against the model's domains, nor clamped
 * where these say so (a log gate of −∞ to −104): they are on the GPU.
 */
export async function planStep(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: StepDims,
  { inputs, state, output }: StepTensors,
  options: StepOptions = {},
): Promise<Plan> {
  const full: Dims = { ...dims, T: 1 };
  checkDims(model, full);
  const names = inputEntries(model).map(([name]) => name);
  for (const name of names) {
    const tensor = inputs[name];
    if (tensor === undefined) {
      throw new InputError(`Cannot step ${model.name}: it needs the inputs ${names.join(", ")}, got no ${name}`);
    }
    assertShape(`input ${name} of ${model.name}`, tensor, stepInputShape(model, name, dims));
  }
  assertShape(`the state of ${model.name}`, state, stateShape(model, dims));
  assertShape(`the output of ${model.name}`, output, [dims.B, dims.H, outputColumns(model, dims.sizes)]);
  const tensors = [...names.map((name) => inputs[name]!), state, output];
  const half = tensors.find(({ dtype }) => dtype !== "f32");
  if (half !== undefined) {
    throw new InputError(`Cannot step ${model.name}: tensors must be f32, got ${half.buffer.label} in ${half.dtype}`);
  }
  const most = gpu.limits.maxStorageBuffersPerShaderStage;
  if (tensors.length > most) {
    throw new InputError(`Cannot step ${model.name}: it binds ${tensors.length} buffers, this device allows ${most}`);
  }
  const shader = stepShader(model, dims, options.fault);
  const kernel = await compileShader(gpu, shader);
  const buffers = {
    ...Object.fromEntries(names.map((name) => [`in_${name}`, inputs[name]!.buffer])),
    states: state.buffer,
    outputs: output.buffer,
  };
  const { workgroups, variant } = stepWorkgroups(model, dims);
  return planOf({
    name: `step ${model.name}`,
    variant,
    dispatches: [dispatch(kernel, buffers, workgroups)],
    bytes: names.reduce((sum, name) => sum + inputs[name]!.bytes, 0) + 2 * state.bytes + output.bytes,
    // Per entry of the state: a multiply-add to update it, one to read it; for a matrix the product with a vector too.
    operations: state.length * (model.action === "matrix" ? 6 : 4) * microSteps(model),
  });
}

/** A batch of states on the GPU, and the tensors that feed it. */
export interface Stepper extends StepTensors {
  readonly plan: Plan;
  /** Frees the tensors. */
  close(): void;
}

/**
 * Makes states (zero, or `initialState` as `[B, H, rows, columns, width]`), inputs and output for a batch of sequences.
 * Parameters that the model has a default for hold it.
 */
export async function openStepper(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: StepDims,
  { initialState, ...options }: StepOptions & { readonly initialState?: ArrayLike<number> } = {},
): Promise<Stepper> {
  checkDims(model, { ...dims, T: 1 });
  const made: Tensor[] = [];
  const keep = (tensor: Tensor): Tensor => {
    made.push(tensor);
    return tensor;
  };
  const close = (): void => made.forEach((tensor) => tensor.destroy());
  try {
    const inputs: { [name: string]: Tensor } = {};
    for (const [name, spec] of inputEntries(model)) {
      const tensor = keep(Tensor.empty(gpu, stepInputShape(model, name, dims), { label: name }));
      inputs[name] = tensor;
      if (spec.per !== "parameter" || spec.initial === undefined) continue;
      const [, second = 1] = spec.axes.map((axis) => dims.sizes[axis]!);
      const width = tensor.length / dims.H;
      const columns = spec.axes.length === 2 ? second : 1;
      tensor.write(Float32Array.from({ length: tensor.length }, (_, n) =>
        spec.initial!(
          Math.floor(n / width),
          spec.axes.length === 2 ? Math.floor(n % width / columns) : n % width,
          spec.axes.length === 2 ? n % columns : 0,
        )));
    }
    const state = keep(Tensor.empty(gpu, stateShape(model, dims), { label: "states" }));
    if (initialState !== undefined) state.write(initialState);
    const shape = [dims.B, dims.H, outputColumns(model, dims.sizes)];
    const output = keep(Tensor.empty(gpu, shape, { label: "outputs" }));
    const plan = await planStep(gpu, model, dims, { inputs, state, output }, options);
    return { inputs, state, output, plan, close };
  } catch (error) {
    close();
    throw error;
  }
}
