/** Laws of the algebras, as functions that name the first law broken, so that each can be shown to fail. */

import type { Index, Ring, ScaledRing } from "../models/arith.ts";

/** Lehmer's generator: integers in [0, below). */
export function seeded(seed: number): (below: number) => number {
  let state = seed % 2147483646 + 1;
  return (below) => {
    state = (state * 48271) % 2147483647;
    return Math.floor(state / 2147483647 * below);
  };
}

/** Floats of either sign with exponents in [from, to], seeded. */
export function floats(seed: number, count: number, from: number, to: number): number[] {
  const draw = seeded(seed);
  return Array.from({ length: count }, () => {
    const mantissa = 1 + draw(2 ** 23) / 2 ** 23;
    return Math.fround((draw(2) === 0 ? -mantissa : mantissa) * 2 ** (from + draw(to - from + 1)));
  });
}

/** The first law of a commutative ring that `A` breaks on triples of the samples, or "". */
export function brokenRingLaw<N>(A: Ring<N>, samples: readonly N[], equal: (a: N, b: N) => boolean): string {
  const zero = A.of(0);
  const one = A.of(1);
  const laws: Record<string, (a: N, b: N, c: N) => readonly [N, N]> = {
    "a + b = b + a": (a, b) => [A.add(a, b), A.add(b, a)],
    "(a + b) + c = a + (b + c)": (a, b, c) => [A.add(A.add(a, b), c), A.add(a, A.add(b, c))],
    "a b = b a": (a, b) => [A.mul(a, b), A.mul(b, a)],
    "(a b) c = a (b c)": (a, b, c) => [A.mul(A.mul(a, b), c), A.mul(a, A.mul(b, c))],
    "a (b + c) = a b + a c": (a, b, c) => [A.mul(a, A.add(b, c)), A.add(A.mul(a, b), A.mul(a, c))],
    "a + 0 = a": (a) => [A.add(a, zero), a],
    "a 1 = a": (a) => [A.mul(a, one), a],
    "a + −a = 0": (a) => [A.add(a, A.neg(a)), zero],
    "a − b = a + −b": (a, b) => [A.sub(a, b), A.add(a, A.neg(b))],
    "of(−3) = −(1 + 1 + 1)": () => [A.of(-3), A.neg(A.add(A.add(one, one), one))],
    "Σ is the repeated sum": (a, b, c) => [A.sum(3, (i) => [a, b, c][i as number]!), A.add(A.add(a, b), c)],
    "Σ of nothing = 0": (a) => [A.sum(0, () => a), zero],
    "eye(i, i) = 1": () => [A.eye(4, 4), one],
    "eye(i, j) = 0": () => [A.eye(4, 5), zero],
    "below chooses by the index": (a, b) => [
      A.sum(4, (i: Index) => A.below(i, 3, () => a, () => b)),
      A.add(A.mul(A.of(3), a), b),
    ],
  };
  for (let i = 0; i < samples.length; i++) {
    const [a, b, c] = [0, 1, 2].map((k) => samples[(i + k) % samples.length]!) as [N, N, N];
    for (const [name, law] of Object.entries(laws)) if (!equal(...law(a, b, c))) return `${name}, sample ${i}`;
  }
  return "";
}

/** The first law of scaling and order that `A` breaks, or "": for rings that have an order. */
export function brokenScaleLaw<N>(A: ScaledRing<N>, samples: readonly N[], equal: (a: N, b: N) => boolean): string {
  const zero = A.of(0);
  const magnitude = (x: N): N => A.max(x, A.neg(x));
  const laws: Record<string, (a: N, b: N, c: N) => readonly [N, N]> = {
    "max is associative": (a, b, c) => [A.max(A.max(a, b), c), A.max(a, A.max(b, c))],
    "max is commutative": (a, b) => [A.max(a, b), A.max(b, a)],
    "max + min = a + b": (a, b) => [A.sub(A.max(a, b), A.max(A.neg(a), A.neg(b))), A.add(a, b)],
    "max(a, b) + c = max(a + c, b + c)": (a, b, c) => [A.add(A.max(a, b), c), A.max(A.add(a, c), A.add(b, c))],
    "a 2^3 = 8 a": (a) => [A.scale2(a, A.of(3)), A.mul(a, A.of(8))],
    "(a 2^-7) 2^7 = a": (a) => [A.scale2(A.scale2(a, A.of(-7)), A.of(7)), a],
    "2^exponent(a) ≤ |a|": (a) => {
      const least = A.scale2(A.of(1), A.exponent(a));
      return [A.max(magnitude(a), equal(a, zero) ? zero : least), magnitude(a)];
    },
    "|a| < 2^(exponent(a) + 1)": (a) => {
      const next = A.scale2(A.of(1), A.add(A.exponent(a), A.of(1)));
      return [equal(A.max(magnitude(a), next), next) && !equal(magnitude(a), next) ? zero : A.of(1), zero];
    },
    "exponent(0) = 0": () => [A.exponent(zero), zero],
  };
  for (let i = 0; i < samples.length; i++) {
    const [a, b, c] = [0, 1, 2].map((k) => samples[(i + k) % samples.length]!) as [N, N, N];
    for (const [name, law] of Object.entries(laws)) if (!equal(...law(a, b, c))) return `${name}, sample ${i}`;
  }
  return "";
}
