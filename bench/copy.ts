/**
 * The bandwidth of a plain copy, measured in the same run as the kernels: what they are compared with. A copied byte
 * counts twice, read and written, as a kernel's inputs and outputs do.
 *
 * @module
 */
import type { Gpu } from "../kernels/device.ts";
import type { Effort } from "./kernel.ts";
import { quantile, samplesOf } from "./measure.ts";

/** Bytes per millisecond. */
export type Bandwidth = number;

/** From one array to another in the memory of the host, both larger than its caches usually are. */
export async function cpuCopy(effort: Effort): Promise<Bandwidth> {
  const bytes = effort.quick ? 2 ** 25 : 2 ** 26;
  const source = new Float32Array(bytes / 4).fill(1);
  const target = new Float32Array(bytes / 4);
  const samples = await samplesOf(effort, () => target.set(source));
  return 2 * bytes / quantile(samples, 0.5);
}

/** From buffer to buffer on the device; software devices copy less, being slow. */
export async function gpuCopy(effort: Effort, gpu: Gpu): Promise<Bandwidth> {
  const wanted = gpu.adapter.software ? (effort.quick ? 2 ** 24 : 2 ** 25) : 2 ** 28;
  const bytes = Math.min(wanted, Math.floor(gpu.limits.maxBufferSize / 4) * 4);
  // Several to a submission, as kernels are timed, so that the submission itself weighs the same.
  const times = gpu.adapter.software ? 2 : 16;
  const source = gpu.createBuffer({ label: "copy source", bytes });
  const target = gpu.createBuffer({ label: "copy target", bytes });
  try {
    const samples = await samplesOf(effort, async () => {
      const start = performance.now();
      await gpu.checked("copy", () => {
        const encoder = gpu.device.createCommandEncoder({ label: "copy" });
        for (let n = 0; n < times; n++) encoder.copyBufferToBuffer(source, 0, target, 0, bytes);
        gpu.device.queue.submit([encoder.finish()]);
      });
      await gpu.done();
      return (performance.now() - start) / times;
    });
    return 2 * bytes / quantile(samples, 0.5);
  } finally {
    source.destroy();
    target.destroy();
  }
}
