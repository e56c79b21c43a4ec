/**
 * An array on the GPU with a shape: what the fused kernels take and return, so that they compose without a round trip.
 *
 * ```ts
 * const a = Tensor.from(gpu, data, [2, 8, 1024]);
 * const h = Tensor.empty(gpu, [2, 8, 1024]);
 * ```
 *
 * Halves (`f16`) are storage only: kernels read them as packed 32-bit words and compute in f32, so that every adapter
 * can, with or without the feature `shader-f16`.
 *
 * @module
 */
import { InputError } from "../models/error.ts";
import type { Gpu } from "./gpu.ts";
import { packHalves, unpackHalves } from "./half.ts";

export type DType = "f32" | "f16";

export interface TensorOptions {
  /** Default `f32`. */
  readonly dtype?: DType;
  readonly label?: string;
}

/** Numbers in row-major order in a GPU buffer; an empty shape holds one. */
export class Tensor {
  readonly gpu: Gpu;
  readonly buffer: GPUBuffer;
  readonly shape: readonly number[];
  readonly dtype: DType;

  /** Takes over a buffer that holds at least the shape's numbers; a caller's own, say. */
  constructor(gpu: Gpu, buffer: GPUBuffer, shape: readonly number[], dtype: DType = "f32") {
    for (const extent of shape) {
      if (!Number.isSafeInteger(extent) || extent < 0) {
        throw new InputError(`Cannot make a tensor: extents must be integers ≥ 0, got [${shape.join(", ")}]`);
      }
    }
    const bytes = bytesOf(shape, dtype);
    if (bytes > buffer.size) {
      throw new InputError(
        `Cannot make a tensor: [${shape.join(", ")}] in ${dtype} takes ${bytes} bytes, the buffer has ${buffer.size}`,
      );
    }
    this.gpu = gpu;
    this.buffer = buffer;
    this.shape = shape;
    this.dtype = dtype;
  }

  /** A new tensor of zeros. Throws an {@link InputError} if the device cannot hold it. */
  static empty(gpu: Gpu, shape: readonly number[], { dtype = "f32", label = "tensor" }: TensorOptions = {}): Tensor {
    // An empty tensor still needs a buffer to bind, perhaps as vectors of four.
    const bytes = Math.max(16, bytesOf(shape, dtype));
    return new Tensor(gpu, gpu.createBuffer({ bytes, label }), shape, dtype);
  }

  /** A new tensor of the given numbers, rounded to its type. Throws an {@link InputError} if they are not that many. */
  static from(gpu: Gpu, data: ArrayLike<number>, shape: readonly number[], options: TensorOptions = {}): Tensor {
    checkLength(data, shape, options.label);
    const tensor = Tensor.empty(gpu, shape, options);
    tensor.write(data);
    return tensor;
  }

  get length(): number {
    return lengthOf(this.shape);
  }

  get bytes(): number {
    return bytesOf(this.shape, this.dtype);
  }

  /** Replaces the numbers; takes effect before anything run later. */
  write(data: ArrayLike<number>): void {
    checkLength(data, this.shape, this.buffer.label);
    if (data.length === 0) return;
    this.gpu.write(
      this.buffer,
      this.dtype === "f16" ? packHalves(data) : data instanceof Float32Array ? data : Float32Array.from(data),
    );
  }

  /** Waits for what was run before and copies the numbers back. */
  async read(): Promise<Float32Array> {
    const { length } = this;
    if (length === 0) return new Float32Array(0);
    if (this.dtype === "f32") return await this.gpu.read(this.buffer, Float32Array, { length });
    return unpackHalves(await this.gpu.read(this.buffer, Uint16Array, { length }));
  }

  destroy(): void {
    this.buffer.destroy();
  }
}

/** Numbers of a shape. */
export function lengthOf(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Bytes of a shape, in whole 32-bit words. */
export function bytesOf(shape: readonly number[], dtype: DType): number {
  return dtype === "f32" ? 4 * lengthOf(shape) : 4 * Math.ceil(lengthOf(shape) / 2);
}

/** Throws an {@link InputError} unless the tensor has the shape; an extent of −1 stands for any. */
export function assertShape(what: string, tensor: Tensor, shape: readonly number[]): void {
  const same = tensor.shape.length === shape.length &&
    shape.every((extent, axis) => extent === -1 || extent === tensor.shape[axis]);
  if (same) return;
  throw new InputError(
    `Cannot run: ${what} must be [${shape.map((n) => n === -1 ? "any" : n).join(", ")}], got [${
      tensor.shape.join(", ")
    }]`,
  );
}

function checkLength(data: ArrayLike<number>, shape: readonly number[], label = "tensor"): void {
  if (data.length === lengthOf(shape)) return;
  throw new InputError(
    `Cannot fill ${label}: [${shape.join(", ")}] holds ${lengthOf(shape)} numbers, got ${data.length}`,
  );
}
