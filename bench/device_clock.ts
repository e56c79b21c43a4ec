/**
 * How long a list of dispatches takes: by the device's own timestamps where it has them, else by the host's clock, which
 * counts the submission and the wait for it too.
 *
 * @module
 */
import { BufferUsage, type Dispatch, type Gpu } from "../kernels/device.ts";

/** Milliseconds, and whose. */
export interface Elapsed {
  readonly ms: number;
  readonly onDevice: boolean;
}

/** A stopwatch of one device. */
export interface DeviceClock {
  /** Runs the dispatches and waits for them. */
  time(label: string, dispatches: readonly Dispatch[]): Promise<Elapsed>;
  close(): void;
}

/** Two 64-bit timestamps. */
const BYTES = 16;

/** Opens a clock; close it when done. */
export function deviceClock(gpu: Gpu): DeviceClock {
  const host = async (body: () => Promise<void>): Promise<Elapsed> => {
    const start = performance.now();
    await body();
    await gpu.done();
    return { ms: performance.now() - start, onDevice: false };
  };
  if (!gpu.features.has("timestamp-query")) {
    return { time: (label, dispatches) => host(() => gpu.run(label, dispatches)), close: () => {} };
  }
  const querySet = gpu.device.createQuerySet({ type: "timestamp", count: 2 });
  const resolved = gpu.createBuffer({
    label: "timestamps",
    bytes: BYTES,
    usage: BufferUsage.QUERY_RESOLVE | BufferUsage.COPY_SRC,
  });
  const timestampWrites = { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
  return {
    async time(label, dispatches) {
      const whole = await host(() => gpu.run(label, dispatches, { timestampWrites }));
      await gpu.checked("read the device's clock", () => {
        const encoder = gpu.device.createCommandEncoder({ label: "timestamps" });
        encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
        gpu.device.queue.submit([encoder.finish()]);
      });
      const [begin = 0n, end = 0n] = await gpu.read(resolved, BigUint64Array);
      const ms = Number(end - begin) / 1e6;
      // Some drivers write nothing, or count in a unit of their own: then the host's clock is what is left.
      return ms > 0 && ms <= whole.ms ? { ms, onDevice: true } : whole;
    },
    close() {
      resolved.destroy();
      querySet.destroy();
    },
  };
}
