/**
 * Gradients on a GPU, timed on the device: forward states, states' cotangents, and the gradient of every input.
 *
 * @module
 */
import { gradientsOnGpu } from "../kernels/backward.ts";
import { scanRounding } from "../kernels/scan.ts";
import { wgslAccuracy } from "../models/accuracy.ts";
import { type AnyAffineModel, outputColumns } from "../models/affine.ts";
import type { GradientOptions, GradientResult } from "../models/execution.ts";
import { traceGradient } from "../models/gradient.ts";
import { type Batch, prepare } from "../models/inputs.ts";
import { seeded } from "../models/random.ts";
import { joined, type Verdict, withinRadius } from "../oracle/compare.ts";
import { argumentPlace, argumentsOf, sequenceGradient } from "../oracle/gradient.ts";
import { gradientBound } from "../oracle/gradient_bound.ts";
import { deviceTimed } from "./device_time.ts";
import type { GpuKernel } from "./kernel.ts";
import { settingOf } from "./setting.ts";

/** Numbers that are held to exact forward-mode derivatives; the others to reverse mode in f64. */
const SAMPLED = 24;

/** The judge of gradients of one sequence: every number within its derived bound. */
function gradientJudge(
  batch: Batch,
  initialState: Float32Array,
  cotangents: GradientOptions,
): (result: GradientResult) => Verdict {
  const { model, dims } = batch;
  const bound = gradientBound(traceGradient(model, dims.sizes), batch, initialState, cotangents, wgslAccuracy);
  const all = argumentsOf(batch);
  const random = seeded("bench", "arguments", model.name);
  const wanted = Array.from({ length: SAMPLED }, () => all[Math.floor(random() * all.length)]!);
  const want = sequenceGradient(batch, 0, 0, initialState, cotangents, wanted);
  const places = wanted.map((argument) => argumentPlace(model, batch, argument));
  const radii = places.map(({ name, index }) => (name === undefined ? bound.initial : bound.inputs[name]!)[index]!.r);
  return ({ inputs, initialState: initial }) =>
    joined([
      withinRadius(
        places.map(({ name, index }) => (name === undefined ? initial : inputs[name]!)[index] ?? NaN),
        want,
        radii,
      ),
      withinRadius(initial, bound.initial.map(({ x }) => x), bound.initial.map(({ r }) => r)),
      ...Object.entries(bound.inputs).map(([name, balls]) =>
        withinRadius(inputs[name] ?? [], balls.map(({ x }) => x), balls.map(({ r }) => r))
      ),
    ]);
}

/** A model's derived gradients; one sequence, since the bound is one sequence's. */
export function gradientKernel(model: AnyAffineModel): GpuKernel {
  return {
    name: `webgpu gradient ${model.name}`,
    device: "gpu",
    open(effort, gpu) {
      const T = effort.quick ? 128 : gpu.adapter.software ? 256 : 1024;
      const sizes = { K: 8, V: 8, N: 8, D: model.state.length === 1 ? 64 : 8 };
      const setting = settingOf(model, { T, sizes }, scanRounding());
      const { dims, inputs, initialState, inputBytes, outputBytes, stateBytes } = setting;
      const random = seeded("bench", "cotangents", model.name);
      const numbers = (length: number): Float32Array => Float32Array.from({ length }, () => 2 * random() - 1);
      const cotangents = {
        outputs: numbers(T * outputColumns(model, sizes)),
        finalState: numbers(initialState.length),
        initialState,
      };
      const judge = gradientJudge(prepare(model, dims, inputs), initialState, cotangents);
      return Promise.resolve({
        shape: setting.shape,
        tokens: T,
        // Inputs, cotangents of outputs and of the final state, the initial state; gradients of inputs and of that state.
        bytes: 2 * inputBytes + outputBytes + 3 * stateBytes,
        check: async () => judge(await gradientsOnGpu(gpu, model, dims, inputs, cotangents)),
        async time() {
          const { result, samples } = await deviceTimed(
            gpu,
            effort,
            (on) => gradientsOnGpu(on, model, dims, inputs, cotangents),
          );
          return { samples, verdict: judge(result) };
        },
      });
    },
  };
}
