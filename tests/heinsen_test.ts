/** The log-space scan computes the recurrence, refuses what has no logarithm, and is never judged equal. */
import { test } from "node:test";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { laneActions } from "../models/action.ts";
import type { AnyAffineModel } from "../models/affine.ts";
import { double, lanesOf, tokensOf } from "../models/execution.ts";
import { InputError } from "../models/error.ts";
import { gla } from "../models/gla.ts";
import { heinsen, logSpaceErrors } from "../models/heinsen.ts";
import { type Dims, type Inputs, prepare, sampleInputs, stateLength } from "../models/inputs.ts";
import { models } from "../models/mod.ts";
import { f64 } from "../models/number.ts";
import { seeded } from "../models/random.ts";
import { modelMonoid } from "../models/run.ts";
import { judgeOf } from "../oracle/allowance.ts";
import { reference } from "../oracle/reference.ts";
import { recurrent } from "../oracle/run.ts";

const dims: Dims = { B: 1, T: 65, H: 1, sizes: { K: 4, V: 3, D: 3, N: 2 } };
const real = models.filter(({ action }) =>
  action !== "matrix" && laneActions[action as keyof typeof laneActions] === laneActions.diagonal
);

function stateOf(model: AnyAffineModel): Float64Array {
  const random = seeded(9, "state", model.name);
  return Float64Array.from({ length: stateLength(model, dims) }, () => 2 * random() - 1);
}

/**
 * Per step and lane, how far log space may be from h in f64. The exponents are sums of at most T terms of size
 * G = Σ |log a| + 208 (a term's own logarithm and the state's, both within ±104 or so); each of some 8 operations a
 * token errs by u·G, and exp makes that a relative error of both parts: 8 T u G (h⁺ + h⁻).
 */
function allowed(model: AnyAffineModel, inputs: Inputs, initialState: Float64Array): number[][] {
  const batch = prepare(model, dims, inputs);
  const monoid = modelMonoid(f64, model, dims.sizes);
  const lifted = tokensOf(f64, batch, 0, 0).map((token) => monoid.lift(token) as readonly (readonly number[])[]);
  const size = lanesOf(initialState, model, dims, 0, 0).map(([h]) => Math.abs(h!));
  const logs = size.map(() => 208);
  return lifted.map((lanes) =>
    lanes.map(([a, b], lane) => {
      size[lane] = a! * size[lane]! + Math.abs(b!);
      logs[lane]! += Math.min(-Math.log(a!), 104);
      return 8 * dims.T * 2 ** -53 * logs[lane]! * size[lane]!;
    })
  );
}

test("the log-space scan is the recurrence, for every model of real lanes", async () => {
  assert(real.length > 10);
  for (const model of real) {
    const inputs = sampleInputs(model, dims, "random", 4);
    const initialState = stateOf(model);
    const options = { initialState, states: true };
    const want = await recurrent(double).run(model, dims, inputs, options);
    const got = await heinsen(double).run(model, dims, inputs, options);
    allowed(model, inputs, initialState).flat().forEach((limit, n) => {
      const error = Math.abs(got.states![n]! - want.states![n]!);
      assert(error <= limit, `${model.name} state ${n}: off by ${error}, allowed ${limit}`);
    });
  }
});

test("control: a log-space scan that drops the initial state is seen", async () => {
  const inputs = sampleInputs(gla, dims, "random", 4);
  const initialState = stateOf(gla);
  const want = await recurrent(double).run(gla, dims, inputs, { initialState, states: true });
  const got = await heinsen(double).run(gla, dims, inputs, { states: true });
  const limits = allowed(gla, inputs, initialState).flat();
  assert(limits.some((limit, n) => Math.abs(got.states![n]! - want.states![n]!) > limit));
});

test("the log-space scan passes a gate of 0", async () => {
  const inputs = {
    ...sampleInputs(gla, dims, "random", 4),
    g: Float32Array.from({ length: dims.T * 4 }, (_, n) => n % 5 === 0 ? -Infinity : -1),
  };
  const { outputs, finalState } = await heinsen().run(gla, dims, inputs, { initialState: stateOf(gla) });
  assert(outputs.every(Number.isFinite) && finalState.every(Number.isFinite));
});

test("the log-space scan refuses complex, scaled and matrix actions and negative gates", async () => {
  for (const model of models.filter((each) => !real.includes(each))) {
    const inputs = sampleInputs(model, dims, "random", 4);
    await assertRejects(() => heinsen().run(model, dims, inputs), InputError, "must be identity, scalar or diagonal");
  }
  const negative: AnyAffineModel = {
    ...gla,
    // deno-lint-ignore no-explicit-any -- over the erased model
    lift: (A: any, x: any, k: any, v: any) => ({ a: A.neg(x.a(k)), b: A.mul(x.k(k), x.v(v)) }) as any,
  };
  const inputs = sampleInputs(gla, dims, "random", 4);
  await assertRejects(() => heinsen().run(negative, dims, inputs), InputError, "gates must be ≥ 0, got -");
});

test("the log-space scan publishes that it has no bound", async () => {
  const inputs = sampleInputs(gla, dims, "random", 4);
  const judge = judgeOf(reference(gla, dims, inputs), { ...heinsen().rounding, unit: 2 ** -53 });
  const verdict = judge.judge(await heinsen().run(gla, dims, inputs), dims.T);
  assertEquals(verdict.planted, "missed");
});

test("errors by length refuse lengths that are none", () => {
  assertEquals(logSpaceErrors([], 1), []);
  assertEquals(logSpaceErrors([64, 1], 1).map(({ length }) => length), [64, 1]);
  assertThrows(() => logSpaceErrors([0], 1), InputError, "lengths must be whole numbers ≥ 1, got 0");
  assertThrows(() => logSpaceErrors([1.5], 1), InputError, "got 1.5");
});
