/** Every model as a layer on tensors: the executions' results, and what a layer promises besides. */

import { after, test } from "node:test";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { fusedFamilies } from "../kernels/fused.ts";
import {
  type MixerBackwardOptions,
  mixerKept,
  mixerLayer,
  type MixerOptions,
  type MixerTensors,
  planMixer,
  planMixerBackward,
  planMixerStep,
} from "../kernels/mixer.ts";
import { runPlans } from "../kernels/plan.ts";
import { gpuExecution } from "../kernels/scan.ts";
import { openStepper } from "../kernels/step.ts";
import { lengthOf, Tensor } from "../kernels/tensor.ts";
import { affineModel, type AnyAffineModel, outputColumns } from "../models/affine.ts";
import { forgetPreactivation, real } from "../models/domain.ts";
import { InputError } from "../models/error.ts";
import type { Execution } from "../models/execution.ts";
import {
  type Dims,
  inputEntries,
  type Inputs,
  inputShape,
  microSteps,
  prepare,
  sampleInputs,
  sliceInputs,
  stateShape,
} from "../models/inputs.ts";
import { dot, outer, plus } from "../models/linalg.ts";
import { models } from "../models/mod.ts";
import { seeded } from "../models/random.ts";
import { judgeOf } from "../oracle/allowance.ts";
import { reference } from "../oracle/reference.ts";
import { gpuForTests } from "./gpu.ts";
import { gradientCase, tolerance, truth, worst } from "./gradient_truth.ts";

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

/** The rows `from … to − 1` of what begins with an axis of B. */
function rows(values: Float32Array, B: number, from: number, to: number): Float32Array {
  const row = values.length / B;
  return values.slice(from * row, to * row);
}

/** The tokens `from … to − 1` of `[B, T, …]`. */
function tokens(values: Float32Array, B: number, T: number, from: number, to: number): Float32Array {
  const row = values.length / B / T;
  const parts = Array.from({ length: B }, (_, b) => values.subarray((b * T + from) * row, (b * T + to) * row));
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

/** One batch row of a case. */
function rowOf(model: AnyAffineModel, { B }: Dims, given: Case, b: number): Case {
  const one = (values: Float32Array): Float32Array => rows(values, B, b, b + 1);
  return {
    inputs: Object.fromEntries(
      inputEntries(model).map((
        [name, { per }],
      ) => [name, per === "parameter" ? given.inputs[name]! : one(given.inputs[name]!)]),
    ),
    outputs: one(given.outputs),
    initialState: one(given.initialState),
    finalState: one(given.finalState),
  };
}

interface PlannedOptions extends MixerBackwardOptions {
  /** Whether the forward pass keeps what it can. */
  readonly keep?: boolean;
  /** Without the axis of heads, and without parameters that the model has values for. */
  readonly bare?: boolean;
  /** What gradients hold before. */
  readonly before?: number;
}

/** A case on the device with room for its results, and its two plans. */
async function planned(
  model: AnyAffineModel,
  dims: Dims,
  given: Case,
  { keep = false, bare = false, before = NaN, ...options }: PlannedOptions = {},
) {
  const device = gpu!;
  const made: Tensor[] = [];
  const tensor = (shape: readonly number[], data?: ArrayLike<number>, heads: number = -1): Tensor => {
    const own = bare && !model.heads ? shape.filter((_, axis) => axis !== heads) : shape;
    const one = Tensor.from(device, data ?? new Float32Array(lengthOf(shape)).fill(before), own);
    made.push(one);
    return one;
  };
  const state = stateShape(model, dims);
  const entries = inputEntries(model).filter(([, { initial }]) => !bare || initial === undefined);
  const each = (data: Case["inputs"] | undefined): { readonly [name: string]: Tensor } =>
    Object.fromEntries(
      entries.map(([name, spec]) => [
        name,
        tensor(inputShape(model, spec, dims), data?.[name], spec.per === "parameter" ? 0 : 2),
      ]),
    );
  const outputShape = [dims.B, dims.T, dims.H, outputColumns(model, dims.sizes)];
  const [inputs, gradients] = [each(given.inputs), each(undefined)];
  const [outputs, dOutputs] = [tensor(outputShape, undefined, 2), tensor(outputShape, given.outputs, 2)];
  const [initial, dFinal] = [tensor(state, given.initialState, 1), tensor(state, given.finalState, 1)];
  const [final, dInitial] = [tensor(state, undefined, 1), tensor(state, undefined, 1)];
  const shapesKept = Object.entries(mixerKept(device, model, dims, options));
  const kept = keep ? Object.fromEntries(shapesKept.map(([name, shape]) => [name, tensor(shape)])) : undefined;
  const forward = await planMixer(device, model, { inputs, outputs, initial, final, kept }, options);
  const backward = await planMixerBackward(
    device,
    model,
    { inputs, dOutputs, gradients, initial, dFinal, dInitial, kept, ...(keep ? { outputs } : {}) },
    options,
  );
  return {
    inputs,
    outputs,
    initial,
    final,
    gradients,
    forward,
    backward,
    run: (): Promise<void> => runPlans(device, "mixer", [forward, backward]),
    async read(): Promise<{ readonly [name: string]: Float32Array }> {
      const named = { outputs, final, dInitial, ...gradients };
      const read = Object.entries(named).map(async ([name, one]) => [name, await one.read()] as const);
      return Object.fromEntries(await Promise.all(read));
    },
    close(): void {
      for (const plan of [forward, backward]) plan.release();
      for (const one of made) one.destroy();
    },
  };
}

/** What a run of a case leaves. */
async function ran(model: AnyAffineModel, dims: Dims, given: Case, options: PlannedOptions = {}) {
  const run = await planned(model, dims, given, options);
  try {
    await run.run();
    return await run.read();
  } finally {
    run.close();
  }
}

/** What an execution makes of a case, by the same names. */
async function executed(execution: Execution, model: AnyAffineModel, dims: Dims, given: Case) {
  const { outputs, finalState } = await execution.run(model, dims, given.inputs, { initialState: given.initialState });
  const { inputs, initialState } = await execution.gradients!(model, dims, given.inputs, given);
  return { outputs, final: finalState, dInitial: initialState, ...inputs } as { [name: string]: Float32Array };
}

const familyOf = (model: AnyAffineModel) => fusedFamilies.find((family) => family.supports(model));
const [B, T] = [3, 70];

for (const model of all) {
  const family = familyOf(model);
  const name = `planMixer ${model.name} (${family?.name ?? "generic"})`;
  test(`${name} equals its execution, alone in its batch or not, at every run`, { skip: gpu === null }, async () => {
    const dims = dimsFor(model, T, B);
    const given = caseOf(model, dims);
    const live = gpu!.bytes.live;
    const run = await planned(model, dims, given, { keep: true });
    await run.run();
    const got = await run.read();
    assertEquals(got, await executed(family?.execution(gpu!) ?? gpuExecution(gpu!), model, dims, given));
    await run.run();
    assertEquals(await run.read(), got, "at the second run");
    run.close();
    assertEquals(gpu!.bytes.live, live);

    const added = await ran(model, dims, given, { accumulate: true, before: 1 });
    const parameters = inputEntries(model).filter(([, { per }]) => per === "parameter").map(([name]) => name);
    for (const [name, values] of Object.entries(got)) {
      if (name === "outputs" || name === "final" || name === "dInitial") assertEquals(added[name], values, name);
      else if (!mixerLayer(model).accumulates) {
        assertEquals(
          added[name],
          values.map((x) => x + 1),
          `${name} added to 1`,
        );
      } else {
        // A compiler may take what is there as the first term of the gradient's own sum: one more rounding for each.
        const largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 1);
        const allowed = tolerance(T * microSteps(model)) * largest;
        values.forEach((x, n) => assertAlmostEquals(added[name]![n]!, 1 + x, allowed, `${name}[${n}] added to 1`));
      }
    }
    const one = { ...dims, B: 1 };
    for (const b of [0, 2]) {
      const alone = await ran(model, one, rowOf(model, dims, given, b));
      for (const [name, values] of Object.entries(alone)) {
        if (!parameters.includes(name)) {
          assertEquals(values, rows(got[name]!, B, b, b + 1), `${name} of row ${b} alone`);
        }
      }
    }
  });
}

/** A model for each family, and for each action, reading and rate of the generic kernel. */
const kinds: readonly (readonly [string, "fused" | "generic"])[] = [
  ["hgrn", "fused"],
  ["s6", "fused"],
  ["gated-rfa", "fused"],
  ["mlstm", "fused"],
  ["delta-product", "fused"],
  ["s6", "generic"],
  ["s4d", "generic"],
  ["mlstm", "generic"],
  ["rwkv6", "generic"],
  ["delta-product", "generic"],
];
const named = (name: string): AnyAffineModel => models.find((model) => model.name === name)!;

for (const [name, kernels] of kinds) {
  const model = named(name);
  const family = kernels === "fused" ? familyOf(model)! : undefined;
  test(`planMixer ${name} ${kernels}: prefixes, parts, what is left out, a fault`, { skip: gpu === null }, async () => {
    const execution = family?.execution(gpu!) ?? gpuExecution(gpu!);
    const dims = dimsFor(model, T);
    const given = caseOf(model, dims);
    const got = await ran(model, dims, given, { kernels });
    if (family === undefined) assertEquals(got, await executed(execution, model, dims, given));

    const split = 37;
    const part = (from: number, to: number, initialState: Float32Array): Case => ({
      inputs: sliceInputs(model, dims, given.inputs, from, to),
      outputs: tokens(given.outputs, dims.B, T, from, to),
      initialState,
      finalState: given.finalState,
    });
    const head = await ran(model, dimsFor(model, split), part(0, split, given.initialState), { kernels });
    assertEquals(head["outputs"], tokens(got["outputs"]!, dims.B, T, 0, split), "a prefix");
    const tail = await ran(model, dimsFor(model, T - split), part(split, T, head["final"]!), { kernels });
    const lost = await ran(model, dimsFor(model, T - split), part(split, T, given.initialState), { kernels });
    if (model.action === "matrix" && family !== undefined) {
      // Serial: the same operations.
      const rest = tokens(got["outputs"]!, dims.B, T, split, T);
      assertEquals([tail["outputs"], tail["final"]], [rest, got["final"]], "resumed");
      assertNotEquals(lost["outputs"], rest, "a lost state");
    } else if (model.action !== "matrix") {
      const judge = judgeOf(reference(model, dims, given.inputs, given.initialState), execution.rounding);
      const joined = (rest: typeof tail) => ({
        outputs: Float32Array.from(
          [0, 1].flatMap((b) => [...rows(head["outputs"]!, 2, b, b + 1), ...rows(rest["outputs"]!, 2, b, b + 1)]),
        ),
        finalState: rest["final"]!,
      });
      assert(judge.judge(joined(tail), T).ok, "resumed");
      assert(!judge.judge(joined(lost), T).ok, "a lost state");
    }

    // Parameters hold the model's own values where they are left out.
    const inputs = Object.fromEntries(
      Object.entries(
        prepare(model, dims, {
          ...given.inputs,
          ...Object.fromEntries(
            inputEntries(model).flatMap(([name, { initial }]) => initial ? [[name, undefined]] : []),
          ),
        } as Inputs).inputs,
      ).filter(([name]) => model.inputs[name]!.initial !== undefined),
    );
    const plain = { ...given, inputs: { ...given.inputs, ...inputs } };
    const bare = await ran(model, dims, plain, { kernels, bare: true });
    const full = await ran(model, dims, plain, { kernels });
    for (const [name, values] of Object.entries(bare)) assertEquals(values, full[name], `${name} with less given`);

    const faulty = await ran(model, dims, given, { kernels, fault: { relative: 2 ** -10 } });
    assertNotEquals(faulty["outputs"], got["outputs"], "a planted fault");
    if (family === undefined) return;
    const gradients = (result: typeof got) => Object.keys(model.inputs).map((name) => result[name]);
    assertNotEquals(gradients(faulty), gradients(got), "a planted fault backward");
  });
}

test("planMixerBackward in slabs equals backward in f64", { skip: gpu === null }, async () => {
  for (const model of [named("mlstm"), named("delta-product")]) {
    const given = gradientCase(model, 150);
    const off = async (from: Case): Promise<{ readonly error: number; readonly where: string }> => {
      const options = { kernels: "generic", slabBytes: 1 } as const;
      const { outputs: _, final: __, dInitial, ...gradients } = await ran(model, given.dims, from, options);
      return worst(new Map([...Object.entries(gradients), ["initial state", dInitial!]]), truth(given));
    };
    const { error, where } = await off(given);
    const allowed = tolerance(150 * microSteps(model));
    assert(error <= allowed, `${model.name}: off by ${error} at ${where}`);
    const lost = await off({ ...given, initialState: new Float32Array(given.initialState.length) });
    assertGreater(lost.error, allowed, `${model.name}: a lost state is seen`);
    const run = await planned(model, given.dims, given, { kernels: "generic", slabBytes: 1 });
    assertStringIncludes(run.backward.variant, "slabs of");
    assertStringIncludes(run.forward.variant, "slabs of");
    run.close();
  }
});

test("planMixer without a token hands states on", { skip: gpu === null }, async () => {
  for (const model of [named("gla"), named("s6"), named("delta-net")]) {
    const dims = dimsFor(model, 0);
    const given = caseOf(model, dims);
    const { final, dInitial, ...gradients } = await ran(model, dims, given);
    assertEquals(final, given.initialState);
    assertEquals(dInitial, given.finalState);
    for (const [name, values] of Object.entries(gradients)) assert(values.every((x) => x === 0), name);
  }
});

/** A model whose matrix has no low rank, which a stepper refuses. */
const dense = affineModel({
  name: "dense",
  paper: { title: "mine", arxiv: "none yet", where: "this file" },
  action: "matrix",
  heads: true,
  state: ["K", "V"],
  inputs: { E: { axes: ["K", "K"], domain: real }, k: { axes: ["K"], domain: real }, v: { axes: ["V"], domain: real } },
  fields: { E: ["K", "K"], k: ["K"], v: ["V"] },
  gates: (_, x) => x,
  step: (A, S, x) =>
    plus(A, x.E.map((row) => S[0]!.map((_, v) => dot(A, row, S.map((r) => r[v]!)))), outer(A, x.k, x.v)),
  lift: (A, x) => ({ E: (i, j) => x.E(i, j), F: (i, v) => A.mul(x.k(i), x.v(v)) }),
  read: (A, S, _, v, { K }) => A.sum(K, (k) => S(k, v)),
});

test("planMixerStep is a stepper's step, or the generic kernel's", { skip: gpu === null }, async () => {
  for (
    const [model, direct] of [[named("gla"), true], [named("delta-product"), true], [leaky, true], [
      dense,
      false,
    ]] as const
  ) {
    const dims = dimsFor(model, 1);
    const given = caseOf(model, dims);
    const run = await planned(model, dims, given);
    const { inputs, outputs, initial: state } = run;
    const plan = await planMixerStep(gpu!, model, { inputs, outputs, state });
    await runPlans(gpu!, "step", [plan]);
    const got = [await outputs.read(), await state.read()];
    if (direct) {
      const stepper = await openStepper(gpu!, model, dims, { initialState: given.initialState });
      for (const [name, tensor] of Object.entries(stepper.inputs)) tensor.write(given.inputs[name]!);
      await runPlans(gpu!, "stepper", [stepper.plan]);
      assertEquals(got, [await stepper.output.read(), await stepper.state.read()], model.name);
      stepper.plan.release();
      stepper.close();
    } else {
      const { outputs, finalState } = await gpuExecution(gpu!).run(model, dims, given.inputs, given);
      assertEquals(got, [outputs, finalState], model.name);
    }
    plan.release();
    run.close();
  }
});

test("planMixer refuses what does not fit", { skip: gpu === null }, async () => {
  const model = named("gla");
  const dims = dimsFor(model, 3);
  const run = await planned(model, dims, caseOf(model, dims));
  const { inputs, outputs, initial, gradients } = run;
  const live = gpu!.bytes.live;
  const refused = async (message: string, tensors: Partial<MixerTensors>, options: MixerOptions = {}, of = model) =>
    await assertRejects(() => planMixer(gpu!, of, { inputs, outputs, ...tensors }, options), InputError, message);
  const { q: _, ...rest } = inputs;
  await refused("got no q", { inputs: rest });
  await refused("must be among", { inputs: { ...inputs, w: inputs["q"]! } });
  await refused("input k must be [2, 3, 2, 4], got [2, 3, 2, 3]", { inputs: { ...inputs, k: inputs["v"]! } });
  await refused("the initial state must be [2, 2, 4, 3]", { initial: inputs["q"]! });
  await refused("a buffer of its own", { initial, final: initial });
  await refused("input q must be [2, 2, 4, 4], got [2, 3, 2, 4]", { outputs: initial });
  await refused("fused kernels must have the model", {}, { kernels: "fused" }, { ...model });
  await assertRejects(
    () => planMixerBackward(gpu!, model, { inputs, dOutputs: outputs, gradients: { ...gradients, w: outputs } }),
    InputError,
    "gradients must be among",
  );
  assertEquals(gpu!.bytes.live, live);
  run.close();
  // What is beyond the fused kernels goes to the generic one.
  const large: Dims = { B: 1, T: 2, H: 1, sizes: { K: 257, V: 1 } };
  const wide = await planned(model, large, caseOf(model, large));
  assertStringIncludes(wide.forward.variant, "generic");
  assertStringIncludes(wide.backward.variant, "generic");
  wide.close();
});
