/**
 * What published code of these models gets wrong: for each fault a test that this kit does not have it, and a control
 * in which the planted fault is seen. (What is held to upstream references is in models_golden_test.ts.)
 */
import { after, test } from "node:test";
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { gpuExecution } from "../kernels/scan.ts";
import { type AnyAffineModel, outputColumns, type Sizes, stateColumns, stateRows } from "../models/affine.ts";
import type { Analytic, ScaledRing } from "../models/arith.ts";
import { backward } from "../models/backward.ts";
import { logGate } from "../models/domain.ts";
import {
  collect,
  double,
  type Execution,
  type GradientOptions,
  type GradientResult,
  type RunResult,
  scanned,
} from "../models/execution.ts";
import { gatedDeltaNet } from "../models/gated_delta_net.ts";
import { gla } from "../models/gla.ts";
import { traceGradient } from "../models/gradient.ts";
import { heinsen, logSpaceErrors } from "../models/heinsen.ts";
import {
  type Batch,
  type Dims,
  inputEntries,
  type Inputs,
  microSteps,
  prepare,
  sampleInputs,
  sliceInputs,
  stateLength,
  stateWidth,
} from "../models/inputs.ts";
import { minGru } from "../models/min_gru.ts";
import { minLstm } from "../models/min_lstm.ts";
import { models } from "../models/mod.ts";
import { modular } from "../models/modular.ts";
import { f32, f64 } from "../models/number.ts";
import { seeded } from "../models/random.ts";
import { type Element, type LaneState, modelMonoid, scanStates } from "../models/run.ts";
import { s6, selectiveScan } from "../models/s6.ts";
import type { FieldValues } from "../models/token.ts";
import { wgslAccuracy } from "../models/accuracy.ts";
import { judgeOf } from "../oracle/allowance.ts";
import { residueTokens } from "../oracle/checks/exact.ts";
import { type Verdict, withinRadius } from "../oracle/compare.ts";
import { argumentPlace, argumentsOf, sequenceGradient } from "../oracle/gradient.ts";
import { gradientBound } from "../oracle/gradient_bound.ts";
import { type Reference, reference } from "../oracle/reference.ts";
import { recurrent, stepStates } from "../oracle/run.ts";
import { blelloch, chunked, Counter, counter, type CounterState, type Schedule } from "../scan/mod.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("the field's known faults on a GPU");
after(() => gpu?.close());

const prime = modular(65521);
const schedules: readonly Schedule[] = [blelloch, chunked(16), counter];
const executions: readonly Execution[] = [recurrent(), ...schedules.map((schedule) => scanned(schedule))];
const onGpu: readonly Execution[] = gpu === null ? [] : [gpuExecution(gpu)];

const extent = (T: number): Dims => ({ B: 1, T, H: 1, sizes: { K: 4, V: 3, D: 3, N: 2 } });
/** The sizes of exact runs (what they show is structure) and of the longest. */
const few: Sizes = { K: 2, V: 1, D: 2, N: 1 };

/** Inputs of a model with the truth of their run from a state that is not zero. */
interface Given {
  readonly model: AnyAffineModel;
  readonly dims: Dims;
  readonly inputs: Inputs;
  readonly initialState: Float32Array;
  readonly truth: Reference;
}

/** Numbers of ordinary size in the shape of a state; exponents 0. */
function someState(model: AnyAffineModel, dims: Dims): Float32Array {
  const random = seeded(3, "state", model.name);
  const exponent = (n: number): boolean => model.action === "scaled" && n % stateWidth(model) === 1;
  return Float32Array.from({ length: stateLength(model, dims) }, (_, n) => exponent(n) ? 0 : 2 * random() - 1);
}

function given(model: AnyAffineModel, dims: Dims, changed: Inputs = {}): Given {
  const inputs = { ...sampleInputs(model, dims, "random", 11), ...changed };
  const initialState = someState(model, dims);
  return { model, dims, inputs, initialState, truth: reference(model, dims, inputs, initialState) };
}

/**
 * Whether an execution's floats have a derived bound: not those of a matrix action scanned as a tree of products (its
 * structure is checked over a finite ring), nor a shared exponent's unstabilised step.
 */
function bounded({ action }: AnyAffineModel, { scans = false, accelerated = false }: Execution): boolean {
  return action === "matrix" ? !scans || accelerated : action !== "scaled" || scans;
}

function run(execution: Execution, { model, dims, inputs, initialState }: Given): Promise<RunResult> {
  return execution.run(model, dims, inputs, { initialState, states: model.action === "matrix" });
}

function verdictOf(execution: Execution, { truth, dims }: Given, result: RunResult): Verdict {
  return judgeOf(truth, execution.rounding).judge(result, dims.T);
}

function assertWithin(verdict: Verdict, what: string): void {
  assert(verdict.ok, `${what}: ${JSON.stringify(verdict.first)}`);
  assertEquals(verdict.planted, "seen", `${what}: the bound is too wide to see a fault of 2^-10`);
}

// deno-lint-ignore no-explicit-any -- a planted fault, written over the erased model
type Loose = any;

/** A state over F_65521 that is not zero. */
function residueState(model: AnyAffineModel): LaneState<number> {
  return Array.from({ length: stateRows(model, few) * stateColumns(model, few) }, (_, lane) => [
    lane + 7,
    ...(stateWidth(model) === 2 ? [model.action === "scaled" ? 0 : lane + 9] : []),
  ]);
}

/** What `step` and the scan under test are given over F_65521, and the states `step` visits. */
interface Residues {
  readonly model: AnyAffineModel;
  readonly tokens: readonly FieldValues<number>[];
  readonly initial: LaneState<number>;
  readonly truth: readonly LaneState<number>[];
}

function residues(model: AnyAffineModel, T: number): Residues {
  const tokens = residueTokens(model, few, T * microSteps(model), 5);
  const initial = residueState(model);
  return { model, tokens, initial, truth: stepStates(prime, model, few, tokens, initial) };
}

function sameStates(got: readonly LaneState<number>[], want: readonly LaneState<number>[]): boolean {
  return got.length === want.length &&
    want.every((state, s) => state.every((lane, l) => lane.every((x, c) => got[s]![l]![c] === x)));
}

// Parallel and step forms that disagree

/**
 * A popular minLSTM: its parallel form takes exp(log_g(h̃)) = h̃ + 1/2 where h̃ ≥ 0 and σ(h̃) elsewhere for the candidate,
 * its step form h̃ itself.
 */
const minLstmOfTheField: AnyAffineModel = {
  ...minLstm,
  lift(A: Loose, x: Loose, _: Loose, d: Loose) {
    const raw = x.candidate(d) as number;
    return { a: x.f(d), b: A.mul(x.i(d), raw >= 0 ? raw + 0.5 : f64.sigmoid(raw)) } as Loose;
  },
};

/** The largest difference between the outputs of the step and the parallel form, in f64. */
async function disagreement(model: AnyAffineModel): Promise<number> {
  const { dims, inputs, initialState } = given(model, extent(200));
  const [step, parallel] = await Promise.all(
    [recurrent(double), scanned(blelloch, double)].map((form) => form.run(model, dims, inputs, { initialState })),
  );
  return Math.max(...Array.from(step!.outputs, (x, n) => Math.abs(x - parallel!.outputs[n]!)));
}

test("the parallel form of minLSTM is its step form, with the candidate as it is", async () => {
  const run200 = given(minLstm, extent(200));
  for (const execution of executions) {
    assertWithin(verdictOf(execution, run200, await run(execution, run200)), execution.name);
  }
  assertLess(await disagreement(minLstm), 2 ** -40);
});

test("control: a candidate activated in the parallel form only is seen", async () => {
  assertGreater(await disagreement(minLstmOfTheField), 0.3);
  const run200 = given(minLstm, extent(200));
  const result = await run(scanned(blelloch), { ...run200, model: minLstmOfTheField });
  assert(!verdictOf(scanned(blelloch), run200, result).ok, "the bound is blind to it");
});

test("the parallel form of every model is its step form, to the last bit", () => {
  for (const model of models) {
    const { tokens, initial, truth } = residues(model, 200);
    for (const schedule of schedules) {
      assert(
        sameStates(scanStates(prime, model, few, tokens, schedule, initial), truth),
        `${model.name} ${schedule.name}`,
      );
    }
  }
});

// Cached forwards that restart from zero; chunk-wise inference that differs from whole

/** Runs `split` tokens, then the rest from the state that came back (or, as the fault, from `restart`). */
async function inTwo(
  execution: Execution,
  { model, dims, inputs, initialState }: Given,
  split: number,
  restart?: ArrayLike<number>,
): Promise<RunResult> {
  const states = model.action === "matrix";
  const part = (from: number, to: number, start: ArrayLike<number>): Promise<RunResult> =>
    execution.run(model, { ...dims, T: to - from }, sliceInputs(model, dims, inputs, from, to), {
      initialState: start,
      states,
    });
  const first = await part(0, split, initialState);
  const rest = await part(split, dims.T, restart ?? first.finalState);
  const join = (x: ArrayLike<number>, y: ArrayLike<number>): Float64Array =>
    Float64Array.from([...Array.from(x), ...Array.from(y)]);
  return {
    outputs: join(first.outputs, rest.outputs),
    finalState: rest.finalState,
    ...(states ? { states: join(first.states!, rest.states!) } : {}),
  };
}

const SPLIT_T = 40;
const splits = Array.from({ length: SPLIT_T + 1 }, (_, split) => split);

/** The verdicts on a model run in two at each split. Splits are run at once, for a GPU's sake: it waits between calls. */
function verdictsInTwo(execution: Execution, whole: Given, restart?: ArrayLike<number>): Promise<Verdict[]> {
  const judge = judgeOf(whole.truth, execution.rounding);
  return Promise.all(
    splits.map(async (split) => judge.judge(await inTwo(execution, whole, split, restart), SPLIT_T)),
  );
}

test("Gated DeltaNet goes on from its cached state at every split", async () => {
  const whole = given(gatedDeltaNet, extent(SPLIT_T));
  for (const execution of [recurrent(), ...onGpu]) {
    const verdicts = await verdictsInTwo(execution, whole);
    verdicts.forEach((verdict, split) => assertWithin(verdict, `${execution.name}, split at ${split}`));
  }
});

test("control: a cached forward of Gated DeltaNet that restarts from zero is seen at every split", async () => {
  const whole = given(gatedDeltaNet, extent(SPLIT_T));
  const zero = new Float32Array(whole.initialState.length);
  for (const execution of [recurrent(), ...onGpu]) {
    const verdicts = await verdictsInTwo(execution, whole, zero);
    // At the last split nothing is left to go on with; the final state tells.
    verdicts.forEach((verdict, split) => assert(!verdict.ok, `${execution.name}, split at ${split}`));
  }
});

/** The states of one schedule run to a split and on from the state that was reached. */
function statesInTwo({ model, tokens, initial }: Residues, schedule: Schedule, split: number): LaneState<number>[] {
  const first = scanStates(prime, model, few, tokens.slice(0, split), schedule, initial);
  return [...first, ...scanStates(prime, model, few, tokens.slice(split), schedule, first.at(-1) ?? initial)];
}

/** The states of a counter saved as text at a split and restored elsewhere. */
function countedInTwo({ model, tokens, initial }: Residues, split: number): LaneState<number>[] {
  const monoid = modelMonoid(prime, model, few);
  let stream = new Counter<Element<number>>(monoid);
  return tokens.map((token, s) => {
    if (s === split) {
      const saved = JSON.stringify(stream.save());
      stream = new Counter<Element<number>>(monoid);
      stream.restore(JSON.parse(saved) as CounterState<Element<number>>);
    }
    stream.push(monoid.lift(token));
    return monoid.apply(stream.prefix()!, initial);
  });
}

test("chunk-wise inference is the whole, to the last bit, for every model, schedule and split", () => {
  for (const model of models) {
    const whole = residues(model, SPLIT_T);
    for (const split of splits) {
      const at = split * microSteps(model);
      for (const schedule of schedules) {
        assert(
          sameStates(statesInTwo(whole, schedule, at), whole.truth),
          `${model.name} ${schedule.name}, split at ${split}`,
        );
      }
      assert(sameStates(countedInTwo(whole, at), whole.truth), `${model.name} saved counter, split at ${split}`);
    }
  }
});

test("chunk-wise inference in f32 is within the bound of the whole, for every model, execution and split", async () => {
  for (const model of models) {
    const whole = given(model, extent(SPLIT_T));
    for (const execution of executions.filter((each) => bounded(model, each))) {
      const verdicts = await verdictsInTwo(execution, whole);
      verdicts.forEach((verdict, split) => assertWithin(verdict, `${model.name} ${execution.name}, split at ${split}`));
    }
  }
});

test("control: a chunk that starts from the state one token early is seen at every split", () => {
  for (const model of models) {
    const { tokens, initial, truth } = residues(model, SPLIT_T);
    for (let s = 1; s < tokens.length; s++) {
      const early = s === 1 ? initial : truth[s - 2]!;
      const rest = scanStates(prime, model, few, tokens.slice(s), blelloch, early);
      assert(!sameStates(rest, truth.slice(s)), `${model.name}, split at ${s}`);
    }
  }
});

// Mamba without an initial state

test("Mamba starts from the initial state it is given", async () => {
  for (const model of [s6, selectiveScan({ gated: false }), models.find(({ name }) => name === "mamba2")!]) {
    const run65 = given(model, extent(65));
    for (const execution of [...executions, ...onGpu]) {
      assertWithin(verdictOf(execution, run65, await run(execution, run65)), `${model.name} ${execution.name}`);
    }
  }
});

test("control: a Mamba that ignores its initial state is seen", async () => {
  const run65 = given(s6, extent(65));
  for (const execution of [...executions, ...onGpu]) {
    const { finalState, outputs } = await execution.run(s6, run65.dims, run65.inputs);
    assert(!verdictOf(execution, run65, { finalState, outputs }).ok, execution.name);
  }
});

// NaN at long lengths

const LONG = 4096;
/** Decays by e^-4 a token on average: products leave f32 after some 22 tokens. */
function strongGates(length: number): Float32Array {
  const random = seeded(17, "strong gates");
  return Float32Array.from({ length }, () => -8 * random());
}

/** The name of a model's log gate, if it takes one. */
function logGateOf(model: AnyAffineModel): string | undefined {
  return inputEntries(model).find(([, { domain, per }]) => domain === logGate && per !== "parameter")?.[0];
}

function longRun(model: AnyAffineModel): Given {
  const name = logGateOf(model)!;
  const dims = { ...extent(LONG), sizes: few };
  return given(model, dims, { [name]: strongGates(sampleInputs(model, dims, "random", 1)[name]!.length) });
}

/**
 * GLA's states as written with cumulative decays, `P_t Σ_s (k_s v_s) / P_s` with `P_t = exp(Σ g)`, in f32: how many
 * numbers of them are not finite, and the first token of one.
 */
function cumulativeDecay({ dims: { T, sizes }, inputs }: Given): { bad: number; first: number } {
  const [K, V] = [sizes.K!, sizes.V!];
  let [bad, first] = [0, -1];
  for (let k = 0; k < K; k++) {
    for (let v = 0; v < V; v++) {
      let [cumulative, sum] = [0, 0];
      for (let t = 0; t < T; t++) {
        cumulative = f32.add(cumulative, inputs.g![t * K + k]!);
        const P = f32.exp(cumulative);
        sum = f32.add(sum, f32.div(f32.mul(inputs.k![t * K + k]!, inputs.v![t * V + v]!), P));
        if (Number.isFinite(f32.mul(P, sum))) continue;
        bad++;
        if (first < 0 || t < first) first = t;
      }
    }
  }
  return { bad, first };
}

test(`strong decays stay finite and within their bound at T = ${LONG}, for every model with a log gate`, async () => {
  const gated = models.filter((model) => logGateOf(model) !== undefined);
  assertGreater(gated.length, 4);
  for (const model of gated) {
    const long = longRun(model);
    for (const execution of [...executions, ...onGpu]) {
      const result = await run(execution, long);
      const what = `${model.name} ${execution.name}`;
      assert(result.outputs.every(Number.isFinite) && result.finalState.every(Number.isFinite), what);
      if (bounded(model, execution)) assertWithin(verdictOf(execution, long, result), what);
    }
  }
});

test("control: exp of a cumulative decay gives NaN on the same inputs", () => {
  const { bad, first } = cumulativeDecay(longRun(gla));
  assertLess(first, 64);
  assertGreater(bad, LONG);
});

// Log-space scans

test("a log-space scan loses accuracy with T while the plain recurrence stays", () => {
  const [short, long] = logSpaceErrors([2 ** 8, 2 ** 14], 1) as [Measured, Measured];
  assertGreater(short.logSpace, 4e-6);
  assertGreater(long.logSpace, 8 * short.logSpace);
  // Each h_t is a mean of non-negative terms: its error is some u/(1 − a), whatever t is.
  assertLess(long.plain, 4 * short.plain);
  assertLess(long.plain, 2 ** -20);
});
type Measured = ReturnType<typeof logSpaceErrors>[number];

test("every execution is within its bound where the log-space scan is not", async () => {
  const long = given(minGru, extent(LONG));
  for (const execution of [...executions, ...onGpu]) {
    assertWithin(verdictOf(execution, long, await run(execution, long)), execution.name);
  }
  const verdict = verdictOf(recurrent(), long, await run(heinsen(), long));
  assert(!verdict.ok && verdict.ratio > 100, `control: the log-space scan is not seen, ratio ${verdict.ratio}`);
});

// "fp32" that is tf32 inside

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);
/** To 10 mantissa bits, to nearest, ties to even: what a tensor core does to the factors of a product. */
function toTf32(x: number): number {
  float[0] = x;
  const bits = word[0]!;
  word[0] = (bits + 0xfff + (bits >>> 13 & 1)) & ~0x1fff;
  return float[0];
}
const tf32: Analytic<number> = { ...f32, mul: (x, y) => f32.mul(toTf32(x), toTf32(y)) };

/** An execution with f32's gates and read-outs, and the products of its states in `A`, that calls itself f32. */
function productsIn(A: ScaledRing<number>, of: Execution): Execution {
  return {
    ...of,
    run: (model, dims, inputs, options = {}) =>
      Promise.resolve(
        collect(f32, model, dims, inputs, options, (tokens, initial) =>
          of.scans === true
            ? scanStates(A, model, dims.sizes, tokens, blelloch, initial)
            : stepStates(A, model, dims.sizes, tokens, initial)),
      ),
  };
}

for (const model of models) {
  test(`${model.name}: "f32" is f32 inside, and a tf32 is seen`, async () => {
    const run65 = given(model, extent(65));
    for (const execution of [recurrent(), scanned(blelloch)].filter((each) => bounded(model, each))) {
      const honest = productsIn(f32, execution);
      assertWithin(verdictOf(execution, run65, await run(honest, run65)), execution.name);
      const verdict = verdictOf(execution, run65, await run(productsIn(tf32, execution), run65));
      assert(!verdict.ok, `control: ${execution.name} with products in tf32 is within the bound`);
    }
  });
}

// Gradients that ignore the final state

/** Gradients by reverse mode on the CPU in f32. */
const onCpu: Execution = {
  ...recurrent(),
  gradients: (model, dims, inputs, options): Promise<GradientResult> => {
    const { inputs: by, initialState } = backward(f32, prepare(model, dims, inputs), options, options.initialState);
    return Promise.resolve({
      inputs: Object.fromEntries(Object.entries(by).map(([name, x]) => [name, Float64Array.from(x)])),
      initialState: Float64Array.from(initialState),
    });
  },
};

/** Judges gradients of Σ dS·S_T alone: nothing is read, so all there is comes through the final state. */
function finalStateJudge(model: AnyAffineModel, T: number): {
  readonly batch: Batch;
  readonly inputs: Inputs;
  readonly options: Required<GradientOptions>;
  judge(result: GradientResult): Verdict;
} {
  const { dims, inputs, initialState } = given(model, extent(T));
  const batch = prepare(model, dims, inputs);
  const options = {
    outputs: new Float32Array(T * outputColumns(model, dims.sizes)),
    finalState: someState({ ...model, name: `${model.name} cotangent` }, dims),
    initialState,
  };
  const wanted = argumentsOf(batch);
  const want = sequenceGradient(batch, 0, 0, initialState, options, wanted);
  const bound = gradientBound(traceGradient(model, dims.sizes), batch, initialState, options, wgslAccuracy);
  const places = wanted.map((argument) => argumentPlace(model, batch, argument));
  const allowed = places.map(({ name, index }) => (name === undefined ? bound.initial : bound.inputs[name]!)[index]!.r);
  return {
    batch,
    inputs,
    options,
    judge: ({ inputs: by, initialState: initial }) =>
      withinRadius(
        places.map(({ name, index }) => (name === undefined ? initial : by[name]!)[index]!),
        want,
        allowed,
      ),
  };
}

test("gradients take in the final state, for every model", async () => {
  for (const model of models) {
    const { batch, inputs, options, judge } = finalStateJudge(model, 5);
    for (const execution of [onCpu, ...onGpu]) {
      const result = await execution.gradients!(model, batch.dims, inputs, options);
      assertWithin(judge(result), `${model.name} ${execution.name}`);
    }
  }
});

test("control: gradients that ignore the final state are seen, for every model", async () => {
  for (const model of models) {
    const { batch, inputs, options: { outputs, initialState }, judge } = finalStateJudge(model, 5);
    const result = await onCpu.gradients!(model, batch.dims, inputs, { outputs, initialState });
    assert(!judge(result).ok, model.name);
  }
});

// T restricted to powers of 2

const lengths = Array.from({ length: 131 }, (_, T) => T);

test("every model is its step at every T from 0 to 130, to the last bit", () => {
  for (const model of models) {
    const { tokens, initial, truth } = residues(model, 130);
    for (const T of lengths) {
      const steps = T * microSteps(model);
      for (const schedule of schedules) {
        const got = scanStates(prime, model, few, tokens.slice(0, steps), schedule, initial);
        assert(sameStates(got, truth.slice(0, steps)), `${model.name} ${schedule.name}, T = ${T}`);
      }
    }
  }
});

test("every execution gives T outputs within their bound at every T from 0 to 130", async () => {
  for (const model of [gla, gatedDeltaNet]) {
    const { dims, inputs, initialState, truth } = given(model, extent(130));
    const states = model.action === "matrix";
    for (const execution of [...executions, ...onGpu].filter((each) => bounded(model, each))) {
      const judge = judgeOf(truth, execution.rounding);
      const checked = async (T: number): Promise<void> => {
        const own = sliceInputs(model, dims, inputs, 0, T);
        const result = await execution.run(model, { ...dims, T }, own, { initialState, states });
        assertEquals(result.outputs.length, T * outputColumns(model, dims.sizes));
        const verdict = judge.judge(result, T);
        assert(verdict.ok, `${model.name} ${execution.name}, T = ${T}: ${JSON.stringify(verdict.first)}`);
      };
      // Several at a time, since each is mostly waiting; not all, since a device's wrapper may hold only so many buffers.
      for (let from = 0; from < lengths.length; from += 16) {
        await Promise.all(lengths.slice(from, from + 16).map(checked));
      }
    }
  }
});

/** A scan of the largest power of 2 that fits; what is left is started anew. */
const powersOf2: Schedule = {
  ...blelloch,
  inclusive(op, xs) {
    const whole = xs.length === 0 ? 0 : 2 ** Math.floor(Math.log2(xs.length));
    return [...blelloch.inclusive(op, xs.slice(0, whole)), ...blelloch.inclusive(op, xs.slice(whole))];
  },
};

test("control: a scan that is right for powers of 2 only is seen at every other T", () => {
  for (const model of models.filter((each) => microSteps(each) === 1)) {
    const { tokens, initial, truth } = residues(model, 130);
    for (const T of lengths) {
      const right = T === 0 || Number.isInteger(Math.log2(T));
      const got = scanStates(prime, model, few, tokens.slice(0, T), powersOf2, initial);
      assertEquals(sameStates(got, truth.slice(0, T)), right, `${model.name}, T = ${T}`);
    }
  }
});
