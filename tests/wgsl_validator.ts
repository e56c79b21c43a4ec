/**
 * The compiler of Dawn without a device: its null adapter has every feature, so that WGSL for hardware that is not here is
 * at least parsed and type checked. Node only, which can load it.
 */
import { runtime } from "../kernels/_runtime.ts";
import { raggedArrays } from "./workgroup_layout.ts";

export interface WgslValidator {
  /** The compiler's first error, or the first workgroup array that matrix units could misread; undefined if there is none. */
  error(code: string): Promise<string | undefined>;
  close(): void;
}

interface Dawn {
  create(options: readonly string[]): GPU;
}

const features = ["subgroups", "shader-f16", "chromium-experimental-subgroup-matrix"] as GPUFeatureName[];

/** Resolves to null, and says so, elsewhere than in Node. */
export async function wgslValidator(what: string): Promise<WgslValidator | null> {
  if (runtime() !== "node") {
    console.warn(`not run: ${what}: Dawn's null adapter is used in Node only`);
    return null;
  }
  const name = "webgpu";
  const { create } = await import(name) as Dawn;
  const held = globalThis as { wgslValidator?: unknown };
  const gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
  held.wgslValidator = gpu;
  const adapter = await gpu.requestAdapter();
  const device = await adapter!.requestDevice({
    requiredFeatures: features,
    requiredLimits: { maxComputeWorkgroupStorageSize: adapter!.limits.maxComputeWorkgroupStorageSize },
  });
  return {
    async error(code) {
      device.pushErrorScope("validation");
      device.createShaderModule({ code });
      const ragged = code.includes("subgroup_matrix_") ? raggedArrays(code)[0] : undefined;
      return (await device.popErrorScope())?.message ??
        (ragged === undefined ? undefined : `not a multiple of 16 bytes: ${ragged}`);
    },
    close() {
      device.destroy();
      delete held.wgslValidator;
    },
  };
}
