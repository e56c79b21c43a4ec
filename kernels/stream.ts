/**
 * A model running on a GPU whose state stays there between calls: the generic kernel, slab by slab.
 *
 * All buffers are made when the stream is opened, for at most so many tokens at a time; longer inputs go through them in
 * slabs. So the bytes on the device do not depend on how many tokens have passed.
 *
 * @module
 */
import type { AnyAffineModel } from "../models/affine.ts";
import { checkDims, type Dims, microSteps } from "../models/inputs.ts";
import { InputError } from "../models/error.ts";
import type { Fault } from "./faults.ts";
import { type ArrayType, BufferUsage, type Dispatch, type Gpu } from "./gpu.ts";
import { packParams, PARAMS_BYTES } from "./lane_scan.ts";
import { fieldOffset, inputNumbers } from "./layout.ts";
import { type ModelKernels, modelKernels, sequenceNumbers } from "./_model_kernels.ts";
import { f32Profile, type Profile } from "./profile.ts";
import { dispatch, dispatchItems, type NamedBuffers } from "./wgsl.ts";

/** How the generic kernel runs; every result is the same up to rounding. */
export interface KernelChoice {
  /** Steps that one invocation runs through in order. Default 64. */
  readonly chunk?: number;
  /** Shuffle within subgroups; default: where the device has them. */
  readonly subgroups?: boolean;
  /** Bytes the largest buffer may take: longer sequences run in slabs. Default 64 MiB. */
  readonly slabBytes?: number;
  /** Only for tests. */
  readonly fault?: Fault;
}

/** Options of {@link openStream}. */
export interface StreamOptions extends KernelChoice {
  /** Tokens that fit the buffers; more are processed in slabs of this many. Default 64. */
  readonly tokens?: number;
}

/** The numbers of a kernel: f32, or the elements of a finite ring. */
export type Numbers = Float32Array | Uint32Array;

/** What a slab leaves. */
export interface Pushed {
  /** `[B, T, H, V]`; empty where the read-out divides and the numbers are a finite ring's. */
  readonly outputs: Numbers;
  /** `[B, steps, H, rows, columns, width]` where asked for. */
  readonly states?: Numbers;
}

/** The extent of a stream: that of a run without its length. */
export type StreamDims = Omit<Dims, "T">;

/** The generic kernel with its buffers, on numbers already checked. Internal: `openStream` and `runOnGpu` wrap it. */
export class SlabRunner {
  readonly #gpu: Gpu;
  readonly #kernels: ModelKernels;
  readonly #dims: StreamDims;
  readonly #array: ArrayType<Numbers>;
  readonly #chunk: number;
  /** Steps that fit the buffers. */
  readonly capacity: number;
  readonly #made: GPUBuffer[] = [];
  #carry: GPUBuffer;
  #next: GPUBuffer;
  readonly #params: GPUBuffer;
  readonly #inputs: GPUBuffer;
  readonly #states: GPUBuffer;
  readonly #outputs: GPUBuffer | undefined;
  readonly #aggregates: GPUBuffer | undefined;
  readonly #incoming: GPUBuffer | undefined;
  #end: string | undefined;

  private constructor(
    gpu: Gpu,
    kernels: ModelKernels,
    dims: StreamDims,
    profile: Profile,
    chunk: number,
    tokens: number,
  ) {
    this.#gpu = gpu;
    this.#kernels = kernels;
    this.#dims = dims;
    this.#array = profile.type === "f32" ? Float32Array : Uint32Array;
    this.#chunk = chunk;
    const { program, parallel, elementNumbers } = kernels;
    this.capacity = tokens * program.microSteps;
    const sequences = dims.B * dims.H;
    const chunks = Math.ceil(this.capacity / chunk);
    const state = sequences * sequenceNumbers(program);
    try {
      this.#params = this.#make("params", PARAMS_BYTES / 4, true);
      this.#inputs = this.#make("inputs", inputNumbers(program.layout, dims.B, dims.H, this.capacity));
      this.#carry = this.#make("state", state);
      this.#next = this.#make("next state", state);
      this.#states = this.#make("states", this.capacity * state);
      this.#outputs = kernels.kernels["read"] && this.#make("outputs", tokens * sequences * program.outputs);
      if (parallel && chunks > 1) {
        this.#aggregates = this.#make("aggregates", chunks * sequences * elementNumbers);
        this.#incoming = this.#make("incoming", chunks * state);
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Compiles, sizes and makes the buffers. `tokens` is how many should fit if the limits allow it. */
  static async open(
    gpu: Gpu,
    model: AnyAffineModel,
    dims: StreamDims,
    tokens: number,
    { chunk = 64, subgroups = gpu.subgroups !== undefined, slabBytes = 2 ** 26, fault }: KernelChoice,
    { profile, from }: { readonly profile: Profile; readonly from: "raw" | "activated" },
  ): Promise<SlabRunner> {
    checkDims(model, { ...dims, T: tokens });
    if (!Number.isSafeInteger(chunk) || chunk < 1) {
      throw new InputError(`Cannot run ${model.name} on the GPU: chunk must be a whole number ≥ 1, got ${chunk}`);
    }
    if (subgroups && gpu.subgroups === undefined) {
      throw new InputError(
        `Cannot run ${model.name} with subgroups: the device must have them, got ${gpu.adapter.description}`,
      );
    }
    const kernels = await modelKernels(gpu, model, dims.sizes, { profile, from, subgroups, fault });
    const capacity = fittingTokens(gpu, kernels, dims, chunk, Math.max(tokens, 1), slabBytes);
    return new SlabRunner(gpu, kernels, dims, profile, chunk, capacity);
  }

  #make(label: string, numbers: number, uniform: boolean = false): GPUBuffer {
    const buffer = this.#gpu.createBuffer({
      label: `${this.#kernels.program.model.name}: ${label}`,
      bytes: 4 * Math.max(numbers, 1),
      ...(uniform ? { usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST } : {}),
    });
    this.#made.push(buffer);
    return buffer;
  }

  /** Replaces the state. */
  setState(state: Numbers): void {
    this.#gpu.write(this.#carry, state);
  }

  /** The state, `[B, H, rows, columns, width]`. */
  state(): Promise<Numbers> {
    return this.#gpu.read(this.#carry, this.#array);
  }

  /**
   * Runs steps `from … from + steps − 1` (at most {@link capacity}, whole tokens) of `inputs`, whose token fields are
   * `[B, total, H, …]`.
   */
  async run(
    inputs: { readonly [name: string]: Numbers },
    total: number,
    from: number,
    steps: number,
    wantStates: boolean,
  ): Promise<Pushed> {
    if (this.#end !== undefined) throw new Error(`Cannot run ${this.#kernels.program.model.name}: ${this.#end}`);
    this.#upload(inputs, total, from, steps);
    await this.#gpu.run(this.#kernels.program.model.name, this.#dispatches(steps));
    [this.#carry, this.#next] = [this.#next, this.#carry];
    const { program } = this.#kernels;
    const sequences = this.#dims.B * this.#dims.H;
    const outputs = this.#outputs === undefined
      ? new this.#array(new ArrayBuffer(0))
      : await this.#gpu.read(this.#outputs, this.#array, {
        length: steps / program.microSteps * sequences * program.outputs,
      });
    if (!wantStates) return { outputs };
    const length = steps * sequences * sequenceNumbers(program);
    return { outputs, states: await this.#gpu.read(this.#states, this.#array, { length }) };
  }

  #upload(inputs: { readonly [name: string]: Numbers }, total: number, from: number, steps: number): void {
    const { layout } = this.#kernels.program;
    const { B, H } = this.#dims;
    for (const field of layout.fields) {
      const values = inputs[field.name]!;
      const offset = 4 * fieldOffset(layout, field, B, H, steps);
      if (!field.perToken) {
        this.#gpu.write(this.#inputs, values, offset);
        continue;
      }
      const row = H * field.width;
      for (let b = 0; b < B; b++) {
        const start = (b * total + from) * row;
        this.#gpu.write(this.#inputs, values.subarray(start, start + steps * row), offset + 4 * b * steps * row);
      }
    }
  }

  #dispatches(steps: number): Dispatch[] {
    const { kernels, program, parallel, elementNumbers } = this.#kernels;
    const { B, H } = this.#dims;
    const { rows, columns } = program;
    const chunk = parallel ? this.#chunk : steps;
    const chunks = Math.ceil(steps / chunk);
    const lanes = H * rows * columns;
    this.#gpu.write(this.#params, packParams({ B, H, lanes, steps, chunks, chunk }));
    const buffers: NamedBuffers = {
      p: this.#params,
      inputs: this.#inputs,
      carry_in: this.#carry,
      carry_out: this.#next,
      states: this.#states,
      // A single chunk has nothing incoming, but the layout wants a buffer there that is read.
      incoming: this.#incoming ?? this.#inputs,
      ...(this.#outputs && { outputs: this.#outputs }),
      ...(this.#aggregates && { aggregates: this.#aggregates }),
    };
    const written = [
      this.#next,
      this.#states,
      this.#outputs,
      ...(chunks > 1 ? [this.#aggregates, this.#incoming] : []),
    ];
    const list = written.flatMap((poisoned) =>
      poisoned === undefined ? [] : [dispatchItems(kernels["poison"]!, { poisoned }, poisoned.size / 4)]
    );
    const matrix = program.model.action === "matrix";
    // Invocations of a matrix action are columns, of other actions lanes.
    const width = B * (matrix ? H * columns : lanes);
    if (chunks > 1) {
      list.push(dispatchItems(kernels["reduce"]!, buffers, chunks * (matrix ? B * H * elementNumbers / rows : width)));
      list.push(matrix ? dispatchItems(kernels["carry"]!, buffers, width) : dispatch(kernels["scan"]!, buffers, width));
    }
    list.push(dispatchItems(kernels["apply"]!, buffers, chunks * width));
    const { outputs, microSteps } = program;
    if (kernels["read"] !== undefined) {
      list.push(dispatchItems(kernels["read"], buffers, B * H * outputs * steps / microSteps));
    }
    return list;
  }

  /** Destroys the buffers. */
  close(): void {
    this.#end = "it was closed";
    for (const buffer of this.#made) buffer.destroy();
    this.#made.length = 0;
  }
}

/** Tokens that fit at most `slabBytes` and the device's limits, up to `wanted`. */
function fittingTokens(
  gpu: Gpu,
  { program, parallel, elementNumbers }: ModelKernels,
  { B, H }: StreamDims,
  chunk: number,
  wanted: number,
  slabBytes: number,
): number {
  const { layout, model, outputs, microSteps } = program;
  const limit = Math.min(gpu.limits.maxBufferSize, gpu.limits.maxStorageBufferBindingSize, 2 ** 32 - 4);
  const sequences = B * H;
  const state = sequences * sequenceNumbers(program);
  const bytes = (tokens: number): [string, number][] => {
    const steps = tokens * microSteps;
    const chunks = Math.ceil(steps / chunk);
    return [
      ["states", 4 * steps * state],
      ["inputs", 4 * inputNumbers(layout, B, H, steps)],
      ["outputs", 4 * tokens * sequences * outputs],
      ["chunk elements", parallel && chunks > 1 ? 4 * chunks * sequences * elementNumbers : 0],
    ];
  };
  const largest = (tokens: number): number => Math.max(...bytes(tokens).map(([, size]) => size));
  for (const [what, size] of bytes(1)) {
    if (size > limit) {
      throw new InputError(
        `Cannot run ${model.name} on the GPU: the ${what} of one token must be ≤ ${limit} bytes, got ${size}`,
      );
    }
  }
  const budget = Math.min(limit, slabBytes);
  if (largest(wanted) <= budget) return wanted;
  // Sizes grow with the tokens, so the largest number that fits is found by halving.
  let [fits, tooMany] = [1, wanted];
  while (tooMany - fits > 1) {
    const middle = Math.floor((fits + tooMany) / 2);
    if (largest(middle) <= budget) fits = middle;
    else tooMany = middle;
  }
  // Chunks must lie as they would in one slab: what is said of them holds for the whole sequence.
  let whole = fits;
  while (whole > 1 && whole * microSteps % chunk !== 0) whole--;
  return whole * microSteps % chunk === 0 ? whole : fits;
}

/** The profile of a run in f32 from raw inputs. */
export const rawF32: { readonly profile: Profile; readonly from: "raw" } = { profile: f32Profile, from: "raw" };

/** Runs all steps of checked inputs through a runner's slabs and collects `[B, T, …]` arrays. */
export async function runSlabs(
  runner: SlabRunner,
  model: AnyAffineModel,
  dims: StreamDims,
  inputs: { readonly [name: string]: Numbers },
  steps: number,
  wantStates: boolean,
  empty: () => Numbers,
): Promise<Pushed> {
  const n = microSteps(model);
  if (steps === 0) return wantStates ? { outputs: empty(), states: empty() } : { outputs: empty() };
  if (steps <= runner.capacity) return await runner.run(inputs, steps, 0, steps, wantStates);
  const slabs: { readonly from: number; readonly steps: number; readonly pushed: Pushed }[] = [];
  for (let from = 0; from < steps; from += runner.capacity) {
    const length = Math.min(runner.capacity, steps - from);
    slabs.push({ from, steps: length, pushed: await runner.run(inputs, steps, from, length, wantStates) });
  }
  const join = (part: (pushed: Pushed) => Numbers, rate: number): Numbers => {
    const array = empty().constructor as new (length: number) => Numbers;
    const whole = new array(slabs.reduce((sum, { pushed }) => sum + part(pushed).length, 0));
    const row = whole.length / dims.B / (steps / rate);
    for (const { from, steps: length, pushed } of slabs) {
      const values = part(pushed);
      for (let b = 0; b < dims.B; b++) {
        const own = values.subarray(b * row * length / rate, (b + 1) * row * length / rate);
        whole.set(own, (b * steps + from) / rate * row);
      }
    }
    return whole;
  };
  const outputs = join((pushed) => pushed.outputs, n);
  return wantStates ? { outputs, states: join((pushed) => pushed.states!, 1) } : { outputs };
}
