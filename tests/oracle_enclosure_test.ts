import { test } from "node:test";
import { assert, assertEquals, assertLess, assertLessOrEqual, assertNotEquals, assertThrows } from "@std/assert";
import type { Analytic } from "../models/arith.ts";
import { certified, certifiedBy, fixedPointEnclosures } from "../oracle/activations.ts";
import {
  abs,
  add,
  bitLength,
  compare,
  divide,
  type Dyadic,
  dyadicOne,
  equals,
  fromNumber,
  mul,
  neg,
  scale,
  sign,
  sub,
  toNumber,
} from "../oracle/dyadic.ts";
import { type Enclosure, type Enclosures, relativeWidth, roundEnclosure } from "../oracle/enclosure.ts";
import { encloseExp, encloseExpm1 } from "../oracle/exp.ts";
import { fromDyadic, type Interval, interval, intervalEnclosures, toDyadic, toEnclosure } from "../oracle/interval.ts";
import { encloseLog1p } from "../oracle/log1p.ts";
import { floats } from "./oracle_laws.ts";

const FUNCTIONS = ["exp", "expm1", "sqrt", "sigmoid", "softplus"] as const;
type Name = typeof FUNCTIONS[number];

/** Decimal digits as an enclosure: the printed number is truncated. */
function digits(text: string): Enclosure {
  const [whole = "", fraction = ""] = text.split(".");
  const unit = 10n ** BigInt(fraction.length);
  const n = BigInt(whole + fraction);
  const at = (m: bigint): Dyadic => ({ m: (m << 300n) / unit, e: -300 });
  return { lo: at(n), hi: add(at(n + 1n), { m: 1n, e: -300 }) };
}

// From the literature, to more digits than any enclosure here has.
const KNOWN: readonly (readonly [Name, number, string])[] = [
  ["exp", 1, "2.71828182845904523536028747135266249775724709369995957496696762772407663035354759"],
  ["exp", -1, "0.36787944117144232159552377016146086744581113103176783450783680169746149574489980"],
  ["expm1", 1, "1.71828182845904523536028747135266249775724709369995957496696762772407663035354759"],
  ["sqrt", 2, "1.41421356237309504880168872420969807856967187537694807317667973799073247846210703"],
  ["sigmoid", 0, "0.50000000000000000000000000000000000000000000000000000000000000000000000000000000"],
  ["softplus", 0, "0.69314718055994530941723212145817656807550013436025525412068000949339362196969471"],
];

const contains = (a: Enclosure, b: Enclosure): boolean => compare(a.lo, b.lo) <= 0 && compare(b.hi, a.hi) <= 0;
const overlaps = (a: Enclosure, b: Enclosure): boolean => compare(a.lo, b.hi) <= 0 && compare(b.lo, a.hi) <= 0;

const ARGUMENTS = [
  ...floats(31, 80, -20, 3),
  ...floats(32, 20, -149, -60),
  ...[0, 1, -1, 0.5, Math.LN2, -Math.LN2, 20, -20, 88.7, -103.9, 255.9, -255.9, 256, -256, 700, -745, 1000, -1000],
  ...[2 ** -200, -(2 ** -200), 2 ** -201, -(2 ** -201), 1e-21, -1e-20, 46.1, -46, -46.1, 0.34657359, -0.34657359],
].map(fromNumber);

function argumentsOf(f: Name): Dyadic[] {
  return f === "sqrt" ? ARGUMENTS.map(abs) : ARGUMENTS;
}

/** What is wrong with the enclosures, judged by published digits and by mathjs intervals; "" if nothing. */
function brokenEnclosure(E: Enclosures): string {
  for (const [f, x, text] of KNOWN) {
    if (!overlaps(E[f](fromNumber(x)), digits(text))) return `${f}(${x}) misses ${text}`;
  }
  for (const f of FUNCTIONS) {
    for (const x of argumentsOf(f)) {
      const got = E[f](x);
      if (relativeWidth(got) > 2 ** -110) return `${f}(${toNumber(x)}) is ${relativeWidth(got)} wide`;
      if (!overlaps(got, intervalEnclosures[f](x))) return `${f}(${toNumber(x)}) misses`;
    }
  }
  return "";
}

test("mathjs intervals contain the published digits and are narrower than 2^-96 everywhere", () => {
  for (const [f, x, text] of KNOWN) assert(overlaps(intervalEnclosures[f](fromNumber(x)), digits(text)), `${f}(${x})`);
  for (const f of FUNCTIONS) {
    for (const x of argumentsOf(f)) {
      const width = relativeWidth(intervalEnclosures[f](x));
      assert(width <= 2 ** -120, `${f}(${toNumber(x)}): ${width}`);
    }
  }
});

test("fixed-point enclosures contain the published digits and the mathjs intervals", () => {
  assertEquals(brokenEnclosure(fixedPointEnclosures), "");
});

test("control: enclosures off by 2^-105, or without their error term, are caught", () => {
  for (const f of FUNCTIONS) {
    const shifted = (x: Dyadic): Enclosure => {
      const { lo, hi } = fixedPointEnclosures[f](x);
      return { lo: add(lo, scale(abs(lo), -105)), hi: add(hi, scale(abs(hi), -105)) };
    };
    assertNotEquals(brokenEnclosure({ ...fixedPointEnclosures, [f]: shifted }), "", f);
  }
  const lower = (x: Dyadic): Enclosure => ({ ...encloseExp(x, 128), hi: encloseExp(x, 128).lo });
  assertNotEquals(brokenEnclosure({ ...fixedPointEnclosures, exp: lower }), "");
});

test("more bits give a narrower enclosure of the same number", () => {
  for (const x of ARGUMENTS.filter((x) => sign(x) !== 0)) {
    for (const enclose of [encloseExp, encloseExpm1]) {
      const wide = enclose(x, 60);
      const narrow = enclose(x, 190);
      assert(relativeWidth(wide) <= 2 ** -60 && relativeWidth(narrow) <= 2 ** -190, `${toNumber(x)}`);
      assert(overlaps(wide, narrow), `${toNumber(x)}`);
    }
  }
});

test("exp to 1000 bits obeys e^a e^b = e^(a + b), and to 300 bits at |x| near 2^39", () => {
  const product = (a: Enclosure, b: Enclosure): Enclosure => ({ lo: mul(a.lo, b.lo), hi: mul(a.hi, b.hi) });
  for (const [i, a] of ARGUMENTS.slice(0, 40).entries()) {
    const b = ARGUMENTS[i + 3]!;
    assert(overlaps(product(encloseExp(a, 1000), encloseExp(b, 1000)), encloseExp(add(a, b), 1000)), `${i}`);
  }
  for (const x of [2 ** 39 + 0.5, -(2 ** 39)]) {
    const got = encloseExp(fromNumber(x), 300);
    assert(relativeWidth(got) <= 2 ** -300 && sign(got.lo) > 0);
    const [half, rest] = [encloseExp(fromNumber(x / 2), 300), encloseExp(fromNumber(x / 2), 300)];
    assert(overlaps(product(half, rest), got));
  }
  assertThrows(() => encloseExp(scale(dyadicOne, 40), 128), RangeError, "|x| must be below 2^40, got 2^40 or more");
});

test("log1p inverts expm1 on (0, 1]", () => {
  for (const x of floats(33, 60, -130, -2).map((x) => fromNumber(Math.abs(x)))) {
    const back = encloseLog1p(encloseExpm1(x, 150), 150);
    assert(contains(back, { lo: x, hi: x }) && relativeWidth(back) < 2 ** -145, `${toNumber(x)}`);
  }
  assert(overlaps(encloseLog1p({ lo: dyadicOne, hi: dyadicOne }, 150), digits(KNOWN[5]![2])));
  assertThrows(
    () => encloseLog1p({ lo: fromNumber(2), hi: fromNumber(2) }, 99),
    RangeError,
    "must be in [0, 1], got 2",
  );
});

test("sqrt is exact on squares", () => {
  for (const x of floats(34, 50, -70, 60)) {
    const { lo, hi } = fixedPointEnclosures.sqrt(mul(fromNumber(x), fromNumber(x)));
    assert(equals(lo, hi) && equals(lo, abs(fromNumber(x))), `${x}`);
  }
  assertThrows(() => certified.sqrt(fromNumber(-2)), RangeError, "the argument must be ≥ 0, got -2");
});

/** The largest relative error of certified functions in units of 2^-96, against another algebra of them. */
function worstDisagreement(A: Analytic<Dyadic>, B: Analytic<Dyadic>): number {
  let worst = 0;
  for (const f of FUNCTIONS) {
    for (const x of argumentsOf(f)) {
      const [a, b] = [A[f](x), B[f](x)];
      if (bitLength(abs(a).m) > 97) return Infinity;
      if (!equals(a, b)) worst = Math.max(worst, Math.abs(toNumber(scale(divide(sub(a, b), b, 53), 96))));
    }
  }
  return worst;
}

test("certified values by fixed point and by mathjs differ by at most twice 2^-95", () => {
  assertLessOrEqual(worstDisagreement(certified, certifiedBy(intervalEnclosures)), 4);
});

test("control: activations rounded to 90 bits disagree", () => {
  const coarse: Analytic<Dyadic> = { ...certified, exp: (x) => divide(certified.exp(x), dyadicOne, 90) };
  assertLess(4, worstDisagreement(coarse, certifiedBy(intervalEnclosures)));
});

test("certified is exact where a ring is, remembers, and splits e^x exactly", () => {
  const x = fromNumber(0.3);
  assert(certified.exp(x) === certified.exp(fromNumber(0.3)), "the same value is returned");
  for (const t of [0, 1, -1, 87.3, 1000, -1e6].map(fromNumber)) {
    const { mantissa, exponent } = certified.expParts(t);
    assert(compare(mantissa, dyadicOne) >= 0 && compare(mantissa, fromNumber(2)) < 0);
    assert(equals(certified.scale2(mantissa, exponent), certified.exp(t)));
  }
  assert(equals(certified.exp(fromNumber(0)), dyadicOne));
  assert(
    equals(certified.atLeast(x, x, dyadicOne, x), dyadicOne) && equals(certified.atLeast(neg(x), x, dyadicOne, x), x),
  );
  assert(equals(certified.expm1(fromNumber(1e8)), certified.exp(fromNumber(1e8))));
});

test("certified remembers correctly past the bound of its memory", () => {
  const known = certifiedBy({ ...fixedPointEnclosures, exp: (x) => ({ lo: x, hi: x }) });
  for (let i = 1; i < 70000; i++) assert(equals(known.exp(fromNumber(i)), fromNumber(i)));
});

test("rounding an enclosure refuses one that is too wide, and rounds to the midpoint", () => {
  const wide: Enclosure = { lo: dyadicOne, hi: add(dyadicOne, scale(dyadicOne, -95)) };
  assertThrows(() => roundEnclosure(wide), RangeError, "its relative width must be ≤ 2^-96, got 2.52435489670723");
  assert(equals(roundEnclosure({ ...wide, hi: add(dyadicOne, scale(dyadicOne, -96)) }), dyadicOne));
  assertThrows(() => roundEnclosure({ lo: neg(dyadicOne), hi: dyadicOne }), RangeError, "got Infinity");
  assertThrows(() => roundEnclosure({ lo: dyadicOne, hi: neg(dyadicOne) }), RangeError, "lo must be ≤ hi, got [1, -1]");
  assert(equals(toDyadic(interval.div(interval.of(1), interval.of(3))), divide(dyadicOne, fromNumber(3), 96)));
});

/** The first interval operation whose result misses the exact value at points inside its operands, or "". */
function brokenInterval(A: Analytic<Interval>): string {
  const has = (x: Interval, exact: Dyadic): boolean => {
    const { lo, hi } = toEnclosure(x);
    // toEnclosure itself widens by 2^-199.
    const slack = scale(abs(exact), -190);
    return compare(lo, add(exact, slack)) <= 0 && compare(sub(exact, slack), hi) <= 0;
  };
  const samples = floats(35, 60, -40, 30);
  for (const [i, x] of samples.entries()) {
    const y = samples[(i * 7 + 1) % samples.length]!;
    const [p, q] = [fromNumber(x), fromNumber(y)];
    // Intervals with the two points as one end each, so that signs and order are all met.
    const a: Interval = { lo: A.of(Math.min(x, x + 1)).lo, hi: A.of(x + 1).hi };
    const b: Interval = { lo: A.of(y - 2).lo, hi: A.of(y).hi };
    if (!has(A.add(a, b), add(p, q))) return `add ${x} ${y}`;
    if (!has(A.sub(a, b), sub(p, q))) return `sub ${x} ${y}`;
    if (!has(A.mul(a, b), mul(p, q))) return `mul ${x} ${y}`;
    if (!has(A.neg(a), neg(p))) return `neg ${x}`;
    if (!has(A.abs(a), abs(p))) return `abs ${x}`;
    if (!has(A.max(a, b), x > y ? p : q)) return `max ${x} ${y}`;
    if (!has(A.div(a, A.of(y)), divide(p, q, 400))) return `div ${x} ${y}`;
    if (!has(A.scale2(a, A.of(-9)), scale(p, -9))) return `scale2 ${x}`;
    if (!has(A.atLeast(a, b, A.of(1), A.of(0)), fromNumber(x >= y ? 1 : 0))) return `atLeast ${x} ${y}`;
  }
  return "";
}

test("interval operations contain the exact results", () => {
  assertEquals(brokenInterval(interval), "");
  assertEquals(interval.exponent(interval.of(-0.1)).lo.toNumber(), -4);
  assertEquals(interval.exponent(interval.of(8)).hi.toNumber(), 3);
  assertEquals(interval.exponent(interval.of(0)).hi.toNumber(), 0);
});

test("control: an interval rounded inwards, or by two corners only, is caught", () => {
  const third = (a: Interval, b: Interval): Interval => ({ lo: interval.div(a, b).hi, hi: interval.div(a, b).lo });
  assertNotEquals(brokenInterval({ ...interval, div: third }), "");
  const corners = (a: Interval, b: Interval): Interval => ({ lo: a.lo.mul(b.lo), hi: a.hi.mul(b.hi) });
  assertNotEquals(brokenInterval({ ...interval, mul: corners }), "");
  const decimal = (x: number): Interval => ({
    lo: interval.of(0).lo.plus(String(x)),
    hi: interval.of(0).lo.plus(String(x)),
  });
  assert(
    !contains(toEnclosure(decimal(0.1)), { lo: fromNumber(0.1), hi: fromNumber(0.1) }),
    "0.1 by its decimal string",
  );
  assert(contains(toEnclosure(interval.of(0.1)), { lo: fromNumber(0.1), hi: fromNumber(0.1) }));
});

test("interval conversion contains doubles of every size, and expParts recombines", () => {
  for (const x of [0.1, 5e-324, 1.7e308, -3, 2 ** -149, 1 / 3]) {
    const exact = fromNumber(x);
    assert(contains(toEnclosure(fromDyadic(exact)), { lo: exact, hi: exact }), `${x}`);
    assert(relativeWidth(toEnclosure(fromDyadic(exact))) < 2 ** -160, `${x}`);
  }
  for (const x of [0, 0.4, -3, 88, -200, 1000].map((x) => interval.of(x))) {
    const { mantissa, exponent } = interval.expParts(x);
    assert(mantissa.lo.gte(0.5) && mantissa.hi.lte(2));
    assert(overlaps(toEnclosure(interval.scale2(mantissa, exponent)), toEnclosure(interval.exp(x))));
  }
});

test("interval errors name the constraint and the value", () => {
  const around0: Interval = { lo: interval.of(-1).lo, hi: interval.of(1).hi };
  assertThrows(() => interval.div(around0, around0), RangeError, "the divisor must exclude 0, got [-1, 1]");
  assertThrows(() => interval.exponent(around0), RangeError, "the interval must exclude 0, got [-1, 1]");
  assertThrows(() => interval.sqrt(around0), RangeError, "the interval must be ≥ 0");
  assertThrows(() => interval.scale2(around0, interval.of(0.5)), RangeError, "e must have integer ends");
  assertThrows(() => interval.of(NaN), RangeError, "the number must be finite, got NaN");
});
