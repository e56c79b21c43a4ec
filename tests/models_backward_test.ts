/** `backward` is the derivative of the definition: for every model, against dual numbers and finite differences. */

import { test } from "node:test";
import { assert, assertAlmostEquals, assertGreater, assertThrows } from "@std/assert";
import type { AnyAffineModel, InputSpecs } from "../models/affine.ts";
import type { Index } from "../models/arith.ts";
import { backward, type Cotangents, sequenceStages } from "../models/backward.ts";
import type { InputClass } from "../models/domain.ts";
import { InputError } from "../models/error.ts";
import { backAction, stateCotangents, type TracedGradient, traceGradient } from "../models/gradient.ts";
import { type Dims, prepare, sliceInputs } from "../models/inputs.ts";
import { rawValues } from "../models/token.ts";
import { lanesOf, tokensOf } from "../models/execution.ts";
import { models } from "../models/mod.ts";
import { f64 } from "../models/number.ts";
import { scanStates } from "../models/run.ts";
import type { Expr } from "../models/symbolic.ts";
import { evaluator } from "../models/evaluate.ts";
import { sequential } from "../scan/mod.ts";
import { certified } from "../oracle/activations.ts";
import { constant, type Dual, dual, gradient, variable } from "../oracle/dual.ts";
import { type Dyadic, fromNumber, sign, toNumber } from "../oracle/dyadic.ts";
import { argumentsOf, type Case, eachArgument, gradientCase, loss } from "./gradient_truth.ts";

interface Worst {
  readonly error: number;
  readonly size: number;
  readonly where: string;
}

/** The largest difference between two gradients and the largest number in the second. */
function compare(
  given: Case,
  got: (name: string, n: number) => number,
  want: (name: string, n: number) => number,
): Worst {
  let [error, size, where] = [0, 0, "nowhere"];
  eachArgument(given, (name, n) => {
    size = Math.max(size, Math.abs(want(name, n)));
    const difference = Math.abs(got(name, n) - want(name, n));
    if (difference <= error) return;
    [error, where] = [difference, `${name}[${n}]: got ${got(name, n)}, want ${want(name, n)}`];
  });
  return { error, size, where };
}

/** Central differences of the f64 loss. */
function differences(given: Case): (name: string, n: number) => number {
  const args = argumentsOf((x) => x, given);
  return (name, n) => {
    const values = (name === "initial state" ? args.initialState : args.inputs[name]) as number[];
    const x = values[n]!;
    const h = 2 ** -17 * Math.max(1, Math.abs(x));
    values[n] = x + h;
    const above = loss(f64, given, args);
    values[n] = x - h;
    const below = loss(f64, given, args);
    values[n] = x;
    return (above - below) / (2 * h);
  };
}

/** The derivatives of the certified loss by dual numbers. */
function exactGradient(given: Case): (name: string, n: number) => Dyadic {
  let variables = 0;
  const index = new Map<string, number>();
  eachArgument(given, (name, n) => index.set(`${name} ${n}`, variables++));
  const plain = argumentsOf(fromNumber, given);
  const seeded = (name: string, values: readonly Dyadic[]): Dual<Dyadic>[] =>
    values.map((x, n) => {
      const own = index.get(`${name} ${n}`);
      return own === undefined ? constant(x) : variable(certified, x, own);
    });
  const total = loss(dual(certified, sign), given, {
    inputs: Object.fromEntries(Object.entries(plain.inputs).map(([name, values]) => [name, seeded(name, values)])),
    initialState: seeded("initial state", plain.initialState),
  });
  const partials = gradient(certified, total, variables);
  return (name, n) => partials[index.get(`${name} ${n}`)!]!;
}

function floatBackward(given: Case): (name: string, n: number) => number {
  const got = backward(f64, prepare(given.model, given.dims, given.inputs), given, given.initialState);
  return (name, n) => name === "initial state" ? got.initialState[n]! : got.inputs[name]![n]!;
}

/**
 * Both sides round functions, quotients and roots at 2^-95 of themselves and nothing else; there are fewer than 2^10 of
 * them in these cases, and no derivative of what follows one exceeds the largest gradient by more than 2^10.
 */
const CERTIFIED = 2 ** -75;
/** Truncation h²·f‴/6 at h = 2^-17, third derivatives up to 2^8 times the largest first one; cancellation 2^-53/h. */
const DIFFERENCES = 2 ** -27;

/** The difference to the derivative of the definition, as a share of the largest derivative (or of 1). */
function certifiedError(given: Case, options: { planted?: TracedGradient; cotangents?: Cotangents } = {}): Worst {
  const { model, dims, inputs, initialState } = given;
  const planted = options.planted ?? traceGradient(model, dims.sizes);
  const found = backward(certified, prepare(model, dims, inputs), options.cotangents ?? given, initialState, planted);
  const got = (name: string, n: number): Dyadic =>
    name === "initial state" ? found.initialState[n]! : found.inputs[name]![n]!;
  const want = exactGradient(given);
  const { error, where } = compare(given, (name, n) => toNumber(certified.sub(got(name, n), want(name, n))), () => 0);
  const { size } = compare(given, () => 0, (name, n) => toNumber(want(name, n)));
  return { error: error / Math.max(1, size), size, where };
}

function assertGradient(given: Case): void {
  const { error, size, where } = certifiedError(given);
  assert(error <= CERTIFIED, `${given.model.name}: off by ${error} of ${size} at ${where}`);
}

const kinds: readonly InputClass[] = ["random", "long-memory", "adversarial"];

for (const model of models) {
  for (const T of [0, 1, 4]) {
    for (const kind of kinds) {
      test(`backward ${model.name} is the derivative by dual numbers, T = ${T}, ${kind}`, () => {
        assertGradient(gradientCase(model, T, { kind }));
      });
    }
  }
  test(`backward ${model.name} is the limit of differences, T = 7`, () => {
    const given = gradientCase(model, 7, { B: 1 });
    const { error, size, where } = compare(given, floatBackward(given), differences(given));
    assert(error <= DIFFERENCES * Math.max(1, size), `${where}; largest ${size}`);
  });
  test(`backward ${model.name} takes the cotangent of the final state alone`, () => {
    const given = gradientCase(model, 3);
    const silent = { ...given, outputs: new Float32Array(given.outputs.length) };
    assertGradient(silent);
    const none = backward(
      f64,
      prepare(model, given.dims, given.inputs),
      { outputs: silent.outputs },
      given.initialState,
    );
    const zero = (values: readonly number[]): boolean => values.every((x) => x === 0);
    assert(Object.values(none.inputs).every(zero), "without cotangents there is no gradient");
  });
}

/** What a fault must at least be off by, far above every tolerance here. */
const VISIBLE = 2 ** -20;

for (const model of models) {
  const given = gradientCase(model, 3);
  test(`backward ${model.name} is refuted when the cotangent of the final state is dropped`, () => {
    assertGreater(certifiedError(given, { cotangents: { outputs: given.outputs } }).error, VISIBLE);
  });
  test(`backward ${model.name} is refuted when λ is a token late or early`, () => {
    const traced = traceGradient(model, given.dims.sizes);
    const shifted: AnyAffineModel = { ...model, reads: model.reads === "pre" ? "post" : "pre" };
    assertGreater(certifiedError(given, { planted: { ...traced, model: shifted } }).error, VISIBLE);
  });
  test(`backward ${model.name} is refuted when λ moves with E instead of its transpose`, () => {
    const traced = traceGradient(model, given.dims.sizes);
    const planted = certifiedError(given, { planted: { ...traced, pull: untransposed(traced) } }).error;
    if (asymmetric(model)) assertGreater(planted, VISIBLE);
    else assert(planted <= CERTIFIED, "a diagonal or symmetric E is its own transpose");
  });
}

/** Whether E differs from its transpose: complex factors (whose real form is a rotation) and these matrices. */
function asymmetric(model: AnyAffineModel): boolean {
  return model.action === "complex" || model.name === "kda" || model.name === "rwkv7";
}

/** λ ↦ Eλ, from `next` with λ for the state and without what it adds: next(λ) − next(0). */
function untransposed({ algebra: A, next, cotangents }: TracedGradient): Expr[] {
  return next.slice(0, cotangents).map((expr) => {
    const at = (entry: (k: Index, v: Index, component: 0 | 1) => Expr): Expr => {
      const state = (k: Index, v: Index, component: 0 | 1): Expr =>
        component < cotangents ? entry(k, v, component) : A.state(k, v, component);
      return evaluator<Expr>(A, { load: A.load, state }).value(expr);
    };
    return A.sub(at((k, v, component) => A.load(stateCotangents[component], [k, v])), at(() => A.of(0)));
  });
}

for (const model of models.filter(({ action }) => action !== "matrix")) {
  test(`sequenceStages ${model.name}: factors carry λ as pull does`, () => {
    const { dims, inputs } = gradientCase(model, 4, { B: 1 });
    const traced = traceGradient(model, dims.sizes);
    const batch = prepare(model, dims, inputs);
    const lanes = lanesOf(gradientCase(model, 4, { B: 1 }).initialState, model, dims, 0, 0);
    const stages = sequenceStages(f64, traced, Array.from({ length: 4 }, (_, s) => rawValues(f64, batch, 0, s, 0)));
    const states = stages.states(lanes.flat());
    const width = traced.cotangents;
    const locals = states.map((_, t) => Array.from({ length: lanes.length * width }, (_, n) => Math.sin(t + 7 * n)));
    const lambdas = stages.cotangents(states, locals);
    stages.factors(states).forEach((factors, t) => {
      for (let lane = 0; lane < lanes.length; lane++) {
        const of = (values: readonly number[]): readonly number[] => values.slice(lane * width, (lane + 1) * width);
        const moved = backAction(traced).apply(f64, [...of(factors), ...of(locals[t]!)], of(lambdas[t + 1]!));
        of(lambdas[t]!).forEach((x, c) => assertAlmostEquals(moved[c]!, x, 2 ** -45 * Math.max(1, Math.abs(x))));
      }
    });
  });
}

test("backward rejects cotangents of a wrong length", () => {
  const given = gradientCase(models[0]!, 2);
  const batch = prepare(given.model, given.dims, given.inputs);
  assertThrows(
    () => backward(f64, batch, { outputs: given.outputs.subarray(1) }),
    InputError,
    "the cotangent of the outputs is [B, T, H, columns]",
  );
  assertThrows(
    () => backward(f64, batch, { outputs: given.outputs, finalState: new Float32Array(1) }),
    InputError,
    "the cotangent of the final state is [B, H, rows, columns, width]",
  );
  assertThrows(
    () => backward(f64, batch, { outputs: given.outputs.map(() => NaN) }),
    InputError,
    "must be finite, got NaN at 0",
  );
});

test("backward rejects a fractional exponent in the cotangent of a shared-exponent state", () => {
  const model = models.find(({ action }) => action === "scaled")!;
  const given = gradientCase(model, 1);
  assertThrows(
    () => backward(f64, prepare(model, given.dims, given.inputs), { ...given, finalState: given.finalState.fill(0.5) }),
    InputError,
    "m must be a whole number, got 0.5 at 1",
  );
});

/** The final state in f64, by the parallel form; one batch row. */
function stateAfter({ model, dims, inputs, initialState }: Case): number[] {
  const batch = prepare(model, dims, inputs);
  return Array.from({ length: dims.H }, (_, h) => {
    const initial = lanesOf(initialState, model, dims, 0, h);
    return scanStates(f64, model, dims.sizes, tokensOf(f64, batch, 0, h), sequential, initial).at(-1)!.flat();
  }).flat();
}

test("backward chains: the gradient of a later part's initial state is the earlier part's final cotangent", () => {
  for (
    const model of models.filter(({ inputs }) =>
      Object.values(inputs as InputSpecs).every(({ per }) => per !== "parameter")
    )
  ) {
    const given = gradientCase(model, 5, { B: 1 });
    const { dims, inputs, initialState, outputs, finalState } = given;
    const row = outputs.length / dims.T;
    const part = (from: number, to: number): { dims: Dims; inputs: Case["inputs"]; outputs: Float32Array } => ({
      dims: { ...dims, T: to - from },
      inputs: sliceInputs(model, dims, inputs, from, to),
      outputs: outputs.subarray(from * row, to * row),
    });
    const [first, second] = [part(0, 2), part(2, 5)];
    const whole = backward(f64, prepare(model, dims, inputs), given, initialState);
    const middle = stateAfter({ ...given, ...first });
    const later = backward(
      f64,
      prepare(model, second.dims, second.inputs),
      { outputs: second.outputs, finalState },
      middle,
    );
    const earlier = backward(
      f64,
      prepare(model, first.dims, first.inputs),
      { outputs: first.outputs, finalState: later.initialState },
      initialState,
    );
    whole.initialState.forEach((x, n) =>
      assertAlmostEquals(earlier.initialState[n]!, x, 1e-12 * Math.max(1, Math.abs(x)))
    );
  }
});
