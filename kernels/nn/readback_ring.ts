/**
 * Read-backs for several runs on their way at once: one is taken before a run is submitted, and is free again once it was
 * read. They are made as they are needed, up to a few; who finds none free waits for the first.
 */
import type { Gpu } from "../gpu.ts";
import { Readback } from "./readback.ts";

/** Two runs on their way keep a device at work; a third lets the host be late. */
const MOST = 3;

export class ReadbackRing {
  readonly #gpu: Gpu;
  readonly #bytes: number;
  readonly #all: Readback[] = [];
  readonly #free: Readback[] = [];
  readonly #waiting: ((readback: Readback) => void)[] = [];

  /** `bytes` of each. */
  constructor(gpu: Gpu, bytes: number) {
    this.#gpu = gpu;
    this.#bytes = bytes;
  }

  /** Of all that were made. */
  get bytes(): number {
    return this.#bytes * this.#all.length;
  }

  /** The next that is free. */
  async take(): Promise<Readback> {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#all.length >= MOST) return await new Promise((taken) => this.#waiting.push(taken));
    const made = new Readback(this.#gpu, this.#bytes);
    this.#all.push(made);
    return made;
  }

  /** What the run submitted with it brought; frees it. */
  async read(readback: Readback): Promise<ArrayBuffer> {
    try {
      return await readback.read();
    } finally {
      this.#give(readback);
    }
  }

  /** Waits for a submission; should it fail, nothing will be read, and the readback is free. */
  async guard(readback: Readback, submission: Promise<void>): Promise<void> {
    try {
      await submission;
    } catch (error) {
      this.#give(readback);
      throw error;
    }
  }

  destroy(): void {
    for (const { buffer } of this.#all) buffer.destroy();
  }

  #give(readback: Readback): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#free.push(readback);
    else waiting(readback);
  }
}
