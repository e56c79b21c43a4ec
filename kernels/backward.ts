/**
 * Gradients of any model on the GPU, derived from its `lift` and `read`: the program of models/backward.ts in f32.
 *
 * Forward states (a chunked scan per lane; serial per column for a matrix action), what the read-outs give to each state,
 * λ by the same scan in reverse time, then one kernel per raw input with one thread per entry. Sums over
 * batch and time are taken in a fixed order, so results are the same at every run.
 *
 * @module
 */
import { type AnyAffineModel, type InputSpec, stateColumns, stateRows } from "../models/affine.ts";
import { checkCotangents, type Cotangents } from "../models/backward.ts";
import { backAction, traceGradient } from "../models/gradient.ts";
import { laneActions } from "../models/action.ts";
import {
  type Dims,
  inputEntries,
  type Inputs,
  inputWidth,
  microSteps,
  prepare,
  prepareState,
  stateLength,
} from "../models/inputs.ts";
import { type BufferName, CHUNK, FAN, type Shader, THREADS } from "./_backward_shader.ts";
import { backwardShaders, foldShader } from "./_backward_wgsl.ts";
import type { Dispatch, Gpu } from "./gpu.ts";

/** Cotangents, and where the run started from. */
export interface GpuGradientOptions extends Cotangents {
  /** `[B, H, rows, columns, width]`; zero where not given. */
  readonly initialState?: ArrayLike<number>;
}

/** Gradients in the shapes that inputs and states are given in; see `Gradients` in models/backward.ts. */
export interface GpuGradients {
  readonly inputs: { readonly [name: string]: Float32Array };
  readonly initialState: Float32Array;
}

/**
 * The gradients of `Σ outputs · o + Σ finalState · S_T` with respect to every input and the initial state.
 *
 * All states and λs are held on the device at once, `B·H·(T + 1)·rows·columns` numbers each.
 *
 * @throws {InputError} on inputs or cotangents outside the contract, and when a buffer exceeds the device's limits.
 */
export async function gradientsOnGpu(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  options: GpuGradientOptions,
): Promise<GpuGradients> {
  const batch = prepare(model, dims, inputs);
  const initialState = Float32Array.from(prepareState(model, dims, options.initialState));
  checkCotangents(model, dims, options);
  const { B, H, sizes } = dims;
  const { steps } = batch;
  const gradient = traceGradient(model, sizes);
  const shaders = backwardShaders(gradient);
  const columns = stateColumns(model, sizes);
  const lanes = stateRows(model, sizes) * columns;
  const chunks = Math.ceil(steps / CHUNK);
  const entries = inputEntries(model);

  const made: GPUBuffer[] = [];
  const keep = (buffer: GPUBuffer): GPUBuffer => {
    made.push(buffer);
    return buffer;
  };
  const room = (label: string, numbers: number): GPUBuffer =>
    keep(gpu.createBuffer({ label, bytes: 4 * Math.max(numbers, 1) }));
  const filled = (label: string, data: Float32Array | Uint32Array): GPUBuffer => {
    const buffer = room(label, data.length);
    if (data.length > 0) gpu.write(buffer, data);
    return buffer;
  };
  try {
    const offsets = [0];
    for (const [name] of entries) offsets.push(offsets.at(-1)! + batch.inputs[name]!.length);
    const all = room("inputs", offsets.at(-1)!);
    entries.forEach(([name], n) => {
      if (batch.inputs[name]!.length > 0) gpu.write(all, batch.inputs[name]!, 4 * offsets[n]!);
    });
    const elementWidth = model.action === "matrix"
      ? 0
      : Math.max(laneActions[model.action as keyof typeof laneActions].elementWidth, backAction(gradient).elementWidth);
    const buffers: { [name in BufferName]?: GPUBuffer } = {
      extent: filled("extent", Uint32Array.from([B, steps, H, chunks, ...offsets])),
      inputs: all,
      initial: filled("initial state", initialState),
      final_state: filled(
        "cotangent of the final state",
        Float32Array.from(options.finalState ?? new Float32Array(stateLength(model, dims))),
      ),
      outputs: filled("cotangent of the outputs", Float32Array.from(options.outputs)),
      states: room("states", B * H * (steps + 1) * lanes * gradient.width),
      lambda: room("cotangents of the states", B * H * (steps + 1) * lanes * gradient.cotangents),
      elements: room("elements", B * H * chunks * lanes * elementWidth),
    };

    const planned: { readonly shader: Shader; readonly dispatch: Omit<Dispatch, "pipeline"> }[] = [];
    const add = (shader: Shader, workgroups: number, own: { [name in BufferName]?: GPUBuffer } = {}): void => {
      if (workgroups === 0) return;
      const bound = shader.buffers.map((name) => own[name] ?? buffers[name]!);
      planned.push({ shader, dispatch: { buffers: bound, workgroups } });
    };
    const groups = (threads: number): number => Math.ceil(threads / THREADS);
    // A serial scan takes a workgroup per column; a chunked one a thread per lane and chunk, and one per lane to carry.
    const scan = (phases: readonly Shader[]): void => {
      const threads = B * H * lanes;
      if (phases.length === 1) return add(phases[0]!, B * H * columns);
      const [reduce, carry, apply] = phases as readonly [Shader, Shader, Shader];
      add(reduce, groups(threads * chunks));
      add(carry, groups(threads));
      add(apply, groups(threads * chunks));
    };
    scan(shaders.forward);
    add(shaders.local, groups(B * H * (steps + 1) * lanes));
    scan(shaders.back);

    const results = new Map<string, { readonly buffer: GPUBuffer; readonly length: number }>();
    const start = room("gradient of the initial state", initialState.length);
    add(shaders.start, groups(B * H * lanes), { result: start });
    for (const [name, spec] of entries) {
      const length = gradientRows(model, spec, dims) * inputWidth(spec, sizes);
      if (spec.per !== "parameter") {
        const buffer = room(`gradient of ${name}`, length);
        add(shaders.inputs[name]!, groups(length), { result: buffer });
        results.set(name, { buffer, length });
        continue;
      }
      let rows = B * chunks;
      let buffer = room(`gradient of ${name} by chunk`, Math.max(rows, 1) * length);
      add(shaders.inputs[name]!, groups(rows * length), { result: buffer });
      while (rows > 1) {
        const folded = Math.ceil(rows / FAN);
        const result = room(`gradient of ${name} by ${folded}`, folded * length);
        const extent = filled("rows and columns", Uint32Array.from([rows, length]));
        add(foldShader, groups(folded * length), { inputs: buffer, result, extent });
        [rows, buffer] = [folded, result];
      }
      results.set(name, { buffer, length });
    }
    const dispatches = await Promise.all(
      planned.map(async ({ shader: { label, code }, dispatch }): Promise<Dispatch> => ({
        ...dispatch,
        pipeline: await gpu.compile({ label: `${model.name}: ${label}`, code }),
      })),
    );
    await gpu.run(`gradients of ${model.name}`, dispatches);

    const gradients: { [name: string]: Float32Array } = {};
    for (const [name, { buffer, length }] of results) {
      gradients[name] = length === 0 ? new Float32Array(0) : await gpu.read(buffer, Float32Array, { length });
    }
    return { inputs: gradients, initialState: await gpu.read(start, Float32Array, { length: initialState.length }) };
  } finally {
    for (const buffer of made) buffer.destroy();
  }
}

/** Rows of the array that an input, and so its gradient, is given in. */
function gradientRows(model: AnyAffineModel, spec: InputSpec, { B, T, H }: Dims): number {
  if (spec.per === "parameter") return H;
  return B * T * H * (spec.micro === undefined || spec.micro === "every" ? microSteps(model) : 1);
}
