/**
 * A plan of the backward pass under way: its dispatches, and its scratch buffers.
 *
 * @module
 */
import { BufferUsage, type Dispatch, type Gpu } from "../gpu.ts";
import type { ChunkExtent } from "./_backward_tensors.ts";
import { type ExtentNumbers, extentWords } from "./_backward_text.ts";

/** Extents, and what every kernel is told. */
export type BuildExtent = ChunkExtent & Omit<ExtentNumbers, "workgroups">;

/** Collects dispatches and scratch. */
export class Build {
  readonly gpu: Gpu;
  readonly extent: BuildExtent;
  readonly dispatches: Dispatch[] = [];
  readonly scratch: GPUBuffer[] = [];

  constructor(gpu: Gpu, extent: BuildExtent) {
    this.gpu = gpu;
    this.extent = extent;
  }

  #kept(buffer: GPUBuffer): GPUBuffer {
    this.scratch.push(buffer);
    return buffer;
  }

  /** A scratch buffer of so many numbers. */
  room(label: string, numbers: number): GPUBuffer {
    return this.#kept(this.gpu.createBuffer({ label, bytes: 4 * Math.max(numbers, 1) }));
  }

  /** A uniform of words. */
  words(label: string, words: Uint32Array): GPUBuffer {
    return this.#kept(this.gpu.upload(words, { label, usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST }));
  }

  /** Adds a kernel whose first binding is the extent; buffers that are left out are those it does not bind. */
  async add(
    label: string,
    code: string,
    workgroups: number,
    buffers: readonly (GPUBuffer | undefined)[],
  ): Promise<void> {
    if (workgroups === 0) return;
    const pipeline = await this.gpu.compile({ label, code });
    const extent = this.words(`extent of ${label}`, extentWords({ ...this.extent, workgroups }));
    const bound = buffers.filter((buffer) => buffer !== undefined);
    this.dispatches.push({ pipeline, buffers: [extent, ...bound], workgroups });
  }

  destroy(): void {
    for (const buffer of this.scratch) buffer.destroy();
  }
}
