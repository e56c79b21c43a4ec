/** Normal numbers in bulk: their distribution, to what chance allows, and the same numbers on every runtime. */

import { test } from "node:test";
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { fillNormal } from "../models/normals.ts";
import { seededBits } from "../models/random.ts";

/** P(|x| > z) of a normal x, to 1e-7: its integral by Simpson's rule from z to z + 10. */
function beyond(z: number): number {
  const parts = 2000;
  const h = 10 / parts;
  let sum = 0;
  for (let i = 0; i <= parts; i++) {
    const weight = i === 0 || i === parts ? 1 : i % 2 === 0 ? 2 : 4;
    sum += weight * Math.exp(-0.5 * (z + i * h) ** 2);
  }
  return 2 * sum * h / 3 / Math.sqrt(2 * Math.PI);
}

const count = 1 << 20;

function drawn(seed: number): Float32Array {
  const numbers = new Float32Array(count);
  fillNormal(numbers, 1, seededBits(seed, "normals"));
  return numbers;
}

/**
 * Shares of |x| between edges a tenth apart, up to 4.5 and beyond, and of x > 0: how many standard deviations the worst is
 * off. Edges of layers lie between, so a wrong wedge or tail shows.
 */
function worst(numbers: Float32Array): number {
  const edges = Array.from({ length: 46 }, (_, i) => i / 10);
  const counts = new Float64Array(edges.length);
  let positive = 0;
  for (const x of numbers) {
    counts[Math.min(edges.length - 1, Math.floor(10 * Math.abs(x)))]!++;
    if (x > 0) positive++;
  }
  const off = (seen: number, p: number): number => Math.abs(seen - count * p) / Math.sqrt(count * p * (1 - p));
  const shares = edges.map((edge, i) => beyond(edge) - (i + 1 < edges.length ? beyond(edges[i + 1]!) : 0));
  return Math.max(off(positive, 0.5), ...shares.map((p, i) => off(counts[i]!, p)));
}

// 47 shares, each beyond 6 deviations with a chance of 2e-9; those beyond 4.5 are seven numbers, Poisson: beyond 6 of their
// deviations, 2.7 each, by 2e-5.
test("normal numbers are as frequent as they must be, in the middle, the wedges and the tail", () => {
  for (const seed of [1, 2]) {
    const numbers = drawn(seed);
    assertLess(worst(numbers), 6);
    // Controls: a deviation off by three in a hundred; a tail cut at R; one of a hundred signs wrong.
    assertGreater(worst(numbers.map((x) => 1.03 * x)), 6);
    assertGreater(worst(numbers.map((x) => Math.abs(x) > 3.442619855899 ? x / 2 : x)), 6);
    assertGreater(worst(numbers.map((x, i) => i % 100 === 0 && x > 0 ? -x : x)), 6);
    // Neighbours are independent: their mean product is 0 to 1/√N.
    const product = numbers.reduce((sum, x, i) => sum + x * numbers[(i + 1) % count]!, 0) / count;
    assertLess(Math.abs(product) * Math.sqrt(count), 6);
    assert(numbers.every((x) => x !== 0 && Number.isFinite(x)));
  }
});

test("normal numbers are the same on every runtime, and scale with their deviation", () => {
  let h = 0x811c9dc5;
  const numbers = drawn(1);
  for (const word of new Uint32Array(numbers.buffer)) h = Math.imul(h ^ word, 0x01000193);
  assertEquals((h >>> 0).toString(16), "1747c81d");
  const small = new Float32Array(100);
  fillNormal(small, 2 ** -6, seededBits(1, "normals"));
  assertEquals(small, numbers.slice(0, 100).map((x) => x * 2 ** -6));
});
