/**
 * The buffers that the generic kernel runs a slab of steps in, and its dispatches: what a stream that takes its inputs from
 * the host (stream.ts) and a plan on tensors (_generic_forward.ts) share.
 *
 * @module
 */
import { BufferUsage, type Dispatch, type Gpu } from "./gpu.ts";
import { packParams, PARAMS_BYTES } from "./lane_scan.ts";
import { inputNumbers } from "./layout.ts";
import { type ModelKernels, sequenceNumbers } from "./_model_kernels.ts";
import { dispatch, dispatchItems, type NamedBuffers } from "./wgsl.ts";

/** Sequences, and how their time is cut. */
export interface SlabExtent {
  readonly B: number;
  readonly H: number;
  /** Steps of a chunk. */
  readonly chunk: number;
  /** Steps that fit the buffers. */
  readonly capacity: number;
}

/** The buffers of a slab; states and elements of chunks are its own, the others may be a caller's. */
export class Slab {
  readonly kernels: ModelKernels;
  readonly extent: SlabExtent;
  /** Inputs in the layout of layout.ts, for the steps of the slab. */
  readonly inputs: GPUBuffer;
  /** After every step. */
  readonly states: GPUBuffer;
  readonly #gpu: Gpu;
  readonly #made: GPUBuffer[] = [];
  readonly #aggregates: GPUBuffer | undefined;
  readonly #incoming: GPUBuffer | undefined;

  constructor(gpu: Gpu, kernels: ModelKernels, extent: SlabExtent) {
    this.#gpu = gpu;
    this.kernels = kernels;
    this.extent = extent;
    const { program, parallel, elementNumbers } = kernels;
    const { B, H, chunk, capacity } = extent;
    const chunks = Math.ceil(capacity / chunk);
    const state = B * H * sequenceNumbers(program);
    try {
      this.inputs = this.room("inputs", inputNumbers(program.layout, B, H, capacity));
      this.states = this.room("states", capacity * state);
      if (parallel && chunks > 1) {
        this.#aggregates = this.room("aggregates", chunks * B * H * elementNumbers);
        this.#incoming = this.room("incoming", chunks * state);
      }
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  /** Another buffer that lives as long as the slab. */
  room(label: string, numbers: number): GPUBuffer {
    const buffer = this.#gpu.createBuffer({
      label: `${this.kernels.program.model.name}: ${label}`,
      bytes: 4 * Math.max(numbers, 1),
    });
    this.#made.push(buffer);
    return buffer;
  }

  /** A uniform for {@linkcode Slab.params}. */
  uniform(): GPUBuffer {
    const label = `${this.kernels.program.model.name}: params`;
    const usage = BufferUsage.UNIFORM | BufferUsage.COPY_DST;
    const buffer = this.#gpu.createBuffer({ label, bytes: PARAMS_BYTES, usage });
    this.#made.push(buffer);
    return buffer;
  }

  /** What the kernels are told of so many steps, whose outputs are those from step `from` of `total`. */
  params(steps: number, total: number = steps, from: number = 0): Uint32Array {
    const { B, H } = this.extent;
    const { chunk, chunks, lanes } = this.#cut(steps);
    return packParams({ B, H, lanes, steps, chunks, chunk, total, from });
  }

  #cut(steps: number): { readonly chunk: number; readonly chunks: number; readonly lanes: number } {
    const { program: { rows, columns }, parallel } = this.kernels;
    const chunk = parallel ? this.extent.chunk : steps;
    return { chunk, chunks: Math.ceil(steps / chunk), lanes: this.extent.H * rows * columns };
  }

  /** Runs so many steps from the state in `from`, leaving the state in `to`, another buffer. */
  dispatches(steps: number, { p, from, to, outputs, poison = false }: {
    /** Holds {@linkcode Slab.params}. */
    readonly p: GPUBuffer;
    readonly from: GPUBuffer;
    readonly to: GPUBuffer;
    /** Nothing is read out without. */
    readonly outputs: GPUBuffer | undefined;
    /** Whether what is written is filled with NaN before. */
    readonly poison?: boolean;
  }): Dispatch[] {
    const { kernels, program, elementNumbers } = this.kernels;
    const { B, H } = this.extent;
    const { rows, columns, microSteps } = program;
    const { chunks, lanes } = this.#cut(steps);
    const buffers: NamedBuffers = {
      p,
      inputs: this.inputs,
      carry_in: from,
      carry_out: to,
      states: this.states,
      // A single chunk has nothing incoming, but the layout wants a buffer there that is read.
      incoming: this.#incoming ?? this.inputs,
      ...(outputs && { outputs }),
      ...(this.#aggregates && { aggregates: this.#aggregates }),
    };
    const written = [to, this.states, outputs, ...(chunks > 1 ? [this.#aggregates, this.#incoming] : [])];
    const list = (poison ? written : []).flatMap((poisoned) =>
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
    if (outputs !== undefined) {
      list.push(dispatchItems(kernels["read"]!, buffers, B * H * program.outputs * steps / microSteps));
    }
    return list;
  }

  /** Bytes of the buffers. */
  get bytes(): number {
    return this.#made.reduce((sum, { size }) => sum + size, 0);
  }

  destroy(): void {
    for (const buffer of this.#made) buffer.destroy();
    this.#made.length = 0;
  }
}

/** Bytes of a slab's largest buffers for so many tokens, each with what it holds. */
export function bytesOfSlab(
  { program, parallel, elementNumbers }: ModelKernels,
  { B, H }: { readonly B: number; readonly H: number },
  chunk: number,
  tokens: number,
): [string, number][] {
  const steps = tokens * program.microSteps;
  const chunks = Math.ceil(steps / chunk);
  return [
    ["states", 4 * steps * B * H * sequenceNumbers(program)],
    ["inputs", 4 * inputNumbers(program.layout, B, H, steps)],
    ["outputs", 4 * tokens * B * H * program.outputs],
    ["chunk elements", parallel && chunks > 1 ? 4 * chunks * B * H * elementNumbers : 0],
  ];
}

/**
 * The most tokens, up to `wanted`, whose `bytes` (growing with the tokens) are at most `budget`; if there is a choice so many
 * that their steps are whole chunks: then chunks lie as they would in one slab.
 */
export function tokensWithin(
  bytes: (tokens: number) => number,
  { wanted, budget, chunk, microSteps }: {
    readonly wanted: number;
    readonly budget: number;
    readonly chunk: number;
    readonly microSteps: number;
  },
): number {
  if (bytes(wanted) <= budget) return wanted;
  let [fits, tooMany] = [1, wanted];
  while (tooMany - fits > 1) {
    const middle = Math.floor((fits + tooMany) / 2);
    if (bytes(middle) <= budget) fits = middle;
    else tooMany = middle;
  }
  let whole = fits;
  while (whole > 1 && whole * microSteps % chunk !== 0) whole--;
  return whole * microSteps % chunk === 0 ? whole : fits;
}
