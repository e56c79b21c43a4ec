/**
 * One kernel over all of a job, as dispatches: a slice each.
 *
 * @module
 */
import { BufferUsage, type Dispatch, type Gpu } from "../gpu.ts";
import type { Tensor } from "../tensor.ts";
import { compileShader, dispatch, type NamedBuffers } from "../wgsl.ts";
import { columnShader, type ColumnShape } from "./_columns.ts";
import type { Job } from "./_job.ts";
import type { TileShape } from "./_row_tile.ts";
import { type RowKernel, rowShader } from "./_rows.ts";
import { slicesOf } from "./_slices.ts";

/** Where a plan's scratch buffers are collected. */
export interface Scratch {
  readonly buffers: GPUBuffer[];
  readonly tensors: Tensor[];
}

/** Chunks of a row, and the tensors between the passes. */
export interface Chunking {
  /** Tokens of a chunk (of whole tiles). */
  readonly tokens: number;
  readonly chunks: number;
  readonly buffers: NamedBuffers;
}

/** The buffers of states and of what is between passes. */
export function stateBuffers({ initial, final, start }: Job): NamedBuffers {
  return {
    ...(initial === undefined ? {} : { initial: initial.buffer }),
    ...(final === undefined ? {} : { final_state: final.buffer }),
    ...(start === undefined ? {} : { start: start.buffer }),
  };
}

/** A uniform of eight numbers. */
export function uniform(gpu: Gpu, scratch: Scratch, label: string, values: readonly number[]): GPUBuffer {
  const data = new Uint32Array(8);
  data.set(values);
  const buffer = gpu.upload(data, { label, usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST });
  scratch.buffers.push(buffer);
  return buffer;
}

/** A kernel of rows. */
export async function rowPass(
  gpu: Gpu,
  job: Job,
  shape: TileShape,
  kernel: Pick<RowKernel, "phase" | "prefetch">,
  scratch: Scratch,
  chunking?: Chunking,
  bindingBytes?: number,
): Promise<Dispatch[]> {
  const { T } = job;
  const tokens = chunking?.tokens ?? Math.max(T, 1);
  const chunks = chunking?.chunks ?? 1;
  const compiled = await compileShader(gpu, rowShader(job, shape, { ...kernel, chunked: chunking !== undefined }));
  return slicesOf(gpu, job, bindingBytes).map(({ first, count, buffers }) => {
    const p = uniform(gpu, scratch, "scan rows", [count, first, T / shape.width, tokens / shape.width, chunks]);
    const workgroups = shape.rows === 1 ? count * chunks : Math.ceil(count / shape.rows);
    return dispatch(compiled, { ...buffers, ...stateBuffers(job), ...chunking?.buffers, p }, workgroups);
  });
}

/** A kernel of columns. */
export async function columnPass(
  gpu: Gpu,
  job: Job,
  shape: ColumnShape,
  kernel: Pick<RowKernel, "phase" | "prefetch">,
  scratch: Scratch,
  chunking?: Chunking,
  bindingBytes?: number,
): Promise<Dispatch[]> {
  const { T, D } = job;
  const units = D / shape.width;
  const tokens = chunking?.tokens ?? Math.max(T, 1);
  const chunks = chunking?.chunks ?? 1;
  const across = Math.ceil(units / shape.lanes);
  const compiled = await compileShader(gpu, columnShader(job, shape, { ...kernel, chunked: chunking !== undefined }));
  return slicesOf(gpu, job, bindingBytes).map(({ first, count, buffers }) => {
    const p = uniform(gpu, scratch, "scan columns", [count, first, T, units, tokens, chunks, across]);
    return dispatch(
      compiled,
      { ...buffers, ...stateBuffers(job), ...chunking?.buffers, p },
      count * chunks * across,
    );
  });
}
