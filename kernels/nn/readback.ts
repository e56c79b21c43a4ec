/** A few numbers that come back after every run, through a buffer that stays. */
import { BufferUsage, type Gpu } from "../gpu.ts";

export class Readback {
  readonly buffer: GPUBuffer;
  readonly #lost: Promise<never>;

  constructor(gpu: Gpu, bytes: number) {
    this.#lost = gpu.device.lost.then(({ message }) => {
      throw new Error(`Cannot read back: the device was lost: ${message}`);
    });
    // Whoever waits hears of it; nobody else needs to.
    this.#lost.catch(() => {});
    this.buffer = gpu.createBuffer({
      bytes,
      label: "readback",
      usage: BufferUsage.MAP_READ | BufferUsage.COPY_DST,
    });
  }

  /** What the last submitted copy into the buffer brought. Not to be called again before it resolved. */
  async read(): Promise<ArrayBuffer> {
    await Promise.race([this.buffer.mapAsync(0x1), this.#lost]);
    const copy = this.buffer.getMappedRange().slice(0);
    this.buffer.unmap();
    return copy;
  }
}
