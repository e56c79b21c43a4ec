/**
 * What every model of models/mod.ts must keep: a citation, described inputs, `lift` = `step` exactly, samples inside
 * their own contract, gates that really are long-lived, resumption at any split; and what the papers' code gets wrong.
 */
import { test } from "node:test";
import { assert, assertEquals, assertGreater, assertLessOrEqual, assertMatch, assertThrows } from "@std/assert";
import type { Index } from "../models/arith.ts";
import { type AnyAffineModel, type Axes, type Fields, type Sizes, stateColumns, stateRows } from "../models/affine.ts";
import { discretiseZoh } from "../models/zoh.ts";
import { fla, mamba, type NdArray } from "../models/convert/mod.ts";
import { deltaProductOf } from "../models/delta_product.ts";
import type { InputClass, Random } from "../models/domain.ts";
import { InputError } from "../models/error.ts";
import { collect, double, type RunResult, scanned, single, tokensOf } from "../models/execution.ts";
import { gatedDeltaNet } from "../models/gated_delta_net.ts";
import { gla } from "../models/gla.ts";
import {
  type Dims,
  inputEntries,
  type Inputs,
  microSteps,
  prepare,
  sampleInputs,
  sliceInputs,
} from "../models/inputs.ts";
import { minLstm } from "../models/min_lstm.ts";
import { models } from "../models/mod.ts";
import { f64 } from "../models/number.ts";
import { seeded } from "../models/random.ts";
import { type LaneState, modelMonoid, scanStates } from "../models/run.ts";
import { s6 } from "../models/s6.ts";
import { fieldShape, type FieldValues } from "../models/token.ts";
import { traceModel } from "../models/traced.ts";
import { type Dyadic, dyadic, equals, fromNumber } from "../oracle/dyadic.ts";
import { lanesOfStep, stepLanes, stepState, stepStates } from "../oracle/run.ts";
import { blelloch, chunked, sequential } from "../scan/mod.ts";

const sizes: Sizes = { K: 3, V: 2, D: 3, N: 2 };
const classes: readonly InputClass[] = ["random", "long-memory", "adversarial"];
const headsOf = (model: AnyAffineModel): number => model.heads ? 2 : 1;
const every = (model: AnyAffineModel, T: number): Dims => ({ B: 1, T, H: headsOf(model), sizes });

test("models: names are unique, lower case and joined by hyphens", () => {
  const names = models.map((model) => model.name);
  assertEquals(new Set(names).size, names.length);
  for (const name of names) assertMatch(name, /^[a-z0-9]+(-[a-z0-9]+)*$/);
});

for (const model of models) {
  test(`${model.name}: cites its paper and describes its inputs`, () => {
    assertMatch(model.paper.arxiv, /^\d{4}\.\d{5}$/);
    assertGreater(model.paper.title.length, 10);
    assertGreater(model.paper.where.length, 3);
    for (const [name, { domain, per, initial }] of inputEntries(model)) {
      assertMatch(name, /^[A-Za-z][A-Za-z]*$/, "an input is named by letters");
      assertMatch(domain.description, /^(an?|the) /, `${name} is described`);
      assert(initial === undefined || per === "parameter", `${name}: only a parameter has an initial value`);
    }
  });
}

// Small dyadic numbers: sums and products of a few steps of them are exact in f64.
const pool = [-2, -1, -0.5, 0, 0.5, 1, 1.5, 2];

function smallToken(model: AnyAffineModel, random: Random): FieldValues<number> {
  const pick = (values: readonly number[]): number => values[Math.floor(random() * values.length)]!;
  const from = (name: string): readonly number[] =>
    model.action !== "scaled"
      ? pool
      : name === "fm"
      ? [1, 1.5]
      : name === "fe"
      ? [-3, -1, 0]
      : name === "ie"
      ? [-2, 0, 5]
      : pool;
  return Object.fromEntries(
    Object.entries(model.fields as Fields).map(([name, axes]: [string, Axes]) => {
      const length = fieldShape(axes, sizes).reduce((product, n) => product * n, 1);
      return [name, Array.from({ length }, () => pick(from(name)))];
    }),
  );
}

function smallState(model: AnyAffineModel, random: Random): LaneState<number> {
  const value = (): number => pool[Math.floor(random() * pool.length)]!;
  return Array.from(
    { length: stateRows(model, sizes) * stateColumns(model, sizes) },
    () => model.action === "complex" ? [value(), value()] : model.action === "scaled" ? [value(), 2] : [value()],
  );
}

/** The first seed at which `lift` and `step` disagree over three tokens, or none. */
function firstDisagreement(model: AnyAffineModel): number | undefined {
  const monoid = modelMonoid<number>(f64, model, sizes);
  const same = (x: LaneState<number>, y: LaneState<number>): boolean => {
    // Through the state of `step`, so that a shared exponent counts as the number it stands for; −0 equals 0.
    const [a, b] = [x, y].map((lanes) => lanesOfStep(f64, model, stepState(f64, model, sizes, lanes)).flat());
    return a!.every((value, i) => value === b![i]);
  };
  for (let seed = 0; seed < 50; seed++) {
    const random = seeded("contract", model.name, seed);
    const tokens = [smallToken(model, random), smallToken(model, random), smallToken(model, random)];
    const initial = smallState(model, random);
    const [x, y, z] = tokens.map((token) => monoid.lift(token));
    const stepped = stepStates(f64, model, sizes, tokens, initial).at(-1)!;
    const left = monoid.apply(monoid.combine(monoid.combine(x!, y!), z!), initial);
    const right = monoid.apply(monoid.combine(x!, monoid.combine(y!, z!)), initial);
    const one = monoid.apply(x!, initial);
    const agree = same(one, stepLanes(f64, model, sizes, tokens[0]!, initial)) && same(left, stepped) &&
      same(right, stepped);
    if (!agree) return seed;
  }
  return undefined;
}

for (const model of models) {
  test(`${model.name}: lift equals step exactly`, () => assertEquals(firstDisagreement(model), undefined));

  test(`${model.name}: a lift that is wrong is seen`, () => {
    // deno-lint-ignore no-explicit-any -- a planted fault, written over the erased model
    const lift = (A: any, x: any, k: Index, v: Index, all: Required<Sizes>): any => {
      // deno-lint-ignore no-explicit-any -- as above
      const right = model.lift(A, x, k, v, all) as any;
      const twice = (n: number): number => A.mul(A.of(2), n);
      if (model.action === "matrix") return { E: right.E, F: (i: Index, j: Index) => twice(right.F(i, j)) };
      if (model.action === "complex") return { a: { re: right.a.re, im: A.neg(right.a.im) }, b: right.b };
      if (model.action === "scaled") return { ...right, c: twice(right.c) };
      return { a: right.a, b: twice(right.b) };
    };
    assert(firstDisagreement({ ...model, lift }) !== undefined);
  });

  test(`${model.name}: traces with symbolic indices, raw and activated`, () => {
    traceModel(model, sizes, "raw");
    traceModel(model, sizes, "activated");
  });
}

for (const model of models) {
  for (const kind of classes) {
    test(`${model.name}: ${kind} samples keep the contract and run to finite numbers`, async () => {
      const dims = every(model, 96);
      const inputs = sampleInputs(model, dims, kind, 1);
      prepare(model, dims, inputs);
      const { outputs, finalState } = await scanned(sequential, single).run(model, dims, inputs);
      assert(outputs.every(Number.isFinite), "outputs");
      assert(finalState.every(Number.isFinite), "final state");
    });
  }
}

/** The moduli of what multiplies the state in one token; for a matrix action its decays and the eigenvalue 1 − β. */
function multipliers(model: AnyAffineModel, token: FieldValues<number>): readonly number[] {
  if (model.action === "matrix") {
    const decays = token[model.name === "rwkv7" ? "d" : "a"] ?? [];
    return [...decays, ...(token.beta ?? []).map((beta) => Math.abs(1 - beta))];
  }
  const lanes = modelMonoid<number>(f64, model, sizes).lift(token) as readonly (readonly number[])[];
  return lanes.map(([a, b]) =>
    model.action === "complex" ? Math.hypot(a!, b!) : model.action === "scaled" ? a! * 2 ** b! : Math.abs(a!)
  );
}

for (const model of models) {
  for (const longest of [1, 64, 2 ** 20]) {
    test(`${model.name}: long-memory gates of T = ${longest} have 1 − a ≤ 1/T`, () => {
      const dims = every(model, 32);
      const batch = prepare(model, dims, sampleInputs(model, dims, "long-memory", 3, longest));
      for (let h = 0; h < dims.H; h++) {
        for (const token of tokensOf(f64, batch, 0, h)) {
          for (const a of multipliers(model, token)) {
            assertLessOrEqual(a, 1);
            // A parameter that is itself a gate, or a β near 2, was rounded to f32 once.
            assertLessOrEqual(1 - a, 1 / longest + 2 ** -23);
          }
        }
      }
    });
  }
}

test("adversarial gates include exact zeros and ones", () => {
  for (const name of ["hgrn", "gla", "qrnn", "min-gru", "gated-delta-net", "kda", "rwkv7", "retnet", "s4d"]) {
    const model = models.find((one) => one.name === name)!;
    // A parameter's gates are drawn once a run, so several runs are looked at.
    const seen = new Set<number>();
    for (let seed = 0; seed < 20; seed++) {
      const dims = every(model, 16);
      const batch = prepare(model, dims, sampleInputs(model, dims, "adversarial", seed));
      for (const token of tokensOf(f64, batch, 0, 0)) {
        for (const a of multipliers(model, token)) seen.add(Math.fround(a));
      }
    }
    assert(seen.has(1), `${name}: a gate of 1`);
    // 2^-149 is f32's least number, and e^-104 is below half of it.
    assert([...seen].some((a) => Math.abs(a) <= 2 ** -149), `${name}: a gate of 0`);
  }
});

const exact = (token: FieldValues<number>): FieldValues<Dyadic> =>
  Object.fromEntries(Object.entries(token).map(([name, values]) => [name, values.map(fromNumber)]));

for (const model of models) {
  test(`${model.name}: chunk-wise equals whole at every split, exactly`, () => {
    const dims: Dims = { B: 1, T: 11, H: 1, sizes };
    const batch = prepare(model, dims, sampleInputs(model, dims, "random", 5));
    const tokens = tokensOf(f64, batch, 0, 0).map(exact);
    const initial = smallState(model, seeded("split", model.name)).map((lane) => lane.map(fromNumber));
    const value = (lanes: LaneState<Dyadic>): readonly Dyadic[] =>
      lanes.flatMap((lane) => model.action === "scaled" ? [dyadic.scale2(lane[0]!, lane[1]!)] : [...lane]);
    const whole = stepStates(dyadic, model, sizes, tokens, initial).map(value);
    for (let split = 0; split <= tokens.length; split += microSteps(model)) {
      const first = scanStates(dyadic, model, sizes, tokens.slice(0, split), blelloch, initial);
      const second = scanStates(dyadic, model, sizes, tokens.slice(split), chunked(4), first.at(-1) ?? initial);
      [...first, ...second].map(value).forEach((state, t) =>
        state.forEach((x, lane) => assert(equals(x, whole[t]![lane]!), `split ${split}, token ${t}, number ${lane}`))
      );
    }
  });
}

// What the papers' code gets wrong.

const steps = (model: AnyAffineModel, dims: Dims, inputs: Inputs, initialState?: ArrayLike<number>): RunResult =>
  collect(
    f64,
    model,
    dims,
    inputs,
    initialState === undefined ? {} : { initialState },
    (tokens, initial) => stepStates(f64, model, dims.sizes, tokens, initial),
  );

const farthest = (x: ArrayLike<number>, y: ArrayLike<number>): number =>
  Array.from(x).reduce((worst, value, i) => Math.max(worst, Math.abs(value - y[i]!)), 0);

test("min-lstm: the parallel form equals the step form, and g applied in one of them only is seen", async () => {
  const dims: Dims = { B: 1, T: 64, H: 1, sizes: { D: 8 } };
  const inputs = sampleInputs(minLstm, dims, "random", 7);
  const stepped = steps(minLstm, dims, inputs).outputs;
  // f64, 64 convex combinations of numbers below 8: 3 roundings each.
  assertLessOrEqual(
    farthest((await scanned(blelloch, double).run(minLstm, dims, inputs)).outputs, stepped),
    64 * 8 * 2 ** -51,
  );
  const g = (x: number): number => x >= 0 ? x + 0.5 : 1 / (1 + Math.exp(-x));
  const once = { ...inputs, candidate: inputs.candidate!.map(g) };
  assertGreater(farthest((await scanned(blelloch, double).run(minLstm, dims, once)).outputs, stepped), 0.3);
});

function resumed(model: AnyAffineModel, dims: Dims, inputs: Inputs, split: number, restart: boolean): Float64Array {
  const early = { ...dims, T: split };
  const late = { ...dims, T: dims.T - split };
  const first = steps(model, early, sliceInputs(model, dims, inputs, 0, split));
  const second = steps(
    model,
    late,
    sliceInputs(model, dims, inputs, split, dims.T),
    restart ? undefined : first.finalState,
  );
  return Float64Array.from([...first.outputs, ...second.outputs]);
}

test("gated-delta-net: a cached forward goes on from its state, and a restart from zero is seen", () => {
  const dims: Dims = { B: 1, T: 20, H: 2, sizes: { K: 4, V: 3 } };
  const inputs = sampleInputs(gatedDeltaNet, dims, "random", 9);
  const whole = steps(gatedDeltaNet, dims, inputs).outputs;
  for (let split = 0; split <= dims.T; split++) {
    assertEquals(resumed(gatedDeltaNet, dims, inputs, split, false), whole as Float64Array);
  }
  assertGreater(farthest(resumed(gatedDeltaNet, dims, inputs, 10, true), whole), 0.01);
});

test("s6: starts from an initial state, which its code long did not take", () => {
  const dims: Dims = { B: 1, T: 20, H: 1, sizes: { D: 4, N: 3 } };
  const inputs = sampleInputs(s6, dims, "random", 11);
  const whole = steps(s6, dims, inputs).outputs;
  for (let split = 0; split <= dims.T; split++) {
    assertEquals(resumed(s6, dims, inputs, split, false), whole as Float64Array);
  }
  assertGreater(farthest(resumed(s6, dims, inputs, 10, true), whole), 0.01);
});

test("gla: 2000 shut gates give no NaN, in any schedule", async () => {
  const dims: Dims = { B: 1, T: 2000, H: 1, sizes: { K: 2, V: 1 } };
  const inputs = { ...sampleInputs(gla, dims, "random", 13), g: new Float32Array(dims.T * 2).fill(-Infinity) };
  for (const schedule of [sequential, blelloch, chunked(64)]) {
    const { outputs } = await scanned(schedule, single).run(gla, dims, inputs);
    assert(outputs.every(Number.isFinite), schedule.name);
  }
});

test("every model runs at lengths that are no power of two, and at 0", async () => {
  for (const model of models) {
    for (const T of [0, 1, 3, 7, 13]) {
      const dims = every(model, T);
      const inputs = sampleInputs(model, dims, "random", 15, 16);
      const { outputs } = await scanned(blelloch, double).run(model, dims, inputs);
      assert(outputs.every(Number.isFinite), `${model.name} at ${T}`);
    }
  }
});

// Single formulae that no golden vector holds.

test("delta-product: n_h = 1 is gated-delta-net", () => {
  const dims: Dims = { B: 1, T: 9, H: 2, sizes: { K: 4, V: 3 } };
  const inputs = sampleInputs(gatedDeltaNet, dims, "random", 17);
  const [one, other] = [deltaProductOf(1), gatedDeltaNet].map((model) => steps(model, dims, inputs).outputs);
  assertEquals(one, other!);
  assertThrows(() => deltaProductOf(0), InputError, "n_h must be a whole number ≥ 1, got 0");
});

test("rwkv7: with η = β in every channel and e^w = 1 it is delta-net's transition", () => {
  const random = seeded("rwkv7");
  const array = (shape: readonly number[], one: () => number): NdArray => ({
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, one),
  });
  const [B, T, H, K, V] = [1, 6, 1, 2, 2];
  const unit = [0.6, 0.8];
  const k: NdArray = { shape: [B, T, H, K], data: Float32Array.from({ length: T * K }, (_, i) => unit[i % 2]!) };
  const beta = array([B, T, H], random);
  const v = array([B, T, H, V], random);
  const q = array([B, T, H, K], random);
  const scaled = (x: NdArray, by: (i: number) => number): NdArray => ({
    shape: x.shape,
    data: Float64Array.from(x.data, (value, i) => value * by(i)),
  });
  const b = (i: number): number => beta.data[Math.floor(i / K)]!;
  const rwkv = fla.rwkv7({
    r: q,
    w: scaled(k, () => 0),
    k: scaled(k, b),
    v,
    a: scaled(k, () => -1),
    b: scaled(k, b),
    scale: 1 / Math.sqrt(K),
  });
  const delta = fla.deltaRule({ q, k, v, beta });
  const [x, y] = [rwkv, delta].map((call) => steps(call.model, call.dims, call.inputs).outputs);
  // Inputs of the two differ by their rounding to f32, 2^-24 each, over 6 steps of numbers below 4.
  assertLessOrEqual(farthest(x!, y!), 6 * 4 * 2 ** -22);
});

test("s4d: the zero-order hold reproduces the continuous system on a constant input", () => {
  // h' = A h + u from 0 has h(t) = (e^{At} − 1)/A · u.
  const [aRe, aIm, delta, T] = [-0.3, 2, 0.1, 25];
  const p = discretiseZoh({ aRe: [aRe], aIm: [aIm], bRe: [1], bIm: [0], delta: [delta] });
  const model = models.find(({ name }) => name === "s4d")!;
  const dims: Dims = { B: 1, T, H: 1, sizes: { D: 1, N: 1 } };
  const { finalState } = steps(model, dims, { u: new Float32Array(T).fill(1), ...p, cRe: [1], cIm: [0] });
  const [e, angle] = [Math.exp(aRe * delta * T), aIm * delta * T];
  const [x, y, square] = [e * Math.cos(angle) - 1, e * Math.sin(angle), aRe ** 2 + aIm ** 2];
  const truth = [(x * aRe + y * aIm) / square, (y * aRe - x * aIm) / square];
  // ā and b̄ were rounded to f32 (2^-24), and T steps carry the rounding of ā along.
  assertLessOrEqual(farthest(finalState, truth), 4 * T * 2 ** -24);
  assertThrows(
    () => discretiseZoh({ aRe: [0.1], aIm: [0], bRe: [1], bIm: [0], delta: [1] }),
    InputError,
    "real part ≤ 0, got 0.1",
  );
});

test("s4d: a rounded ā never leaves the unit disc", () => {
  const n = 2000;
  const aIm = Float64Array.from({ length: n }, (_, i) => i * 0.37);
  const zero = new Float64Array(n);
  const p = discretiseZoh({ aRe: zero, aIm, bRe: zero, bIm: zero, delta: new Float64Array(n).fill(0.1) });
  for (let i = 0; i < n; i++) assertLessOrEqual(p.aRe[i]! ** 2 + p.aIm[i]! ** 2, 1);
});

test("selective_scan: Δ given without a softplus, and no gate, mean the same", () => {
  const random = seeded("selective");
  const array = (shape: readonly number[]): NdArray => ({
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, random),
  });
  const [B, D, L, N] = [1, 2, 5, 3];
  const given = { u: array([B, D, L]), delta: array([B, D, L]), B: array([B, N, L]), C: array([B, N, L]) };
  const A: NdArray = { shape: [D, N], data: Float32Array.from({ length: D * N }, () => -random() - 0.1) };
  const softplus = (x: number): number => Math.log1p(Math.exp(x));
  const direct = { shape: given.delta.shape, data: Float64Array.from(given.delta.data, softplus) };
  const [x, y] = [
    mamba.selectiveScan({ ...given, A }),
    mamba.selectiveScan({ ...given, A, delta: direct, deltaSoftplus: false }),
  ].map((call) => steps(call.model, call.dims, call.inputs).outputs);
  // The second δ was rounded to f32 again after the detour.
  assertLessOrEqual(farthest(x!, y!), 32 * 2 ** -22);
});

test("converters: shapes that disagree are an input error", () => {
  const x: NdArray = { shape: [1, 2, 1, 3], data: new Float32Array(6) };
  const bad: NdArray = { shape: [1, 2, 1, 2], data: new Float32Array(4) };
  assertThrows(
    () => fla.gla({ q: x, k: x, v: x, g: bad }),
    InputError,
    "g must have shape [1, 2, 1, 3], got [1, 2, 1, 2]",
  );
});
