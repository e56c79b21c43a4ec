/**
 * Kernels to results, one after the other.
 *
 * @module
 */
import type { Gpu } from "../kernels/device.ts";
import { type Bandwidth, cpuCopy, gpuCopy } from "./copy.ts";
import { gated } from "./gate.ts";
import { cpuName, runtimeName } from "./host.ts";
import type { Effort, Kernel } from "./kernel.ts";
import { quantile } from "./measure.ts";
import type { BenchResult } from "./result.ts";

/** Whom to tell. */
export interface Listeners {
  /** A kernel is about to be checked and timed. */
  onStart?(kernel: Kernel): void;
  onResult(result: BenchResult): void;
  /** A kernel whose result was wrong, or that could not run; it was not timed. */
  onFailure(kernel: Kernel, reason: Error): void;
}

/** Runs what the devices allow, and resolves to whether all of it was right. Kernels for a GPU need one. */
export async function runKernels(
  kernels: readonly Kernel[],
  effort: Effort,
  gpu: Gpu | undefined,
  { onStart, onResult, onFailure }: Listeners,
): Promise<boolean> {
  const copies = new Map<Kernel["device"], Bandwidth>();
  const copy = async (device: Kernel["device"]): Promise<Bandwidth> => {
    const bandwidth = copies.get(device) ?? await (device === "cpu" ? cpuCopy(effort) : gpuCopy(effort, gpu!));
    copies.set(device, bandwidth);
    return bandwidth;
  };
  let right = true;
  for (const kernel of kernels) {
    if (kernel.device === "gpu" && gpu === undefined) continue;
    onStart?.(kernel);
    try {
      const opened = await (kernel.device === "cpu" ? kernel.open(effort) : kernel.open(effort, gpu!));
      const { samples, verdict } = await gated(opened);
      const ms = quantile(samples, 0.5);
      const bandwidth = await copy(kernel.device);
      onResult({
        kernel: kernel.name,
        shape: opened.shape,
        dtype: "f32",
        adapter: kernel.device === "cpu" ? cpuName() : `${gpu!.adapter.description} (${gpu!.adapter.provider})`,
        runtime: runtimeName(),
        ms,
        spread: [quantile(samples, 0.25), quantile(samples, 0.75)],
        samples: samples.length,
        bytes: opened.bytes,
        tokensPerSecond: 1000 * opened.tokens / ms,
        bandwidthFraction: opened.bytes / ms / bandwidth,
        copyBytesPerSecond: 1000 * bandwidth,
        maxUlp: verdict.maxUlp,
        bound: verdict.boundUlp,
        boundFraction: verdict.ratio,
        date: new Date().toISOString(),
      });
    } catch (error) {
      right = false;
      onFailure(kernel, error as Error);
    }
  }
  return right;
}
