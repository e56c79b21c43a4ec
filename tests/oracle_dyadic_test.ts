import { create, type Fraction, FractionDependencies } from "mathjs";
import { test } from "node:test";
import { assert, assertEquals, assertLess, assertNotEquals, assertThrows } from "@std/assert";
import type { Field, ScaledRing } from "../models/arith.ts";
import {
  add,
  bitLength,
  compare,
  divide,
  type Dyadic,
  dyadic,
  dyadicOne,
  equals,
  exponent,
  fromNumber,
  max,
  mul,
  neg,
  roundedDyadicField,
  roundTo,
  scale,
  sub,
  toF32,
  toInteger,
  toNumber,
} from "../oracle/dyadic.ts";
import { brokenRingLaw, brokenScaleLaw, floats, seeded } from "./oracle_laws.ts";

const SAMPLES: Dyadic[] = [...floats(1, 60, -149, 120), 0, 1, -1, 0.1, 5e-324, 1.7e308].map(fromNumber);

test("dyadic obeys the laws of a ring and of scaling", () => {
  assertEquals(brokenRingLaw(dyadic, SAMPLES, equals), "");
  assertEquals(brokenScaleLaw(dyadic, SAMPLES, equals), "");
});

test("control: a ring that rounds, or loses a bit, breaks a law", () => {
  const rounding: ScaledRing<Dyadic> = { ...dyadic, add: (a, b) => roundTo(add(a, b), 53) };
  assertNotEquals(brokenRingLaw(rounding, SAMPLES, equals), "");
  const low: ScaledRing<Dyadic> = { ...dyadic, exponent: (x) => fromNumber(exponent(x) - 1) };
  assertNotEquals(brokenScaleLaw(low, SAMPLES, equals), "");
  const high: ScaledRing<Dyadic> = { ...dyadic, exponent: (x) => fromNumber(x.m === 0n ? 0 : exponent(x) + 1) };
  assertNotEquals(brokenScaleLaw(high, SAMPLES, equals), "");
});

// mathjs.fraction(0.1) is 1/10, so floats enter by numerator and denominator.
const math = create(FractionDependencies!, {}) as unknown as { Fraction: new (n: bigint, d: bigint) => Fraction };

function fractionOf(x: Dyadic): Fraction {
  return x.e >= 0 ? new math.Fraction(x.m << BigInt(x.e), 1n) : new math.Fraction(x.m, 1n << BigInt(-x.e));
}

/** Whether s ← a s + b runs alike in the given ring and in mathjs fractions. */
function agreesWithFractions(A: ScaledRing<Dyadic>, steps: number): boolean {
  const gates = floats(7, steps, -3, 0).map(fromNumber);
  const inputs = floats(8, steps, -20, 20).map(fromNumber);
  let state = A.of(0);
  let truth = fractionOf(state);
  for (let t = 0; t < steps; t++) {
    state = A.add(A.mul(gates[t]!, state), inputs[t]!);
    truth = fractionOf(gates[t]!).mul(truth).add(fractionOf(inputs[t]!));
    if (!fractionOf(state).equals(truth)) return false;
  }
  return true;
}

test("dyadic recurrence equals mathjs fractions for 24 steps", () => {
  assert(agreesWithFractions(dyadic, 24));
});

test("control: a relative fault of 2^-200 in one product differs from the fractions", () => {
  let calls = 0;
  const faulty: ScaledRing<Dyadic> = {
    ...dyadic,
    mul: (a, b) => calls++ === 20 ? mul(mul(a, b), add(dyadicOne, scale(dyadicOne, -200))) : mul(a, b),
  };
  assert(!agreesWithFractions(faulty, 24));
});

test("fromNumber is exact for every kind of double, and toNumber its inverse", () => {
  const draw = seeded(3);
  const words = new Uint32Array(2);
  const double = new Float64Array(words.buffer);
  const special = [0, 1, -1, 0.1, 5e-324, -5e-324, 2 ** -1022, 2 ** -1022 - 5e-324, Number.MAX_VALUE, 2 ** 53, 2 ** 32];
  for (let i = 0; i < 5000; i++) {
    words[0] = draw(2 ** 31) * 2 + draw(2);
    words[1] = draw(2 ** 31) * 2 + draw(2);
    const x = i < special.length ? special[i]! : double[0]!;
    if (!Number.isFinite(x)) continue;
    const d = fromNumber(x);
    assertEquals(toNumber(d), x);
    assert(toF32(d) === Math.fround(x), `toF32 of ${x}`);
    assert(d.m === 0n || (d.m & 1n) === 1n, `odd mantissa of ${x}`);
  }
  for (const x of [NaN, Infinity, -Infinity]) {
    assertThrows(() => fromNumber(x), RangeError, `the number must be finite, got ${x}`);
  }
});

/** Checks a rounding at floats x ≥ 0, and at and beside the halves between neighbours; names the first failure. */
function brokenRounding(round: (x: Dyadic) => number, values: readonly number[], next: (x: number) => number): string {
  const speck = scale(dyadicOne, -3000);
  for (const x of values) {
    const above = next(x);
    // The neighbour of the largest value is Infinity, but rounding goes by the one that the format would have.
    const step = above === Infinity ? x - previous(x, next) : above - x;
    const value = fromNumber(x);
    const half = add(value, scale(fromNumber(step), -1));
    const cases: [string, Dyadic, number][] = [
      ["value", value, x],
      ["just above value", add(value, speck), x],
      ["just below half", sub(half, speck), x],
      ["half", half, (x / step) % 2 === 0 ? x : above],
      ["just above half", add(half, speck), above],
    ];
    for (const [what, exact, wanted] of cases) {
      if (round(exact) !== wanted) return `${what} at ${x}: got ${round(exact)}, wanted ${wanted}`;
      if (round(neg(exact)) !== -wanted) return `negative ${what} at ${x}: got ${round(neg(exact))}`;
    }
  }
  return "";
}

/** The value before the largest one. */
function previous(x: number, next: (x: number) => number): number {
  const below = next === nextFloat ? x - 2 ** 104 : x - 2 ** 971;
  assertEquals(next(below), x);
  return below;
}

function nextFloat(x: number): number {
  const f = new Float32Array([x]);
  new Uint32Array(f.buffer)[0]! += 1;
  return f[0]!;
}

function nextDouble(x: number): number {
  const d = new Float64Array([x]);
  new BigUint64Array(d.buffer)[0]! += 1n;
  return d[0]!;
}

const MAX_FLOAT = (2 - 2 ** -23) * 2 ** 127;
const FLOATS = [
  0,
  2 ** -149,
  3 * 2 ** -149,
  2 ** -126 - 2 ** -149,
  2 ** -126,
  1,
  1 + 2 ** -23,
  0.5,
  2 ** 127,
  MAX_FLOAT,
]
  .concat(floats(5, 300, -140, 126).map((x) => Math.abs(Math.fround(x))));
const DOUBLES = [0, 5e-324, 1e-323, 2 ** -1022 - 5e-324, 2 ** -1022, 1, 1 + 2 ** -52, 2 ** 1023, Number.MAX_VALUE]
  .concat(floats(6, 300, -60, 60).map((x) => Math.abs(x) ** 16), [0.1, 0.3, 1e300, 1e-310]);

test("toF32 rounds to nearest even: floats, halves, subnormals, overflow", () => {
  assertEquals(brokenRounding(toF32, FLOATS, nextFloat), "");
});

test("toNumber rounds to nearest even: doubles, halves, subnormals, overflow", () => {
  assertEquals(brokenRounding(toNumber, DOUBLES, nextDouble), "");
});

test("control: rounding twice, truncation and ties away are all caught", () => {
  assertNotEquals(brokenRounding((x) => Math.fround(toNumber(x)), FLOATS, nextFloat), "");
  assertNotEquals(brokenRounding((x) => toNumber(sub(x, scale(x, -60))), DOUBLES, nextDouble), "");
  assertNotEquals(brokenRounding((x) => toNumber(add(x, scale(x, -60))), DOUBLES, nextDouble), "");
});

test("toNumber agrees with Number(bigint) on integers up to 2^2000", () => {
  const draw = seeded(9);
  for (let i = 0; i < 200; i++) {
    let m = 1n;
    for (let k = draw(65); k >= 0; k--) m = (m << 31n) + BigInt(draw(2 ** 31 - 1));
    assertEquals(toNumber({ m, e: 0 }), Number(m));
    assertEquals(bitLength(m), m.toString(2).length);
  }
  for (const bits of [0, 1, 53, 54, 64, 1023, 1024, 1025, 2048, 5000, 98304]) {
    assertEquals(bitLength((1n << BigInt(bits)) - 1n), bits);
    assertEquals(bitLength(1n << BigInt(bits)), bits + 1);
  }
});

test("far out of range values round to 0 and ±Infinity at once", () => {
  assertEquals(toF32({ m: 1n, e: -1e9 }), 0);
  assertEquals(toNumber({ m: -1n, e: 1e9 }), -Infinity);
  assertEquals(toNumber({ m: 1n, e: -1075 }), 0);
  assertEquals(toNumber({ m: 3n, e: -1076 }), 5e-324);
});

test("compare orders as doubles do, and by leading bits where exponents are far apart", () => {
  const values = [...floats(11, 100, -100, 100), 0, 1, -1];
  for (const [i, x] of values.entries()) {
    const y = values[(i * 7 + 3) % values.length]!;
    assertEquals(Math.sign(compare(fromNumber(x), fromNumber(y))), Math.sign(x - y));
  }
  assert(compare({ m: 1n, e: 1e6 }, { m: 1n << 900n, e: 0 }) > 0);
  assert(compare({ m: -1n, e: 1e6 }, { m: -1n, e: -1e6 }) < 0);
  assert(equals({ m: 6n, e: 0 }, { m: 3n, e: 1 }));
  const a = { m: 2n, e: 0 };
  assert(max(a, { m: 1n, e: 1 }) === a, "max at a tie is its first argument");
});

test("cancellation leaves no trailing zeros behind", () => {
  const tiny = scale(dyadicOne, -5000);
  assertEquals(bitLength(sub(add(dyadicOne, tiny), tiny).m), 1);
  assertEquals(sub(fromNumber(0.1), fromNumber(0.1)), { m: 0n, e: 0 });
});

/** The largest relative error of quotients, in 2^-bits; Infinity if one has more bits. */
function divisionError(A: Field<Dyadic>, bits: number): number {
  let worst = 0;
  for (const [i, x] of SAMPLES.entries()) {
    const y = SAMPLES[(i * 5 + 2) % SAMPLES.length]!;
    if (y.m === 0n || x.m === 0n) continue;
    const q = A.div(x, y);
    if (bitLength(q.m < 0n ? -q.m : q.m) > bits) return Infinity;
    // |q y − x| / |x|
    const error = sub(mul(q, y), x);
    worst = Math.max(worst, Math.abs(toNumber(scale(divide(error, x, 53), bits))));
  }
  return worst;
}

test("the rounded field divides to a relative error of 2^-bits", () => {
  for (const bits of [24, 53, 96, 200]) {
    const worst = divisionError(roundedDyadicField(bits), bits);
    assert(worst <= 1 && worst > 0.5, `${bits} bits: ${worst}`);
  }
  assert(equals(roundedDyadicField().div(fromNumber(6), fromNumber(-3)), fromNumber(-2)));
  assertThrows(() => roundedDyadicField().div(dyadicOne, fromNumber(0)), RangeError, "got 1 / 0");
  assertThrows(() => roundedDyadicField(0), RangeError, "bits must be an integer ≥ 1, got 0");
});

test("control: a division good to one bit less is caught", () => {
  assertLess(1, divisionError({ ...roundedDyadicField(96), div: (a, b) => divide(a, b, 95) }, 96));
});

test("division agrees with the host where that is correctly rounded", () => {
  for (const [i, x] of floats(13, 500, -30, 30).entries()) {
    const y = 3 + i * 0.37;
    assertEquals(toNumber(divide(fromNumber(x), fromNumber(y), 53)), x / y);
  }
});

test("scale2 refuses an exponent that is no integer", () => {
  assertThrows(() => dyadic.scale2(dyadicOne, fromNumber(0.5)), RangeError, "must be an integer below 2^53, got 0.5");
  assertEquals(toInteger({ m: -3n << 70n, e: -70 }), -3);
});
