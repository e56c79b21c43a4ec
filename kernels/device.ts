/**
 * The one place that opens a GPU, whatever the runtime: Deno, Node, Bun or a browser.
 *
 * ```ts
 * const gpu = await openDevice();
 * const x = gpu.upload(new Float32Array([1, 2, 3]));
 * const double = await gpu.compile({ label: "double", code: wgsl });
 * await gpu.run("double", [{ pipeline: double, buffers: [x], workgroups: 1 }]);
 * console.log(await gpu.read(x, Float32Array));
 * await gpu.close();
 * ```
 *
 * Under Deno the built-in WebGPU (wgpu) and Dawn can be open side by side, so results can be compared across two
 * independent implementations. Each takes its Vulkan driver from `VK_DRIVER_FILES` as it is when it is first opened.
 *
 * @module
 */

import { InputError } from "../models/error.ts";
import {
  candidates,
  type DawnToggles,
  findAdapter,
  type FoundAdapter,
  type GpuProvider,
  providerNames,
  remedy,
} from "./_provider.ts";
import { environment } from "./_runtime.ts";
import { Gpu } from "./gpu.ts";

export type { DawnToggles, GpuProvider } from "./_provider.ts";
export * from "./gpu.ts";

/** Features asked for wherever the adapter has them; see {@linkcode Gpu.features} for those that were granted. */
export const wantedFeatures: readonly string[] = [
  "subgroups",
  "timestamp-query",
  "shader-f16",
  "chromium-experimental-subgroup-matrix",
];

/** Limits raised from the specification's defaults to the adapter's. */
const wantedLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxUniformBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxBindingsPerBindGroup",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
];

/** bun-webgpu reports 0 for these, fills them in with 8 and 4 where not asked for, and then refuses itself. */
const bunLimits = [
  "maxStorageBuffersInVertexStage",
  "maxStorageBuffersInFragmentStage",
  "maxStorageTexturesInVertexStage",
  "maxStorageTexturesInFragmentStage",
];

/**
 * Toggles under which Dawn offers f16 and the matrix units on NVIDIA, timestamps are not rounded, and accesses out of
 * range are not guarded against (the kit's kernels make none; on an H200 the guards cost up to a fifth). They step outside
 * what browsers allow, so they are given by explicit choice only.
 */
export const experimentalToggles: DawnToggles = {
  enable: ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia", "use_vulkan_memory_model", "disable_robustness"],
  disable: ["timestamp_quantization"],
};

export interface DeviceOptions {
  /** Default: the environment's `DUALSCAN_GPU_PROVIDER`, else `auto`, which takes what fits the runtime. */
  readonly provider?: GpuProvider | "auto";
  /** A part of the adapter's name; Dawn only. */
  readonly adapter?: string;
  /** Features without which the device is of no use to the caller. */
  readonly require?: readonly string[];
  /** Dawn only. Default: {@linkcode experimentalToggles} where the environment's `DUALSCAN_GPU_EXPERIMENTAL` is 1. */
  readonly toggles?: DawnToggles;
}

/** There is no GPU here, not even a software one. The message says what was tried and what to install. */
export class NoAdapterError extends InputError {}

/**
 * Opens a device with all the limits the adapter has and those of {@linkcode wantedFeatures} it offers.
 *
 * Needs no permission under `deno test` or `deno run`: without one the environment counts as unset and only Deno's
 * built-in WebGPU is tried. Close the result: Node and Bun end by themselves only when no device is open.
 *
 * @throws {NoAdapterError} when no provider has an adapter, or none with the required features.
 */
export async function openDevice(options: DeviceOptions = {}): Promise<Gpu> {
  const tried: string[] = [];
  const order = candidates(options.provider ?? providerFromEnvironment());
  const experimental = environment("DUALSCAN_GPU_EXPERIMENTAL") === "1" ? { toggles: experimentalToggles } : {};
  for (const provider of order) {
    try {
      const found = await findAdapter(provider, { ...experimental, ...options });
      return await openAdapter(provider, found, options.require ?? []);
    } catch (error) {
      tried.push(`${provider} (${error instanceof Error ? error.message : String(error)})`);
    }
  }
  const hints = new Set(order.map(remedy));
  throw new NoAdapterError(`Cannot open a GPU: tried ${tried.join(", ")}; ${[...hints].join("; ")}`);
}

function providerFromEnvironment(): GpuProvider | "auto" {
  const value = environment("DUALSCAN_GPU_PROVIDER") ?? "auto";
  if (value !== "auto" && !(providerNames as readonly string[]).includes(value)) {
    throw new InputError(
      `Cannot open a GPU: DUALSCAN_GPU_PROVIDER must be auto, ${providerNames.join(", ")}, got "${value}"`,
    );
  }
  return value as GpuProvider | "auto";
}

async function openAdapter(provider: GpuProvider, found: FoundAdapter, required: readonly string[]): Promise<Gpu> {
  const { adapter, release } = found;
  try {
    const offered = adapter.features as unknown as ReadonlySet<string>;
    const missing = required.filter((feature) => !offered.has(feature));
    if (missing.length > 0) {
      throw new Error(`the adapter "${adapter.info.description}" lacks ${missing.join(", ")}`);
    }
    const features = [...new Set([...required, ...wantedFeatures])].filter((feature) => offered.has(feature));
    const requiredLimits: Record<string, number> = {};
    const limits = adapter.limits as unknown as Readonly<Record<string, number | undefined>>;
    for (const name of provider === "bun" ? [...wantedLimits, ...bunLimits] : wantedLimits) {
      const value = limits[name];
      if (value !== undefined) requiredLimits[name] = value;
    }
    const device = await adapter.requestDevice({ requiredFeatures: features as GPUFeatureName[], requiredLimits });
    return new Gpu({ provider, adapter, device, release });
  } catch (error) {
    release();
    throw error;
  }
}

/** What a program does about a GPU: use one if there is one, never, or fail without. */
export type GpuPolicy = "auto" | "off" | "require";

/**
 * The environment's `DUALSCAN_GPU`, or `auto`.
 *
 * @throws {InputError} when it is none of `auto`, `off`, `require`.
 */
export function gpuPolicy(): GpuPolicy {
  const value = environment("DUALSCAN_GPU") ?? "auto";
  if (value !== "auto" && value !== "off" && value !== "require") {
    throw new InputError(`Cannot use DUALSCAN_GPU: it must be auto, off or require, got "${value}"`);
  }
  return value;
}
