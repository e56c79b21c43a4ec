/**
 * Tensors beyond what a device binds at once, as several dispatches: consecutive rows (or batch rows, of columns), each
 * slice of every tensor at an offset that can be bound.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { Gpu } from "../gpu.ts";
import { bytesOf } from "../tensor.ts";
import { type Job, type StreamName, streamsOf } from "./_job.ts";

/** Some consecutive sequences of a job. */
export interface Slice {
  /** First sequence, and how many: rows, or batch rows of columns. */
  readonly first: number;
  readonly count: number;
  readonly buffers: { readonly [name: string]: GPUBufferBinding };
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

/** The slices of a job, one where everything can be bound. `bindingBytes`: the largest binding, if not the device's. */
export function slicesOf(gpu: Gpu, job: Job, bindingBytes?: number): Slice[] {
  const { layout, B, D, T, tensors } = job;
  const sequences = layout === "rows" ? B * D : B;
  const length = layout === "rows" ? T : T * D;
  const names = streamsOf(job);
  const limit = bindingBytes ?? gpu.limits.maxStorageBufferBindingSize;
  const alignment = gpu.limits.minStorageBufferOffsetAlignment;
  const strideOf = (name: StreamName): number => length * (tensors[name]!.dtype === "f32" ? 4 : 2);
  const widest = Math.max(...names.map((name) => bytesOf([sequences, length], tensors[name]!.dtype)));
  let step = sequences;
  if (widest > limit) {
    const aligned = Math.max(...names.map((name) => alignment / commonDivisor(alignment, strideOf(name))));
    step = Math.floor(limit / Math.max(...names.map(strideOf)) / aligned) * aligned;
    if (step < 1) {
      const least = Math.min(aligned, sequences);
      throw new InputError(
        `Cannot plan ${job.what}: ${least} ${
          layout === "rows" ? "rows" : "batch rows"
        } must fit a binding of ${limit} ` +
          `bytes, got ${least * Math.max(...names.map(strideOf))} bytes`,
      );
    }
  }
  return Array.from({ length: Math.ceil(sequences / Math.max(step, 1)) }, (_, n): Slice => {
    const first = n * step;
    const count = Math.min(step, sequences - first);
    const buffers = Object.fromEntries(names.map((name) => {
      const { buffer, dtype } = tensors[name]!;
      const size = Math.max(4, bytesOf([count, length], dtype));
      return [name, { buffer, offset: first * strideOf(name), size }];
    }));
    return { first, count, buffers };
  });
}
