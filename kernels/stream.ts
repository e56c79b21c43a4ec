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
import type { ArrayType, Gpu } from "./gpu.ts";
import { fieldOffset } from "./layout.ts";
import { type ModelKernels, modelKernels, sequenceNumbers } from "./_model_kernels.ts";
import { f32Profile, type Profile } from "./profile.ts";
import { bytesOfSlab, Slab, tokensWithin } from "./_slab.ts";

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
  readonly #slab: Slab;
  readonly #array: ArrayType<Numbers>;
  #carry: GPUBuffer;
  #next: GPUBuffer;
  readonly #params: GPUBuffer;
  readonly #outputs: GPUBuffer | undefined;
  #end: string | undefined;

  private constructor(
    gpu: Gpu,
    kernels: ModelKernels,
    { B, H }: StreamDims,
    profile: Profile,
    chunk: number,
    tokens: number,
  ) {
    this.#gpu = gpu;
    this.#array = profile.type === "f32" ? Float32Array : Uint32Array;
    const { program } = kernels;
    const state = B * H * sequenceNumbers(program);
    this.#slab = new Slab(gpu, kernels, { B, H, chunk, capacity: tokens * program.microSteps });
    try {
      this.#params = this.#slab.uniform();
      this.#carry = this.#slab.room("state", state);
      this.#next = this.#slab.room("next state", state);
      this.#outputs = kernels.kernels["read"] && this.#slab.room("outputs", tokens * B * H * program.outputs);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Steps that fit the buffers. */
  get capacity(): number {
    return this.#slab.extent.capacity;
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
    checkChoice(gpu, model, chunk, subgroups);
    const kernels = await modelKernels(gpu, model, dims.sizes, { profile, from, subgroups, fault });
    const capacity = fittingTokens(gpu, kernels, dims, chunk, Math.max(tokens, 1), slabBytes);
    return new SlabRunner(gpu, kernels, dims, profile, chunk, capacity);
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
    const { kernels: { program }, extent, states } = this.#slab;
    if (this.#end !== undefined) throw new Error(`Cannot run ${program.model.name}: ${this.#end}`);
    this.#upload(inputs, total, from, steps);
    this.#gpu.write(this.#params, this.#slab.params(steps));
    const places = { p: this.#params, from: this.#carry, to: this.#next, outputs: this.#outputs, poison: true };
    await this.#gpu.run(program.model.name, this.#slab.dispatches(steps, places));
    [this.#carry, this.#next] = [this.#next, this.#carry];
    const sequences = extent.B * extent.H;
    const outputs = this.#outputs === undefined
      ? new this.#array(new ArrayBuffer(0))
      : await this.#gpu.read(this.#outputs, this.#array, {
        length: steps / program.microSteps * sequences * program.outputs,
      });
    if (!wantStates) return { outputs };
    const length = steps * sequences * sequenceNumbers(program);
    return { outputs, states: await this.#gpu.read(states, this.#array, { length }) };
  }

  #upload(inputs: { readonly [name: string]: Numbers }, total: number, from: number, steps: number): void {
    const { kernels: { program: { layout } }, extent: { B, H } } = this.#slab;
    for (const field of layout.fields) {
      const values = inputs[field.name]!;
      const offset = 4 * fieldOffset(layout, field, B, H, steps);
      if (!field.perToken) {
        this.#gpu.write(this.#slab.inputs, values, offset);
        continue;
      }
      const row = H * field.width;
      for (let b = 0; b < B; b++) {
        const start = (b * total + from) * row;
        this.#gpu.write(this.#slab.inputs, values.subarray(start, start + steps * row), offset + 4 * b * steps * row);
      }
    }
  }

  /** Destroys the buffers. */
  close(): void {
    this.#end = "it was closed";
    this.#slab.destroy();
  }
}

/** Refuses a chunk that is none, and subgroups where there are none. */
export function checkChoice(gpu: Gpu, model: AnyAffineModel, chunk: number, subgroups: boolean): void {
  if (!Number.isSafeInteger(chunk) || chunk < 1) {
    throw new InputError(`Cannot run ${model.name} on the GPU: chunk must be a whole number ≥ 1, got ${chunk}`);
  }
  if (subgroups && gpu.subgroups === undefined) {
    throw new InputError(
      `Cannot run ${model.name} with subgroups: the device must have them, got ${gpu.adapter.description}`,
    );
  }
}

/** Tokens that fit at most `budget` bytes a buffer and the device's limits, up to `wanted`. */
export function fittingTokens(
  gpu: Gpu,
  kernels: ModelKernels,
  dims: Pick<StreamDims, "B" | "H">,
  chunk: number,
  wanted: number,
  budget: number,
): number {
  const { model, microSteps } = kernels.program;
  const limit = Math.min(gpu.limits.maxBufferSize, gpu.limits.maxStorageBufferBindingSize, 2 ** 32 - 4);
  for (const [what, size] of bytesOfSlab(kernels, dims, chunk, 1)) {
    if (size > limit) {
      throw new InputError(
        `Cannot run ${model.name} on the GPU: the ${what} of one token must be ≤ ${limit} bytes, got ${size}`,
      );
    }
  }
  const largest = (tokens: number): number =>
    Math.max(...bytesOfSlab(kernels, dims, chunk, tokens).map(([, size]) => size));
  return tokensWithin(largest, { wanted, budget: Math.min(limit, budget), chunk, microSteps });
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
