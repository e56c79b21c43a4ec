/** Token ids on the GPU, 32 bits each. */
import { InputError } from "../../models/error.ts";
import type { Gpu } from "../gpu.ts";
import { lengthOf } from "../tensor.ts";

export class Ids {
  readonly gpu: Gpu;
  readonly shape: readonly number[];
  readonly buffer: GPUBuffer;

  /** What the buffer holds; by default one of its own, of zeros. */
  constructor(gpu: Gpu, shape: readonly number[], buffer?: GPUBuffer) {
    this.gpu = gpu;
    this.shape = shape;
    this.buffer = buffer ?? gpu.createBuffer({ bytes: Math.max(4, 4 * lengthOf(shape)), label: "ids" });
  }

  static from(gpu: Gpu, data: ArrayLike<number>, shape: readonly number[]): Ids {
    const ids = new Ids(gpu, shape);
    ids.write(data);
    return ids;
  }

  get length(): number {
    return lengthOf(this.shape);
  }

  /** Throws an {@link InputError} unless they are as many integers ≥ 0. Takes effect before anything run later. */
  write(data: ArrayLike<number>): void {
    if (data.length !== this.length) {
      throw new InputError(`Cannot fill ids: [${this.shape.join(", ")}] holds ${this.length}, got ${data.length}`);
    }
    const words = new Uint32Array(data.length);
    for (let i = 0; i < data.length; i++) {
      const id = data[i]!;
      if (!(Number.isInteger(id) && id >= 0 && id < 2 ** 32)) {
        throw new InputError(`Cannot fill ids: they must be integers ≥ 0, got ${id} at ${i}`);
      }
      words[i] = id;
    }
    if (words.length > 0) this.gpu.write(this.buffer, words);
  }

  destroy(): void {
    this.buffer.destroy();
  }
}
