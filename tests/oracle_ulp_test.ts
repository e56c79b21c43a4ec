import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { add, fromNumber, scale } from "../oracle/dyadic.ts";
import { compare32, POISON32, ulpOf32, ulps } from "../oracle/ulp.ts";

test("ulpOf32 is the distance of neighbouring floats", () => {
  for (const x of [1, 1.5, -1.9999999, 2, 0.1, 2 ** -126, 2 ** -127, 2 ** -149, 0, 3e38, -7]) {
    const f = new Float32Array([Math.abs(x)]);
    const low = f[0]! > Math.abs(x) ? (new Uint32Array(f.buffer)[0]! -= 1, f[0]!) : f[0]!;
    new Uint32Array(f.buffer)[0]! += 1;
    assertEquals(ulpOf32(x), f[0]! - low, `${x}`);
    assertEquals(ulpOf32(fromNumber(x)), f[0]! - low, `${x}`);
  }
  assertEquals(ulpOf32(1e300), 2 ** 104);
  assertEquals(ulpOf32(1e-300), 2 ** -149);
  assertThrows(() => ulpOf32(NaN), RangeError, "the number must be finite, got NaN");
});

test("ulps measures from the exact truth", () => {
  assertEquals(ulps(1, 1), 0);
  assertEquals(ulps(1 + 2 ** -23, 1), 1);
  assertEquals(ulps(1 - 2 ** -24, 1), 0.5);
  assertEquals(ulps(-1, 1), 2 ** 24);
  assertEquals(ulps(0, 2 ** -149), 1);
  assertEquals(ulps(1, add(fromNumber(1), scale(fromNumber(1), -100))), 2 ** -77);
  for (const x of [NaN, Infinity, -Infinity]) assertEquals(ulps(x, 1), Infinity);
  assertThrows(() => ulps(1, Infinity), RangeError, "must be finite");
});

test("compare32 passes within the allowance and names the first and the worst element beyond it", () => {
  const truth = [1, fromNumber(2), 4, -8];
  const got = new Float32Array([1, 2 + 2 ** -22, 4 + 2 ** -20, -8]);
  const loose = compare32(got, truth, 2);
  assert(loose.ok && loose.first === undefined);
  assertEquals([loose.worst, loose.worstIndex], [2, 2]);
  const strict = compare32(got, truth, 0.5);
  assertEquals([strict.ok, strict.bad], [false, 2]);
  assertEquals(strict.first, { index: 1, got: 2 + 2 ** -22, truth: 2, ulps: 1, allowed: 0.5, reason: "off" });
  assertEquals(compare32(got, truth, (i) => i === 1 ? 1 : 1.5).first?.index, 2);
  assertEquals(compare32([], [], 0), { ok: true, bad: 0, worst: 0, worstIndex: -1 });
});

test("control: NaN, infinities and unwritten elements fail under any allowance", () => {
  for (const [value, reason] of [[NaN, "not finite"], [Infinity, "not finite"], [POISON32, "unwritten"]] as const) {
    const outcome = compare32(new Float32Array([1, value]), [1, value === POISON32 ? POISON32 : 1], Infinity);
    assertEquals([outcome.ok, outcome.first?.index, outcome.first?.reason], [false, 1, reason]);
  }
  assertEquals(compare32([7, 1], [7, 1], Infinity, { poison: 7 }).first?.reason, "unwritten");
});

test("control: a relative fault of 2^-10 in one element is found", () => {
  const truth = Array.from({ length: 100 }, (_, i) => 1 + i / 128);
  const got = Float32Array.from(truth);
  got[63]! *= 1 + 2 ** -10;
  assertEquals(compare32(got, truth, 64).first?.index, 63);
});

test("compare32 refuses what cannot be compared", () => {
  assertThrows(() => compare32([1], [1, 2], 0), RangeError, "lengths must be equal, got 1 elements and 2 truths");
  assertThrows(() => compare32([1], [1], NaN), RangeError, "a number of ulps ≥ 0, got NaN at index 0");
  assertThrows(() => compare32([1], [NaN], 1), RangeError, "must be finite, got NaN");
});
