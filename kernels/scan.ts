/**
 * Any model on any GPU: its traced definition on the generic portable scan (lane_scan.ts, matrix_scan.ts).
 *
 * ```ts
 * const gpu = await openDevice();
 * const { outputs, finalState } = await runOnGpu(gpu, gla, { B: 1, T: 4096, H: 4, sizes: { K: 64, V: 64 } }, inputs);
 * ```
 *
 * The fused kernels are faster; this one runs every model, and theirs is judged by the same checks.
 *
 * @module
 */
import { type AnyAffineModel, type Fields, stateRows } from "../models/affine.ts";
import { InputError } from "../models/error.ts";
import type { Execution, Rounding, RunOptions } from "../models/execution.ts";
import { checkDims, type Dims, type Inputs, microSteps, prepare, prepareState, stateLength } from "../models/inputs.ts";
import { fieldShape } from "../models/token.ts";
import { wgslAccuracy } from "../models/accuracy.ts";
import { gradientsOnGpu } from "./backward.ts";
import type { Gpu } from "./gpu.ts";
import { laneRightCombines } from "./lane_scan.ts";
import { DENSE_ROWS } from "./matrix_scan.ts";
import { primeProfile, wrapProfile } from "./profile.ts";
import { type KernelChoice, rawF32, runSlabs, SlabRunner, type StreamDims, type StreamOptions } from "./stream.ts";

export type { KernelChoice, StreamDims, StreamOptions } from "./stream.ts";
export type { Fault } from "./faults.ts";

/** What to start from, what to return, and how to run. */
export interface GpuRunOptions extends RunOptions, KernelChoice {}

/** The result of {@link runOnGpu}. */
export interface GpuRunResult {
  /** `[B, T, H, columns]`. */
  readonly outputs: Float32Array;
  /** `[B, H, rows, columns, width]`. */
  readonly finalState: Float32Array;
  /** `[B, steps, H, rows, columns, width]` where asked for. */
  readonly states?: Float32Array;
}

function assertFinite(model: AnyAffineModel, what: string, values: Float32Array): Float32Array {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      throw new Error(`Cannot run ${model.name} in f32: ${what} must stay finite, got ${values[i]} at ${i}`);
    }
  }
  return values;
}

/** A checked initial state in f32; undefined stands for zero, which is what new buffers hold. */
function initialState(
  model: AnyAffineModel,
  dims: Dims,
  given: ArrayLike<number> | undefined,
): Float32Array | undefined {
  if (given === undefined) return undefined;
  const state = Float32Array.from(prepareState(model, dims, given));
  const bad = state.findIndex((x) => !Number.isFinite(x));
  if (bad >= 0) {
    throw new InputError(`Cannot run ${model.name}: the initial state must fit f32, got ${given[bad]} at ${bad}`);
  }
  return state;
}

/**
 * Runs a model from raw inputs in f32. Any T ≥ 0; a sequence longer than the buffers goes through in slabs.
 *
 * Rejects with an {@link InputError} before any GPU work if the inputs leave the model's contract or one token exceeds
 * the device; with an Error if an output or the final state overflows f32.
 */
export async function runOnGpu(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  options: GpuRunOptions = {},
): Promise<GpuRunResult> {
  const batch = prepare(model, dims, inputs);
  const initial = initialState(model, dims, options.initialState);
  const wantStates = options.states === true;
  if (dims.T === 0) {
    const outputs = new Float32Array(0);
    const finalState = initial ?? new Float32Array(stateLength(model, dims));
    return { outputs, finalState, ...(wantStates ? { states: new Float32Array(0) } : {}) };
  }
  const runner = await SlabRunner.open(gpu, model, dims, dims.T, options, rawF32);
  try {
    if (initial !== undefined) runner.setState(initial);
    const empty = (): Float32Array => new Float32Array(0);
    const pushed = await runSlabs(runner, model, dims, batch.inputs, batch.steps, wantStates, empty);
    const result = {
      outputs: assertFinite(model, "outputs", pushed.outputs as Float32Array),
      finalState: assertFinite(model, "the final state", await runner.state() as Float32Array),
    };
    return pushed.states === undefined
      ? result
      : { ...result, states: assertFinite(model, "states", pushed.states as Float32Array) };
  } finally {
    runner.close();
  }
}

/** The finite rings a kernel's structure can be checked over. */
export type ModularRing = "F_65521" | "Z/2^32";

/** Options of {@link runModular}. */
export interface ModularOptions extends KernelChoice {
  readonly ring: ModularRing;
  /** `[B, H, rows, columns, width]`; zero where not given. */
  readonly initialState?: Uint32Array;
  readonly states?: boolean;
}

/** The result of {@link runModular}. */
export interface ModularResult {
  /** `[B, T, H, columns]`; empty where the read-out divides. */
  readonly outputs: Uint32Array;
  readonly finalState: Uint32Array;
  readonly states?: Uint32Array;
}

/**
 * Runs a model over a finite ring, from its *activated* fields: every field of `model.fields` as `[B, steps, H, …axes]`
 * of the ring's elements, exponents 0. Exact, so that the kernel's structure can be compared bit for bit.
 */
export async function runModular(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  fields: { readonly [name: string]: Uint32Array },
  { ring, initialState, states = false, ...options }: ModularOptions,
): Promise<ModularResult> {
  checkDims(model, dims);
  const steps = dims.T * microSteps(model);
  for (const [name, axes] of Object.entries(model.fields as Fields)) {
    const width = fieldShape(axes, dims.sizes).reduce((n, extent) => n * extent, 1);
    const length = dims.B * steps * dims.H * width;
    if (fields[name]?.length !== length) {
      throw new InputError(
        `Cannot run ${model.name}: field ${name} is [B, steps, H, ${axes.join(", ")}], so ${length} numbers, ` +
          `got ${fields[name]?.length ?? "none"}`,
      );
    }
  }
  const length = stateLength(model, dims);
  const initial = initialState ?? new Uint32Array(length);
  if (initial.length !== length) {
    throw new InputError(`Cannot run ${model.name}: the initial state has ${length} numbers, got ${initial.length}`);
  }
  if (dims.T === 0) return { outputs: new Uint32Array(0), finalState: initial.slice() };
  const profile = ring === "F_65521" ? primeProfile : wrapProfile;
  const runner = await SlabRunner.open(gpu, model, dims, dims.T, options, { profile, from: "activated" });
  try {
    runner.setState(initial);
    const empty = (): Uint32Array => new Uint32Array(0);
    const pushed = await runSlabs(runner, model, dims, fields, steps, states, empty);
    const result = { outputs: pushed.outputs as Uint32Array, finalState: await runner.state() as Uint32Array };
    return pushed.states === undefined ? result : { ...result, states: pushed.states as Uint32Array };
  } finally {
    runner.close();
  }
}

/** A model running on a GPU with its state kept there: constant bytes, however many tokens pass. */
export interface GpuStream {
  /** Outputs `[B, n, H, columns]` of the next `tokens` = n tokens; parameters are part of the inputs of every call. */
  push(inputs: Inputs, tokens: number): Promise<Float32Array>;
  /** The state after everything pushed, `[B, H, rows, columns, width]`. */
  state(): Promise<Float32Array>;
  /** Frees the buffers. */
  close(): void;
}

/** Opens a stream from `initialState`, or from zero. Rejects with an {@link InputError} as {@link runOnGpu} does. */
export async function openStream(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: StreamDims,
  { tokens = 64, initialState: given, ...choice }: StreamOptions & { readonly initialState?: ArrayLike<number> } = {},
): Promise<GpuStream> {
  const initial = initialState(model, { ...dims, T: 0 }, given);
  const runner = await SlabRunner.open(gpu, model, dims, tokens, choice, rawF32);
  if (initial !== undefined) runner.setState(initial);
  return {
    async push(inputs, count) {
      const batch = prepare(model, { ...dims, T: count }, inputs);
      const { outputs } = await runSlabs(
        runner,
        model,
        dims,
        batch.inputs,
        batch.steps,
        false,
        () => new Float32Array(0),
      );
      return assertFinite(model, "outputs", outputs as Float32Array);
    },
    state: async () => assertFinite(model, "the state", await runner.state() as Float32Array),
    close: () => runner.close(),
  };
}

/**
 * What an error bound needs to know of the generic kernel. `rightCombines` is derived at {@link laneRightCombines}; a
 * matrix action of at most 16 rows forms dense products of one chunk and carries states across chunks, one with more
 * rows forms none.
 */
export function scanRounding({ chunk = 64 }: KernelChoice = {}): Rounding {
  return {
    unit: wgslAccuracy.unit,
    rightCombines: (steps) => laneRightCombines(steps, chunk),
    accuracy: "wgsl",
    denseChunk: (model, dims) => model.action === "matrix" && stateRows(model, dims.sizes) <= DENSE_ROWS ? chunk : 1,
  };
}

/** The generic kernel as an execution, with gradients, finite rings and faults to plant. */
export function gpuExecution(gpu: Gpu, options: KernelChoice = {}): Execution {
  const shuffled = options.subgroups ?? gpu.subgroups !== undefined;
  const execution: Execution = {
    name: `webgpu ${gpu.adapter.provider} (${shuffled ? "subgroups" : "shared memory"})`,
    rounding: scanRounding(options),
    scans: true,
    accelerated: true,
    run: (model, dims, inputs, run = {}) => runOnGpu(gpu, model, dims, inputs, { ...options, ...run }),
    gradients: (model, dims, inputs, given) => gradientsOnGpu(gpu, model, dims, inputs, given),
    async residues(model, dims, fields, ring) {
      const name = ring === "prime" ? "F_65521" : "Z/2^32";
      const { states } = await runModular(gpu, model, dims, fields, { ...options, ring: name, states: true });
      return states ?? new Uint32Array(0);
    },
    planted: (fault) => gpuExecution(gpu, { ...options, fault: fault === "relative" ? { relative: 2 ** -10 } : fault }),
  };
  return execution;
}
