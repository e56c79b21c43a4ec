/** `backward` is the derivative of the definition: for every model, against dual numbers and finite differences. */

import { test } from "node:test";
import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import type { AnyAffineModel } from "../models/affine.ts";
import { backward } from "../models/backward.ts";
import type { InputClass } from "../models/domain.ts";
import { InputError } from "../models/error.ts";
import { prepare } from "../models/inputs.ts";
import { models } from "../models/mod.ts";
import { f64 } from "../models/number.ts";
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
function compare(given: Case, got: (name: string, n: number) => number, want: (name: string, n: number) => number): Worst {
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

function certifiedBackward(given: Case): (name: string, n: number) => Dyadic {
  const got = backward(certified, prepare(given.model, given.dims, given.inputs), given, given.initialState);
  return (name, n) => name === "initial state" ? got.initialState[n]! : got.inputs[name]![n]!;
}

function floatBackward(given: Case, parts: Partial<Case> = {}): (name: string, n: number) => number {
  const got = backward(f64, prepare(given.model, given.dims, given.inputs), { ...given, ...parts }, given.initialState);
  return (name, n) => name === "initial state" ? got.initialState[n]! : got.inputs[name]![n]!;
}

/**
 * Both sides round functions, quotients and roots at 2^-95 of themselves and nothing else; there are fewer than 2^10 of
 * them in these cases, and no derivative of what follows one exceeds the largest gradient by more than 2^10.
 */
const CERTIFIED = 2 ** -75;
/** Truncation h²·f‴/6 at h = 2^-17, third derivatives up to 2^8 times the largest first one; cancellation 2^-53/h. */
const DIFFERENCES = 2 ** -27;

function assertGradient(given: Case): void {
  const got = certifiedBackward(given);
  const want = exactGradient(given);
  const { error, size, where } = compare(
    given,
    (name, n) => toNumber(certified.sub(got(name, n), want(name, n))),
    () => 0,
  );
  const largest = compare(given, () => 0, (name, n) => toNumber(want(name, n))).size;
  assertEquals(size, 0);
  assert(error <= CERTIFIED * Math.max(1, largest), `${given.model.name}: off by ${error} at ${where} (largest ${largest})`);
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
    const none = backward(f64, prepare(model, given.dims, given.inputs), { outputs: silent.outputs }, given.initialState);
    const zero = (values: readonly number[]): boolean => values.every((x) => x === 0);
    assert(Object.values(none.inputs).every(zero), "without cotangents there is no gradient");
  });
}
