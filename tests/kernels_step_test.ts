/** One token at a time on the GPU, states kept there: within the derived bounds of `step`, faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Gpu } from "../kernels/device.ts";
import type { Fault } from "../kernels/faults.ts";
import { runPlans } from "../kernels/plan.ts";
import { openStepper, planStep, stepInputShape } from "../kernels/step.ts";
import { Tensor } from "../kernels/tensor.ts";
import { affineModel, type AnyAffineModel, outputColumns } from "../models/affine.ts";
import { InputError } from "../models/error.ts";
import type { Rounding, RunResult } from "../models/execution.ts";
import {
  type Dims,
  inputEntries,
  type Inputs,
  microSteps,
  sampleInputs,
  sliceInputs,
  stateLength,
} from "../models/inputs.ts";
import { real } from "../models/domain.ts";
import { gla } from "../models/gla.ts";
import { models } from "../models/mod.ts";
import { rwkv6 } from "../models/rwkv6.ts";
import { seeded } from "../models/random.ts";
import { judgeOf } from "../oracle/allowance.ts";
import type { Verdict } from "../oracle/compare.ts";
import { reference } from "../oracle/reference.ts";
import { POISON32 } from "../oracle/ulp.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("one token at a time on the GPU");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

/** Serial: a token's input is added once, at its own step. */
const rounding: Rounding = { unit: 2 ** -24, rightCombines: () => 1, accuracy: "wgsl", denseChunk: () => 1 };

const T = 12;
const sizes = { K: 20, V: 11, D: 37, N: 5 };
const extent = (model: AnyAffineModel): Dims => ({ B: 2, T, H: model.heads ? 2 : 1, sizes });

/** Runs token by token; a matrix action's states are read back after every token, as its judge needs them. */
async function stepped(
  device: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  initialState: Float32Array,
  fault?: Fault,
): Promise<RunResult> {
  const n = microSteps(model);
  const { B, H } = dims;
  const columns = outputColumns(model, dims.sizes);
  const perToken = H * columns;
  const lanes = stateLength(model, { ...dims, B: 1 });
  const outputs = new Float32Array(B * T * perToken);
  const states = new Float32Array(B * T * lanes);
  const stepper = await openStepper(device, model, dims, { initialState, ...(fault === undefined ? {} : { fault }) });
  try {
    for (let t = 0; t < T; t++) {
      const token = sliceInputs(model, dims, inputs, t, t + 1);
      for (const [name] of inputEntries(model)) stepper.inputs[name]!.write(token[name]!);
      stepper.output.write(new Float32Array(stepper.output.length).fill(POISON32));
      await runPlans(device, "token", [stepper.plan]);
      const output = await stepper.output.read();
      for (let b = 0; b < B; b++) {
        outputs.set(output.subarray(b * perToken, (b + 1) * perToken), (b * T + t) * perToken);
      }
      if (model.action !== "matrix" && t < T - 1) continue;
      const state = await stepper.state.read();
      for (let b = 0; b < B; b++) states.set(state.subarray(b * lanes, (b + 1) * lanes), (b * T + t) * lanes);
    }
    const finalState = await stepper.state.read();
    return { outputs, finalState, ...(model.action === "matrix" && n === 1 ? { states } : {}) };
  } finally {
    stepper.close();
    stepper.plan.release();
  }
}

function initialOf(model: AnyAffineModel, dims: Dims): Float32Array {
  const random = seeded(5, "state", model.name);
  return Float32Array.from(
    { length: stateLength(model, dims) },
    (_, n) => model.action === "scaled" && n % 2 === 1 ? 3 : random() - 0.5,
  );
}

function clamped(model: AnyAffineModel, inputs: Inputs): Inputs {
  return Object.fromEntries(
    inputEntries(model).map((
      [name, { domain }],
    ) => [name, Float32Array.from(inputs[name]!, (x) => domain.clamp?.(x) ?? x)]),
  );
}

async function verdictOf(
  device: Gpu,
  model: AnyAffineModel,
  kind: "random" | "long-memory" | "adversarial",
  fault?: Fault,
): Promise<Verdict> {
  const dims = extent(model);
  // As the door leaves them: clamped to what f32 can tell apart.
  const inputs = clamped(model, sampleInputs(model, dims, kind, 3));
  const initialState = initialOf(model, dims);
  const result = await stepped(device, model, dims, inputs, initialState, fault);
  return judgeOf(reference(model, dims, inputs, initialState), rounding).judge(result, T);
}

const judgeable = models.filter((model) => model.action !== "matrix" || microSteps(model) === 1);

for (const model of judgeable) {
  gpuTest(`${model.name}, token by token on the GPU, is within its bound`, async (device) => {
    for (const kind of ["long-memory", "adversarial"] as const) {
      const verdict = await verdictOf(device, model, kind);
      assert(verdict.ok, `${kind}: ${JSON.stringify(verdict.first)}`);
      if (kind === "long-memory") assertEquals(verdict.planted, "seen");
    }
  });
}

for (const fault of [{ relative: 2 ** -10 }, "dropped-carry"] as const) {
  gpuTest(`a step with a fault (${JSON.stringify(fault)}) is seen`, async (device) => {
    for (const model of [gla, rwkv6, models.find(({ name }) => name === "kda")!]) {
      assert(!(await verdictOf(device, model, "long-memory", fault)).ok, model.name);
    }
  });
}

gpuTest("many steps go in one submit, on the caller's tensors", async (device) => {
  const dims = { B: 1, H: 1, sizes: { K: 1, V: 1 } };
  const one = (x: number): Tensor => Tensor.from(device, [x], [1, 1, 1]);
  const state = Tensor.from(device, [0], [1, 1, 1, 1, 1]);
  const inputs = { q: one(1), k: one(1), v: one(2), g: one(0) };
  const outputs = [one(POISON32), one(POISON32), one(POISON32)];
  const plans = await Promise.all(outputs.map((output) => planStep(device, gla, dims, { inputs, state, output })));
  await runPlans(device, "three tokens", plans);
  assertEquals(await Promise.all(outputs.map(async (output) => (await output.read())[0])), [2, 4, 6]);
  for (const tensor of [...Object.values(inputs), ...outputs, state]) tensor.destroy();
});

gpuTest("unusable tensors and models are refused in one line", async (device) => {
  const dims = { B: 1, H: 1, sizes: { K: 2, V: 2 } };
  const { inputs, state, output, close } = await openStepper(device, gla, dims);
  const { q: _q, ...missing } = inputs;
  const half = Tensor.empty(device, stepInputShape(gla, "q", dims), { dtype: "f16" });
  const dense = affineModel({
    name: "dense",
    paper: { title: "none", arxiv: "0000.00000", where: "a matrix that is no diagonal plus low rank" },
    action: "matrix",
    heads: true,
    state: ["K", "V"],
    inputs: { k: { axes: ["K"], domain: real } },
    fields: { k: ["K"] },
    gates: (_A, x) => ({ k: x.k }),
    step: (_A, S) => S,
    lift: (A, x) => ({ E: (i, j) => A.max(A.of(0), A.sub(x.k(i), x.k(j))), F: (i) => x.k(i) }),
    read: (_A, S, _x, v) => S(0, v),
  });
  for (
    const attempt of [
      () => planStep(device, gla, dims, { inputs: missing, state, output }),
      () => planStep(device, gla, dims, { inputs: { ...inputs, q: state }, state, output }),
      () => planStep(device, gla, dims, { inputs: { ...inputs, q: half }, state, output }),
      () => planStep(device, gla, { ...dims, B: 0 }, { inputs, state, output }),
      () => openStepper(device, dense, dims),
    ]
  ) await assertRejects(attempt, InputError, "Cannot");
  half.destroy();
  close();
});
