/**
 * Token by token on a GPU, the state staying there: the latency of a step, from its inputs on the host to its outputs
 * on the host.
 *
 * @module
 */
import type { Gpu } from "../kernels/device.ts";
import { type KernelChoice, openStream, scanRounding } from "../kernels/scan.ts";
import type { AnyAffineModel } from "../models/affine.ts";
import type { RunResult } from "../models/execution.ts";
import { sliceInputs } from "../models/inputs.ts";
import type { GpuKernel } from "./kernel.ts";
import { needsStates, type Setting, settingOf, statesPerToken } from "./setting.ts";

/** Pushes every token of a setting by itself, and times each. */
async function streamed(
  gpu: Gpu,
  setting: Setting,
  choice: KernelChoice,
): Promise<{ readonly samples: readonly number[]; readonly result: RunResult }> {
  const { model, dims, inputs, initialState } = setting;
  const wantStates = needsStates(setting);
  const perToken = statesPerToken(setting);
  const outputs = new Float32Array(setting.outputBytes / 4).fill(NaN);
  const states = new Float32Array(wantStates ? dims.T * perToken : 0).fill(NaN);
  const samples: number[] = [];
  const stream = await openStream(gpu, model, dims, { ...choice, tokens: 1, initialState });
  try {
    for (let t = 0; t < dims.T; t++) {
      const token = sliceInputs(model, dims, inputs, t, t + 1);
      const start = performance.now();
      const out = await stream.push(token, 1);
      samples.push(performance.now() - start);
      outputs.set(out, t * out.length);
      if (wantStates) states.set(await stream.state(), t * perToken);
    }
    const result = { outputs, finalState: await stream.state(), ...(wantStates ? { states } : {}) };
    return { samples, result };
  } finally {
    stream.close();
  }
}

/** A model's steps; one sequence. */
export function streamKernel(model: AnyAffineModel, choice: KernelChoice = {}): GpuKernel {
  return {
    name: `webgpu stream ${model.name}`,
    device: "gpu",
    open({ quick }, gpu) {
      const T = quick ? 16 : 64;
      const sizes = { K: 16, V: 16, N: 16, D: model.state.length === 1 ? 256 : 16 };
      // Slabs of one token are one chunk each: a fold, in which a term is the later operand once.
      const setting = settingOf(model, { T, sizes }, { ...scanRounding(choice), rightCombines: () => 1 });
      const perToken = Object.values(sliceInputs(model, setting.dims, setting.inputs, 0, 1))
        .reduce((sum, { length }) => sum + length, 0);
      return Promise.resolve({
        shape: `${setting.shape}, by token`,
        tokens: 1,
        bytes: 4 * perToken + setting.outputBytes / T + 2 * setting.stateBytes,
        check: async () => setting.judge((await streamed(gpu, setting, choice)).result),
        async time() {
          const { samples, result } = await streamed(gpu, setting, choice);
          return { samples, verdict: setting.judge(result) };
        },
      });
    },
  };
}
