import { test } from "node:test";
import { assert, assertEquals, assertLess, assertNotEquals, assertThrows } from "@std/assert";
import type { Analytic } from "../models/arith.ts";
import { f32, f64 } from "../models/number.ts";
import { exponentOf, powerOfTwo } from "../models/numeric.ts";
import { abs, divide, type Dyadic, fromNumber, scale, sub, toF32, toNumber } from "../oracle/dyadic.ts";
import { certifiedBy } from "../oracle/activations.ts";
import { intervalEnclosures } from "../oracle/interval.ts";
import { ulps } from "../oracle/ulp.ts";
import { brokenRingLaw, brokenScaleLaw, floats, seeded } from "./oracle_laws.ts";

const truth = certifiedBy(intervalEnclosures);

test("f64 and f32 obey the laws of a ring and of scaling where nothing rounds", () => {
  const draw = seeded(2);
  const integers = Array.from({ length: 40 }, () => draw(401) - 200);
  for (const A of [f64, f32]) {
    assertEquals(brokenRingLaw(A, integers, (a, b) => a === b), "");
    assertEquals(brokenScaleLaw(A, integers, (a, b) => a === b), "");
  }
});

/** The first ring operation of f32 that is not the exact result rounded once, or "". */
function badRounding(A: Analytic<number>): string {
  const samples = [...floats(3, 300, -140, 120), ...floats(4, 300, -3, 3), 0, 2 ** -149, -(2 ** -126)];
  for (const [i, a] of samples.entries()) {
    const b = samples[(i * 11 + 5) % samples.length]!;
    const [x, y] = [fromNumber(a), fromNumber(b)];
    const exact: Record<string, readonly [number, Dyadic]> = {
      add: [A.add(a, b), sub(x, fromNumber(-b))],
      sub: [A.sub(a, b), sub(x, y)],
      mul: [A.mul(a, b), { m: x.m * y.m, e: x.e + y.e }],
    };
    // 200 bits decide every rounding of a quotient of floats.
    if (b !== 0) exact["div"] = [A.div(a, b), divide(x, y, 200)];
    for (const [name, [got, wanted]] of Object.entries(exact)) if (got !== toF32(wanted)) return `${name} ${a} ${b}`;
  }
  return "";
}

test("every ring operation and division of f32 is the exact one rounded once", () => {
  assertEquals(badRounding(f32), "");
});

test("control: f64 in the place of f32, and a reciprocal in the place of a division, are caught", () => {
  assertNotEquals(badRounding({ ...f32, add: f64.add }), "");
  assertNotEquals(badRounding({ ...f32, div: (a, b) => f32.mul(a, f32.div(1, b)) }), "");
});

test("f32 sums from left to right and rounds constants", () => {
  const terms = [2 ** 24, 1, 1, -(2 ** 24)];
  assertEquals(f32.sum(4, (i) => terms[i as number]!), 0);
  assertEquals(f64.sum(4, (i) => terms[i as number]!), 2);
  assertEquals(f32.of(0.1), Math.fround(0.1));
});

const FUNCTIONS = ["exp", "expm1", "sqrt", "sigmoid", "softplus"] as const;

/**
 * Relative error of f64, in units of 2^-53. A libm function within 1 ulp costs 2; the formulas add a rounding or two
 * with condition numbers ≤ 1: sigmoid 2 + 1 + 1, softplus 2 (e^x) + 2 (log1p) + 1 (the sum).
 */
const BOUND: Readonly<Record<typeof FUNCTIONS[number], number>> = {
  exp: 2,
  expm1: 2,
  sqrt: 1,
  sigmoid: 4,
  softplus: 5,
};

const ARGUMENTS = [...floats(21, 60, -30, 4), ...floats(22, 20, -130, -100), 0, 88, -88, 300, -300, 0.5, -0.7];

/** The largest error of a function over the arguments, in units of 2^-53 of the truth. */
function worstError(A: Analytic<number>, f: typeof FUNCTIONS[number]): number {
  let worst = 0;
  for (const x of ARGUMENTS) {
    if (f === "sqrt" && x < 0) continue;
    const exact = truth[f](fromNumber(x));
    const error = abs(sub(fromNumber(A[f](x)), exact));
    if (error.m !== 0n) worst = Math.max(worst, toNumber(scale(divide(error, abs(exact), 53), 53)));
  }
  return worst;
}

for (const f of FUNCTIONS) {
  test(`f64.${f} is within ${BOUND[f]} · 2^-53 of the certified truth, and f32.${f} within half an ulp`, () => {
    assert(worstError(f64, f) <= BOUND[f], `${worstError(f64, f)}`);
    for (const x of ARGUMENTS) {
      if ((f === "sqrt" && x < 0) || x > 88) continue;
      const exact = truth[f](fromNumber(x));
      // Rounding the double costs 1/2; the double's own error is at most 5 · 2^-53 / 2^-24 ulps.
      assert(ulps(f32[f](x), exact) <= 0.5 + 5 * 2 ** -29, `f32 at ${x}`);
    }
  });
}

test("control: the forms that cancel or overflow exceed the bounds", () => {
  assertLess(BOUND.expm1, worstError({ ...f64, expm1: (x) => Math.exp(x) - 1 }, "expm1"));
  assertLess(BOUND.softplus, worstError({ ...f64, softplus: (x) => Math.log(1 + Math.exp(x)) }, "softplus"));
  assertLess(BOUND.exp, worstError({ ...f64, exp: (x) => Math.exp(x) * (1 + 2 ** -50) }, "exp"));
});

test("expParts gives e^x beyond the range of floats, with a mantissa in [1/2, 2]", () => {
  for (const x of [...ARGUMENTS, 1000, -1000, 1e5, -1e5]) {
    for (const A of [f64, f32]) {
      const { mantissa, exponent } = A.expParts(x);
      assert(mantissa >= 0.5 && mantissa <= 2 && Number.isInteger(exponent), `parts at ${x}`);
      const exact = scale(truth.exp(fromNumber(x)), -exponent);
      const error = toNumber(abs(divide(sub(fromNumber(mantissa), exact), exact, 53)));
      // exp 2, the rounding of an argument ≤ 0.35 one half, and the low part's 2^-53 · 2^-32 · exponent.
      assert(error <= (A === f64 ? 4 * 2 ** -53 : 2 ** -24 * (1 + 2 ** -20)), `${error} at ${x}`);
    }
  }
});

test("powers of two and exponents are exact over the whole range of doubles", () => {
  let power = Number.MIN_VALUE;
  for (let k = -1074; k <= 1023; k++, power *= 2) {
    assertEquals(powerOfTwo(k), power);
    assertEquals(exponentOf(-power), k);
    if (k > -1074) assertEquals(exponentOf(power * (1 + 0.5)), k);
  }
  assertEquals(exponentOf(0), 0);
  for (const x of [NaN, Infinity, -Infinity]) assert(Number.isNaN(exponentOf(x)));
});

test("scale2 rounds once, whatever the exponent", () => {
  for (const x of [1, -1.75, 1 + 2 ** -52, 5e-324, -(2 ** -1022), 1.7e308, 3 * 2 ** -1074, 0]) {
    for (const e of [0, 1, -1, 700, 1023, 1024, 2000, 2098, 5000, -1022, -1023, -1060, -1074, -1075, -2100, -9999]) {
      const exact = scale(fromNumber(x), e);
      assert(f64.scale2(x, e) === toNumber(exact), `${x} · 2^${e}`);
      const single = Math.fround(x);
      if (!Number.isFinite(single)) continue;
      assert(f32.scale2(single, e) === toF32(scale(fromNumber(single), e)), `f32 ${single} · 2^${e}`);
    }
  }
  for (const [x, e] of [[NaN, 1], [1, NaN], [0, NaN]]) assert(Number.isNaN(f64.scale2(x!, e!)));
});

test("NaN spreads, and a symbol is no position", () => {
  assert(Number.isNaN(f64.max(NaN, 1)) && Number.isNaN(f32.max(1, NaN)) && Number.isNaN(f64.exponent(NaN)));
  assertThrows(() => f64.eye({ symbol: "k" }, 0), TypeError, "an index must be a number, got the symbol k");
});
