/**
 * Buffers that hold something for a while: the intermediate results of programs that never run at the same time. Programs
 * of one pool use the same bytes again.
 */
import type { Gpu } from "../gpu.ts";

/** The buffers of a pool while one program is laid out: what is not taken is free. */
export interface Lending {
  /** A buffer of at least so many bytes; its content is whatever was left there. */
  take(bytes: number): GPUBuffer;
  /** Free for what runs later. */
  give(buffer: GPUBuffer): void;
}

/** A buffer more than this many times too large is not lent: a small array would hold back a large one's place. */
const WASTE = 2;
/** Sizes are whole steps, so that nearly equal arrays can follow each other. */
const STEP = 256;

export class BufferPool {
  readonly #gpu: Gpu;
  readonly #buffers: GPUBuffer[] = [];
  #bytes = 0;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Of all buffers, lent or not. */
  get bytes(): number {
    return this.#bytes;
  }

  /** All buffers, free: for a program that runs when no other of the pool does. */
  lend(): Lending {
    const free = [...this.#buffers];
    return {
      take: (bytes) => {
        const size = Math.max(STEP, Math.ceil(bytes / STEP) * STEP);
        let best = -1;
        for (let i = 0; i < free.length; i++) {
          const { size: offered } = free[i]!;
          if (offered < size || offered > WASTE * size) continue;
          if (best < 0 || offered < free[best]!.size) best = i;
        }
        if (best >= 0) return free.splice(best, 1)[0]!;
        const buffer = this.#gpu.createBuffer({ bytes: size, label: "pooled" });
        this.#buffers.push(buffer);
        this.#bytes += size;
        return buffer;
      },
      give: (buffer) => free.push(buffer),
    };
  }

  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
    this.#buffers.length = 0;
    this.#bytes = 0;
  }
}
