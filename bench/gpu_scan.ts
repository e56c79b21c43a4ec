/**
 * The generic scan on a GPU, over plain pairs and over whole models: raw inputs to outputs, timed on the device.
 *
 * @module
 */
import type { Gpu } from "../kernels/device.ts";
import { type KernelChoice, runOnGpu, scanRounding } from "../kernels/scan.ts";
import { scanWgsl } from "../kernels/wgsl_operator.ts";
import type { AnyAffineModel } from "../models/affine.ts";
import type { RunResult } from "../models/execution.ts";
import { affine, affineWgsl } from "./affine.ts";
import { deviceTimed } from "./device_time.ts";
import type { Effort, GpuKernel, Opened } from "./kernel.ts";
import { needsStates, type Setting, settingOf } from "./setting.ts";

/** One slab, so that one list of dispatches is the whole run. */
const SLAB = 2 ** 30;

/** Length and rows: a software device is some thousand times slower than a real one. */
function extent({ quick }: Effort, gpu: Gpu): { readonly T: number; readonly B: number } {
  if (gpu.adapter.software) return { T: quick ? 256 : 1024, B: 1 };
  return { T: quick ? 1024 : 4096, B: quick ? 4 : 16 };
}

function opened(effort: Effort, gpu: Gpu, setting: Setting, run: (gpu: Gpu) => Promise<RunResult>): Opened {
  const { dims: { B, T }, shape, inputBytes, outputBytes, stateBytes } = setting;
  return {
    shape,
    tokens: B * T,
    bytes: inputBytes + outputBytes + 2 * stateBytes,
    check: async () => setting.judge(await run(gpu)),
    async time() {
      const { result, samples } = await deviceTimed(gpu, effort, run);
      return { samples, verdict: setting.judge(result) };
    },
  };
}

/** A model's traced kernels. */
export function scanKernel(model: AnyAffineModel, choice: KernelChoice = {}): GpuKernel {
  return {
    name: `webgpu scan ${model.name}`,
    device: "gpu",
    open(effort, gpu) {
      // 256 numbers of state per sequence, whatever the model's axes.
      const D = model.state.length === 1 ? 256 : 16;
      const size = { ...extent(effort, gpu), sizes: { K: 16, V: 16, N: 16, D } };
      const setting = settingOf(model, size, scanRounding(choice));
      const { dims, inputs, initialState } = setting;
      const options = { slabBytes: SLAB, ...choice, initialState, states: needsStates(setting) };
      return Promise.resolve(opened(effort, gpu, setting, (on) => runOnGpu(on, model, dims, inputs, options)));
    },
  };
}

/** Pairs, with an operator written in WGSL. */
export function pairScanKernel(choice: Pick<KernelChoice, "fault"> = {}): GpuKernel {
  return {
    name: "webgpu scan affine",
    device: "gpu",
    open(effort, gpu) {
      const lanes = 256;
      const { T } = extent(effort, gpu);
      const setting = settingOf(affine, { T, sizes: { D: lanes }, start: false }, scanRounding());
      const inputs = setting.inputs as { a: Float32Array; b: Float32Array };
      const initial = Float32Array.from({ length: 2 * lanes }, (_, n) => n % 2 === 0 ? 1 : 0);
      const run = async (on: Gpu): Promise<RunResult> => {
        const { outputs, final } = await scanWgsl(on, affineWgsl, { lanes, steps: T, inputs, initial, ...choice });
        return { outputs: outputs as Float32Array, finalState: (final as Float32Array).filter((_, n) => n % 2 === 1) };
      };
      return Promise.resolve(opened(effort, gpu, setting, run));
    },
  };
}
