import { test } from "node:test";
import { assert, assertEquals, assertLess, assertNotEquals, assertThrows } from "@std/assert";
import type { Analytic, Ring } from "../models/arith.ts";
import { modular } from "../models/modular.ts";
import { f64 } from "../models/number.ts";
import { certified } from "../oracle/activations.ts";
import { constant, type Dual, dual, gradient, variable } from "../oracle/dual.ts";
import {
  abs,
  add,
  divide,
  type Dyadic,
  dyadic,
  equals,
  fromNumber,
  mul,
  roundedDyadicField,
  scale,
  sign,
  sub,
  toNumber,
} from "../oracle/dyadic.ts";
import { brokenRingLaw, floats, seeded } from "./oracle_laws.ts";

const exact = dual(roundedDyadicField(96), sign);
const smooth = dual(certified, sign);
const plain = dual(f64, Math.sign);

function variables<N>(A: Ring<N>, values: readonly number[]): Dual<N>[] {
  return values.map((x, i) => variable(A, A.of(x), i));
}

/** Duals with a few partials each, seeded. */
function samples(count: number): Dual<Dyadic>[] {
  const draw = seeded(5);
  return floats(6, count, -9, 9).map((x) => {
    const indices = [0, 1, 2, 3, 4, 5].filter(() => draw(2) === 0);
    return { value: fromNumber(x), indices, partials: indices.map(() => fromNumber(draw(1000) / 64 - 7)) };
  });
}

function sameDual(a: Dual<Dyadic>, b: Dual<Dyadic>): boolean {
  const [p, q] = [gradient(dyadic, a, 6), gradient(dyadic, b, 6)];
  return equals(a.value, b.value) && p.every((x, i) => equals(x, q[i]!));
}

test("duals over dyadics obey the laws of a ring, and so do duals modulo p", () => {
  assertEquals(brokenRingLaw(dual(dyadic), samples(40), sameDual), "");
  const F = modular(65521);
  const elements = samples(40).map((x, i) => ({
    value: i * 997,
    indices: x.indices,
    partials: x.indices.map((k) => k + i),
  }));
  const same = (a: Dual<number>, b: Dual<number>): boolean =>
    a.value === b.value && gradient(F, a, 6).every((x, i) => x === gradient(F, b, 6)[i]);
  assertEquals(brokenRingLaw(dual(F), elements, same), "");
});

test("control: a product rule without its second term breaks a law", () => {
  const ring = dual(dyadic);
  const half: Ring<Dual<Dyadic>> = { ...ring, mul: (a, b) => ring.mul(a, constant(b.value)) };
  assertNotEquals(brokenRingLaw(half, samples(40), sameDual), "");
});

test("polynomials and quotients have their closed-form derivatives", () => {
  for (const [i, a] of floats(7, 40, -6, 6).entries()) {
    const b = 2 ** (i % 7 - 3);
    const [x, y] = variables(dyadic, [a, b]) as [Dual<Dyadic>, Dual<Dyadic>];
    // p = x² y + 3 x y³ − y; dp/dx = 2 x y + 3 y³; dp/dy = x² + 9 x y² − 1.
    const y3 = exact.mul(y, exact.mul(y, y));
    const p = exact.sub(exact.add(exact.mul(exact.mul(x, x), y), exact.mul(exact.mul(exact.of(3), x), y3)), y);
    const [u, v] = [fromNumber(a), fromNumber(b)];
    const [dx, dy] = gradient(dyadic, p, 2);
    assert(equals(dx!, add(mul(mul(fromNumber(2), u), v), mul(fromNumber(3), mul(v, mul(v, v))))));
    assert(equals(dy!, sub(add(mul(u, u), mul(mul(fromNumber(9), u), mul(v, v))), fromNumber(1))));
    // x / y with y a power of two: 1 / y and −x / y², both exact.
    const [qx, qy] = gradient(dyadic, exact.div(x, y), 2);
    assert(equals(qx!, fromNumber(1 / b)) && equals(qy!, fromNumber(-a / b / b)));
  }
});

test("a recurrence of 300 steps carries 600 partials, each the product of the later gates", () => {
  const T = 300;
  const ring = dual(dyadic);
  const gates = floats(8, T, -1, -1);
  const inputs = floats(9, T, -4, 4);
  let state = ring.of(0);
  for (let t = 0; t < T; t++) {
    const a = variable(dyadic, fromNumber(gates[t]!), t);
    const b = variable(dyadic, fromNumber(inputs[t]!), T + t);
    state = ring.add(ring.mul(a, state), b);
  }
  const partials = gradient(dyadic, state, 2 * T);
  let prefix = fromNumber(0);
  const before: Dyadic[] = [];
  for (let t = 0; t < T; t++) {
    before.push(prefix);
    prefix = add(mul(fromNumber(gates[t]!), prefix), fromNumber(inputs[t]!));
  }
  let later = fromNumber(1);
  for (let t = T - 1; t >= 0; t--) {
    assert(equals(partials[T + t]!, later), `input ${t}`);
    assert(equals(partials[t]!, mul(later, before[t]!)), `gate ${t}`);
    later = mul(later, fromNumber(gates[t]!));
  }
});

test("at ties max takes its first argument and abs has derivative 0", () => {
  const [x, y] = variables(dyadic, [2, 2]) as [Dual<Dyadic>, Dual<Dyadic>];
  const slopes = (z: Dual<Dyadic>): number[] => gradient(dyadic, z, 2).map(toNumber);
  assertEquals(slopes(exact.max(x, y)), [1, 0]);
  assertEquals(slopes(exact.max(y, x)), [0, 1]);
  assertEquals(slopes(exact.max(x, exact.of(3))), [0, 0]);
  assertEquals(slopes(exact.max(exact.of(1), y)), [0, 1]);
  assertEquals(slopes(exact.abs(exact.sub(x, y))), [0, 0]);
  assertEquals(slopes(exact.abs(x)), [1, 0]);
  assertEquals(slopes(exact.abs(exact.neg(x))), [1, 0]);
  assertEquals(slopes(exact.atLeast(x, y, exact.mul(x, x), y)), [4, 0]);
  assertEquals(slopes(exact.atLeast(exact.of(1), y, x, y)), [0, 1]);
});

test("scaling by powers of two is linear, and exponents are constants", () => {
  const x = variable(dyadic, fromNumber(-5.5), 0);
  const normal = exact.scale2(x, exact.neg(exact.exponent(x)));
  assert(equals(normal.value, fromNumber(-1.375)) && equals(normal.partials[0]!, fromNumber(0.25)));
  assertEquals(exact.exponent(x).indices.length, 0);
  const scaled = exact.scale2(exact.of(3), exact.exponent(x));
  assertEquals(scaled.indices.length, 0);
  const { mantissa, exponent } = smooth.expParts(x);
  assertEquals(exponent.indices.length, 0);
  assert(equals(smooth.scale2(mantissa, exponent).partials[0]!, smooth.exp(x).partials[0]!));
});

type Univariate = <N>(A: Analytic<N>, x: N) => N;

/** Functions that use every operation, with one argument. */
const FUNCTIONS: Readonly<Record<string, Univariate>> = {
  exp: (A, x) => A.exp(x),
  expm1: (A, x) => A.expm1(x),
  sqrt: (A, x) => A.sqrt(A.add(A.of(2), A.mul(x, x))),
  sigmoid: (A, x) => A.sigmoid(x),
  softplus: (A, x) => A.softplus(x),
  div: (A, x) => A.div(A.sub(x, A.of(3)), A.add(A.of(1), A.mul(x, x))),
  abs: (A, x) => A.mul(A.abs(x), x),
  max: (A, x) => A.max(A.mul(x, x), A.add(x, A.of(1))),
  atLeast: (A, x) => A.atLeast(x, A.of(1), A.mul(x, x), A.neg(x)),
  expParts: (A, x) => {
    const { mantissa, exponent } = A.expParts(x);
    return A.scale2(mantissa, exponent);
  },
  composite: (A, x) =>
    A.div(A.mul(A.softplus(x), A.exp(A.neg(A.mul(x, x)))), A.sum(3, () => A.add(A.sigmoid(x), A.of(1)))),
};

/**
 * The largest relative difference between a derivative and the central difference of exact values with step 2^-20:
 * h² f''' / 6 < 2^-42 |f'''|, and |f'''| is below 2^8 for every function here on |x| ≤ 2.
 */
function worstDifference(A: Analytic<Dual<Dyadic>>, f: Univariate): number {
  const h = fromNumber(2 ** -20);
  let worst = 0;
  for (const x of floats(10, 30, -4, 0).map(fromNumber)) {
    const [slope] = gradient(dyadic, f(A, variable(dyadic, x, 0)), 1);
    const rise = sub(f(certified, add(x, h)), f(certified, sub(x, h)));
    worst = Math.max(worst, Math.abs(toNumber(sub(slope!, scale(rise, 19)))));
  }
  return worst;
}

for (const [name, f] of Object.entries(FUNCTIONS)) {
  test(`the derivative of ${name} equals the central difference of exact values`, () => {
    const worst = worstDifference(smooth, f);
    assert(worst <= 2 ** -34, `${worst}`);
  });

  test(`the derivative of ${name} over f64 equals the one over certified numbers`, () => {
    for (const x of floats(11, 30, -4, 0)) {
      const [slope] = gradient(f64, f(plain, variable(f64, x, 0)), 1);
      const [truth] = gradient(dyadic, f(smooth, variable(dyadic, fromNumber(x), 0)), 1);
      // Some thirty roundings of 2^-53 with terms below 2^7.
      assert(Math.abs(slope! - toNumber(truth!)) <= 2 ** -41, `${x}`);
    }
  });
}

test("control: each wrong rule is caught by the central difference", () => {
  const wrong: Readonly<Record<string, Partial<Analytic<Dual<Dyadic>>>>> = {
    exp: { exp: (x) => constant(smooth.exp(x).value) },
    expm1: { expm1: (x) => ({ ...smooth.expm1(x), partials: x.partials.map((p) => mul(p, smooth.expm1(x).value)) }) },
    sqrt: {
      sqrt: (x) => ({ ...smooth.sqrt(x), partials: x.partials.map((p) => divide(p, smooth.sqrt(x).value, 96)) }),
    },
    sigmoid: { sigmoid: (x) => ({ ...smooth.sigmoid(x), partials: [smooth.sigmoid(x).value] }) },
    softplus: { softplus: (x) => ({ ...smooth.softplus(x), partials: [fromNumber(1)] }) },
    div: { div: (a, b) => smooth.div(a, constant(b.value)) },
    abs: { abs: (x) => ({ ...x, value: abs(x.value) }) },
    max: { max: (a, b) => ({ ...smooth.max(a, b), partials: b.partials }) },
    atLeast: {
      atLeast: (a, b, then, otherwise) => ({ ...smooth.atLeast(a, b, then, otherwise), partials: then.partials }),
    },
    expParts: { scale2: (x, e) => ({ ...smooth.scale2(x, e), partials: x.partials }) },
    composite: { neg: (x) => ({ ...x, value: smooth.neg(x).value }) },
  };
  for (const [name, fault] of Object.entries(wrong)) {
    assertLess(2 ** -10, worstDifference({ ...smooth, ...fault }, FUNCTIONS[name]!), name);
  }
});

test("an algebra with less gives duals with less", () => {
  assert(!("max" in dual(dyadic)) && !("div" in dual(dyadic, sign)) && !("exp" in exact) && "exp" in smooth);
  assertThrows(() => variable(dyadic, fromNumber(1), -1), RangeError, "its index must be an integer ≥ 0, got -1");
});
