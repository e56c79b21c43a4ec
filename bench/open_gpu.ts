/**
 * The GPU of a bench command.
 *
 * @module
 */
import { type DeviceOptions, type Gpu, type GpuPolicy, NoAdapterError, openDevice } from "../kernels/device.ts";
import type { BenchOutput } from "./output.ts";

/** What a command does without a GPU, in words. */
export interface WithoutGpu {
  /** What is then not run: `webgpu scan gla, webgpu scan s6`. */
  readonly what: string;
  /** What enables it: `dualscan bench --gpu auto`. */
  readonly command: string;
}

/** A GPU, or in words what was left out, why, and the command that enables it. */
export async function openGpu(
  policy: GpuPolicy,
  { what, command }: WithoutGpu,
  err: BenchOutput["err"],
  options: DeviceOptions = {},
): Promise<Gpu | undefined> {
  if (policy === "off") {
    err(`not run: ${what}: the GPU is off; enable them with: ${command}`);
    return undefined;
  }
  try {
    return await openDevice(options);
  } catch (error) {
    if (policy === "require" || !(error instanceof NoAdapterError)) throw error;
    err(`not run: ${what}: ${error.message}`);
    return undefined;
  }
}
