/** A few numbers that come back after a run, through a buffer that stays. */
import { BufferUsage, type Gpu } from "../gpu.ts";

export class Readback {
  readonly buffer: GPUBuffer;
  #lost: string | undefined;
  /** Of the read on its way. A race with a promise that never settles would keep something of every read. */
  #reject: ((reason: Error) => void) | undefined;

  constructor(gpu: Gpu, bytes: number) {
    void gpu.device.lost.then(({ message }) => {
      this.#lost = message;
      this.#reject?.(this.#loss());
    });
    this.buffer = gpu.createBuffer({
      bytes,
      label: "readback",
      usage: BufferUsage.MAP_READ | BufferUsage.COPY_DST,
    });
  }

  /** What the last submitted copy into the buffer brought. Not to be called again before it resolved. */
  async read(): Promise<ArrayBuffer> {
    if (this.#lost !== undefined) throw this.#loss();
    await new Promise<void>((resolve, reject) => {
      this.#reject = reject;
      this.buffer.mapAsync(0x1).then(resolve, reject);
    }).finally(() => this.#reject = undefined);
    const copy = this.buffer.getMappedRange().slice(0);
    this.buffer.unmap();
    return copy;
  }

  #loss(): Error {
    return new Error(`Cannot read back: the device was lost: ${this.#lost}`);
  }
}
