/**
 * One token for a batch of states: the recurrent form. Bound by the bytes of the states, read and written once.
 *
 * @module
 */
import type { Gpu } from "../../kernels/device.ts";
import { runPlans } from "../../kernels/plan.ts";
import { planStep, stepInputShape } from "../../kernels/step.ts";
import { Tensor } from "../../kernels/tensor.ts";
import { type AnyAffineModel, outputColumns, type Sizes, stateColumns, stateRows } from "../../models/affine.ts";
import type { Rounding } from "../../models/execution.ts";
import { inputEntries, stateLength, stateWidth } from "../../models/inputs.ts";
import { gatedDeltaNet } from "../../models/gated_delta_net.ts";
import { gla } from "../../models/gla.ts";
import { mamba2 } from "../../models/mamba2.ts";
import { s6 } from "../../models/s6.ts";
import { judgeOf } from "../../oracle/allowance.ts";
import { reference, trueOutputs } from "../../oracle/reference.ts";
import { lineError } from "./errors.ts";
import type { FusedLine, LineShape, Prepared } from "./line.ts";
import { randomTensor, unitTensor } from "./random.ts";

/** Serial: a token's input is added once, at its own step. */
const rounding: Rounding = { unit: 2 ** -24, rightCombines: () => 1, accuracy: "wgsl", denseChunk: () => 1 };

/** Ranges of inputs that are not uniform in [−1, 1). */
const ranges: { readonly [name: string]: readonly [number, number] } = {
  g: [-0.1, 0],
  beta: [0, 1],
  delta: [0, 0.1],
  A: [-1, -0.5],
};

function input(gpu: Gpu, model: AnyAffineModel, name: string, shape: readonly number[], seed: number): Promise<Tensor> {
  if (name === "k" && model.action === "matrix") return unitTensor(gpu, shape, seed);
  const [low, high] = ranges[name] ?? [-1, 1];
  return randomTensor(gpu, shape, { seed, low, high });
}

/** The first sequence's part of a tensor `[B, H, …]`, or of a parameter all that belongs to the first head. */
async function first(gpu: Gpu, tensor: Tensor, length: number): Promise<Float32Array> {
  return await gpu.read(tensor.buffer, Float32Array, { length });
}

async function prepareStep(gpu: Gpu, model: AnyAffineModel, { B = 1, H = 1, ...sizes }: LineShape): Promise<Prepared> {
  const dims = { B, H, sizes: sizes as Sizes };
  const one = { ...dims, B: 1, H: 1, T: 1 };
  const inputs: { [name: string]: Tensor } = {};
  for (const [n, [name]] of inputEntries(model).entries()) {
    inputs[name] = await input(gpu, model, name, stepInputShape(model, name, dims), n + 1);
  }
  const shape = [B, H, stateRows(model, dims.sizes), stateColumns(model, dims.sizes), stateWidth(model)];
  const state = await randomTensor(gpu, shape, { seed: 99, low: -1, high: 1 });
  const output = Tensor.empty(gpu, [B, H, outputColumns(model, dims.sizes)], { label: "outputs" });
  const plan = await planStep(gpu, model, dims, { inputs, state, output });
  return {
    plans: [plan],
    tokens: B * H,
    async check() {
      const length = stateLength(model, one);
      const before = await first(gpu, state, length);
      const sample: { [name: string]: Float32Array } = {};
      for (const [name] of inputEntries(model)) {
        const numbers = stepInputShape(model, name, one).reduce((product, n) => product * n, 1);
        sample[name] = await first(gpu, inputs[name]!, numbers);
      }
      await runPlans(gpu, "step", [plan]);
      const outputs = await first(gpu, output, outputColumns(model, dims.sizes));
      const finalState = await first(gpu, state, length);
      const truth = reference(model, one, sample, before);
      const verdict = judgeOf(truth, rounding).judge({ outputs, finalState, states: finalState }, 1);
      const error = lineError(outputs, trueOutputs(truth, 1), Infinity);
      // The judge's bound is one for every number; of its worst quotient follows what the largest error may be.
      return { ...error, allowed: verdict.ok ? error.max / Math.max(verdict.ratio, 2 ** -20) : 0 };
    },
    release() {
      for (const tensor of [...Object.values(inputs), state, output]) tensor.destroy();
      plan.release();
    },
  };
}

function line(model: AnyAffineModel, shape: LineShape, small: LineShape): FusedLine {
  return {
    name: `${model.name} step`,
    dtype: "f32",
    shapes: [shape],
    small,
    variants: [{ name: "default", options: {} }],
    prepare: (gpu, extent) => prepareStep(gpu, model, extent),
  };
}

const matrix = { B: 512, H: 16, K: 64, V: 64 };
const small = { B: 2, H: 2, K: 16, V: 16 };

export const stepLines: readonly FusedLine[] = [
  line(gla, matrix, small),
  line(mamba2, matrix, small),
  line(gatedDeltaNet, matrix, small),
  line(s6, { B: 1024, D: 2048, N: 16 }, { B: 2, D: 32, N: 16 }),
];
