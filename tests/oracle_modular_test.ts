import { test } from "node:test";
import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import type { ScaledRing } from "../models/arith.ts";
import { modular, wrap32 } from "../models/modular.ts";
import { brokenRingLaw, seeded } from "./oracle_laws.ts";

const same = (a: number, b: number): boolean => a === b;

const RINGS: readonly { name: string; A: ScaledRing<number>; modulus: bigint }[] = [
  { name: "Z/3", A: modular(3), modulus: 3n },
  { name: "Z/65521", A: modular(65521), modulus: 65521n },
  { name: "Z/65535", A: modular(65535), modulus: 65535n },
  { name: "Z/2^32", A: wrap32, modulus: 1n << 32n },
];

function elements(modulus: bigint, count: number): number[] {
  const draw = seeded(Number(modulus));
  const last = Number(modulus) - 1;
  return [0, 1, last, last - 1, Math.floor(last / 2), ...Array.from({ length: count }, () => draw(last + 1))];
}

/** The first operation that differs from the same one on BigInts, or "". */
function differenceFromBigInt(A: ScaledRing<number>, modulus: bigint): string {
  const mod = (x: bigint): number => Number(((x % modulus) + modulus) % modulus);
  const samples = elements(modulus, 300);
  for (const [i, a] of samples.entries()) {
    const b = samples[(3 * i + 1) % samples.length]!;
    const [x, y] = [BigInt(a), BigInt(b)];
    if (A.add(a, b) !== mod(x + y)) return `${a} + ${b}`;
    if (A.sub(a, b) !== mod(x - y)) return `${a} - ${b}`;
    if (A.mul(a, b) !== mod(x * y)) return `${a} * ${b}`;
    if (A.neg(a) !== mod(-x)) return `-${a}`;
  }
  for (const c of [0, 1, -1, -7, 65521, -65521, 2 ** 31, -(2 ** 31), 2 ** 32 + 5, 2 ** 53 - 1, -(2 ** 53) + 1, 1e300]) {
    if (A.of(c) !== mod(BigInt(c))) return `of(${c})`;
  }
  return "";
}

for (const { name, A, modulus } of RINGS) {
  test(`${name} obeys the laws of a ring and equals BigInt arithmetic`, () => {
    assertEquals(brokenRingLaw(A, elements(modulus, 60), same), "");
    assertEquals(differenceFromBigInt(A, modulus), "");
  });

  test(`${name} has exponent 0 only`, () => {
    for (const a of elements(modulus, 20)) {
      assertEquals(A.exponent(a), 0);
      assertEquals(A.scale2(a, 0), a);
      assertThrows(() => A.scale2(a, 1), RangeError, "the exponent must be 0, got 1");
    }
    assertEquals(A.max(0, 0), 0);
  });
}

test("of maps 1/2 to the inverse of 2 modulo p, and a dyadic fraction homomorphically", () => {
  const A = modular(65521);
  assertEquals(A.mul(A.of(0.5), A.of(2)), 1);
  assertEquals(A.of(-0.1), A.neg(A.of(0.1)));
  assertEquals(A.mul(A.of(0.1), A.of(2 ** 60)), A.of(0.1 * 2 ** 60));
});

test("errors name the constraint and the value", () => {
  for (const p of [2, 4, 65537, 1, 7.5, NaN]) assertThrows(() => modular(p), RangeError, `got ${p}`);
  assertThrows(() => modular(65521).of(NaN), RangeError, "the constant must be finite, got NaN");
  assertThrows(() => wrap32.of(0.5), RangeError, "it must be an integer, got 0.5");
  assertThrows(() => wrap32.of(Infinity), RangeError, "the constant must be finite");
});

test("control: a product through doubles, a missing borrow and a wrong modulus are caught", () => {
  const doubles = { ...wrap32, mul: (a: number, b: number) => (a * b) >>> 0 };
  assertNotEquals(differenceFromBigInt(doubles, 1n << 32n), "");
  assertNotEquals(brokenRingLaw(doubles, elements(1n << 32n, 60), same), "");
  const borrow = { ...modular(65521), sub: (a: number, b: number) => Math.abs(a - b) };
  assertNotEquals(brokenRingLaw(borrow, elements(65521n, 60), same), "");
  assertNotEquals(differenceFromBigInt(modular(65519), 65521n), "");
});
