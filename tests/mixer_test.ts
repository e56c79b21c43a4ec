/** Every model as a layer on tensors: the executions' results, and what a layer promises besides. */

import { after, test } from "node:test";
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { fusedFamilies } from "../kernels/fused.ts";
import { mixerKept, type MixerOptions, planMixer, planMixerBackward } from "../kernels/mixer.ts";
import { type Plan, runPlans } from "../kernels/plan.ts";
import { gpuExecution } from "../kernels/scan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { affineModel, type AnyAffineModel, outputColumns } from "../models/affine.ts";
import { forgetPreactivation, real } from "../models/domain.ts";
import type { Execution } from "../models/execution.ts";
import { type Dims, inputEntries, inputShape, sampleInputs, sliceInputs, stateShape } from "../models/inputs.ts";
import { models } from "../models/mod.ts";
import { seeded } from "../models/random.ts";
import { lengthOf } from "../kernels/tensor.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("models as layers on tensors");
after(() => gpu?.close());

/** The README's own recurrence. */
const leaky = affineModel({
  name: "leaky",
  paper: { title: "mine", arxiv: "none yet", where: "this file" },
  action: "diagonal",
  heads: false,
  state: ["D"],
  inputs: { r: { axes: ["D"], domain: forgetPreactivation }, x: { axes: ["D"], domain: real } },
  fields: { keep: ["D"], drop: ["D"], x: ["D"] },
  gates: (A, raw) => ({ keep: (d) => A.sigmoid(raw.r(d)), drop: (d) => A.sigmoid(A.neg(raw.r(d))), x: raw.x }),
  step: (A, [h], token) => [h!.map((s, d) => A.add(A.mul(token.keep[d]!, s), A.mul(token.drop[d]!, token.x[d]!)))],
  lift: (A, token, _, d) => ({ a: token.keep(d), b: A.mul(token.drop(d), token.x(d)) }),
  read: (_, h, __, d) => h(0, d),
});

const all: readonly AnyAffineModel[] = [...models, leaky];
const dimsFor = (model: AnyAffineModel, T: number, B = 2): Dims => ({
  B,
  T,
  H: model.heads ? 2 : 1,
  sizes: { K: 4, V: 3, D: 5, N: 4 },
});

function numbers(length: number, ...seed: readonly (string | number)[]): Float32Array {
  const random = seeded(...seed);
  return Float32Array.from({ length }, () => 2 * random() - 1);
}

/** A run's arrays. */
interface Case {
  readonly inputs: { readonly [name: string]: Float32Array };
  readonly outputs: Float32Array;
  readonly initialState: Float32Array;
  readonly finalState: Float32Array;
}

function caseOf(model: AnyAffineModel, dims: Dims): Case {
  const state = (seed: string): Float32Array => {
    const values = numbers(lengthOf(stateShape(model, dims)), seed, model.name);
    // The exponents of a scaled state are whole, and one for a head.
    return model.action === "scaled" ? values.map((x, i) => i % 2 === 0 ? x : 1) : values;
  };
  const outputs = dims.B * dims.T * dims.H * outputColumns(model, dims.sizes);
  return {
    inputs: sampleInputs(model, dims, "random", 5),
    outputs: numbers(outputs, "outputs", model.name),
    initialState: state("initial"),
    finalState: state("final"),
  };
}

/** A case on the device with room for its results, and its two plans. */
async function planned(model: AnyAffineModel, dims: Dims, given: Case, options: MixerOptions, keep: boolean) {
  const device = gpu!;
  const made: Tensor[] = [];
  const plans: Plan[] = [];
  const tensor = (shape: readonly number[], data?: ArrayLike<number>): Tensor => {
    const one = Tensor.from(device, data ?? new Float32Array(lengthOf(shape)).fill(NaN), shape);
    made.push(one);
    return one;
  };
  const state = stateShape(model, dims);
  const shapes = inputEntries(model).map(([name, spec]) => [name, inputShape(model, spec, dims)] as const);
  const outputShape = [dims.B, dims.T, dims.H, outputColumns(model, dims.sizes)];
  const inputs = Object.fromEntries(shapes.map(([name, shape]) => [name, tensor(shape, given.inputs[name]!)]));
  const gradients = Object.fromEntries(shapes.map(([name, shape]) => [name, tensor(shape)]));
  const [outputs, dOutputs] = [tensor(outputShape), tensor(outputShape, given.outputs)];
  const [initial, dFinal] = [tensor(state, given.initialState), tensor(state, given.finalState)];
  const [final, dInitial] = [tensor(state), tensor(state)];
  const shapesKept = Object.entries(mixerKept(device, model, dims, options));
  const kept = keep && shapesKept.length > 0
    ? Object.fromEntries(shapesKept.map(([name, shape]) => [name, tensor(shape)]))
    : undefined;
  plans.push(await planMixer(device, model, { inputs, outputs, initial, final, kept }, options));
  plans.push(
    await planMixerBackward(device, model, {
      inputs,
      dOutputs,
      gradients,
      initial,
      dFinal,
      dInitial,
      ...(keep ? { kept, outputs } : {}),
    }, options),
  );
  return {
    inputs,
    outputs,
    dOutputs,
    gradients,
    initial,
    final,
    dInitial,
    plans,
    async read(): Promise<{ readonly [name: string]: Float32Array }> {
      const named = { outputs, final, dInitial, ...gradients };
      const entries = await Promise.all(
        Object.entries(named).map(async ([name, tensor]) => [name, await tensor.read()] as const),
      );
      return Object.fromEntries(entries);
    },
    close(): void {
      for (const plan of plans) plan.release();
      for (const one of made) one.destroy();
    },
  };
}

/** What an execution makes of a case, by the same names. */
async function executed(execution: Execution, model: AnyAffineModel, dims: Dims, given: Case) {
  const { outputs, finalState } = await execution.run(model, dims, given.inputs, { initialState: given.initialState });
  const { inputs, initialState } = await execution.gradients!(model, dims, given.inputs, given);
  return { outputs, final: finalState, dInitial: initialState, ...inputs };
}

const executions = (model: AnyAffineModel): readonly (readonly ["fused" | "generic", Execution])[] => {
  const family = fusedFamilies.find((family) => family.supports(model));
  return [
    ["generic", gpuExecution(gpu!)],
    ...(family === undefined ? [] : [["fused", family.execution(gpu!)] as const]),
  ];
};

for (const model of all) {
  for (const T of [9, 70]) {
    test(`planMixer ${model.name} equals its executions for length ${T}`, { skip: gpu === null }, async () => {
      const dims = dimsFor(model, T);
      const given = caseOf(model, dims);
      for (const [kernels, execution] of executions(model)) {
        const run = await planned(model, dims, given, { kernels }, T === 70);
        await runPlans(gpu!, "mixer", run.plans);
        assertEquals(await run.read(), await executed(execution, model, dims, given) as unknown, kernels);
        run.close();
      }
    });
  }
}
