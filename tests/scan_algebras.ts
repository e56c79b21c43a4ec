/** Associative operators with exact arithmetic, on which every schedule must equal the fold. */
import type { Operator } from "../scan/mod.ts";

/** An associative operator with exact arithmetic, its own seeded inputs, and a text that is equal iff elements are. */
export interface Algebra<M> {
  readonly name: string;
  readonly op: Operator<M>;
  readonly commutative: boolean;
  element(draw: (below: number) => number): M;
  text(x: M): string;
}

export function elements<M>(algebra: Algebra<M>, n: number): M[] {
  // Lehmer's generator, so that a length names its inputs.
  let state = n + 1;
  const draw = (below: number): number => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
  return Array.from({ length: n }, () => algebra.element(draw));
}

const CONCATENATION: Algebra<string> = {
  name: "concatenation",
  op: { combine: (earlier, later) => earlier + later },
  commutative: false,
  element: (draw) => String.fromCharCode(97 + draw(26)),
  text: (x) => x,
};

const ADDITION: Algebra<number> = {
  name: "addition",
  op: { combine: (earlier, later) => earlier + later },
  commutative: true,
  element: (draw) => draw(1000),
  text: String,
};

const P = 65521;
type Matrix = readonly [number, number, number, number];

/** Products of unit-determinant matrices, later one on the left, as states are applied. */
const MATRICES: Algebra<Matrix> = {
  name: "2×2 matrices mod 65521",
  op: {
    combine: ([a, b, c, d], [e, f, g, h]) =>
      Object.freeze([(e * a + f * c) % P, (e * b + f * d) % P, (g * a + h * c) % P, (g * b + h * d) % P] as const),
  },
  commutative: false,
  element(draw) {
    const [x, y] = [draw(P), draw(P)];
    return Object.freeze([(x * y + 1) % P, x, y, 1] as const);
  },
  text: (m) => m.join(),
};

/** mantissa · 2^exponent with an odd mantissa (or 0 · 2^0), so that equal numbers have equal parts. */
type Dyadic = readonly [mantissa: bigint, exponent: number];

function dyadic(mantissa: bigint, exponent: number): Dyadic {
  if (mantissa === 0n) return [0n, 0];
  while (mantissa % 2n === 0n) [mantissa, exponent] = [mantissa / 2n, exponent + 1];
  return [mantissa, exponent];
}

function add([m, e]: Dyadic, [n, f]: Dyadic): Dyadic {
  const low = Math.min(e, f);
  return dyadic((m << BigInt(e - low)) + (n << BigInt(f - low)), low);
}

function scale([m, e]: Dyadic, log2: number): Dyadic {
  return m === 0n ? [0n, 0] : [m, e + log2];
}

interface Softmax {
  readonly max: number;
  readonly sum: Dyadic;
  readonly acc: Dyadic;
}

/** Online softmax to base 2 with integer scores: sum = Σ 2^(s − max), acc = Σ 2^(s − max) v. */
const SOFTMAX: Algebra<Softmax> = {
  name: "online softmax",
  op: {
    combine(x, y) {
      const max = Math.max(x.max, y.max);
      const join = (a: Dyadic, b: Dyadic): Dyadic => add(scale(a, x.max - max), scale(b, y.max - max));
      return Object.freeze({ max, sum: join(x.sum, y.sum), acc: join(x.acc, y.acc) });
    },
  },
  commutative: true,
  element: (draw) => Object.freeze({ max: draw(41) - 20, sum: dyadic(1n, 0), acc: dyadic(BigInt(draw(99) - 49), 0) }),
  text: ({ max, sum, acc }) => `${max};${sum};${acc}`,
};

interface Stabilised {
  readonly F: number;
  readonly m: number;
  readonly S: Dyadic;
  readonly n: Dyadic;
}

/** mLSTM's stabilised element with integer log2 gates: m ← max(m1 + F2, m2), S and n in units of 2^m. */
const MLSTM: Algebra<Stabilised> = {
  name: "mLSTM (F, m, S, n)",
  op: {
    combine(x, y) {
      const m = Math.max(x.m + y.F, y.m);
      const join = (a: Dyadic, b: Dyadic): Dyadic => add(scale(a, x.m + y.F - m), scale(b, y.m - m));
      return Object.freeze({ F: x.F + y.F, m, S: join(x.S, y.S), n: join(x.n, y.n) });
    },
  },
  commutative: false,
  element: (draw) =>
    Object.freeze({
      F: -draw(4),
      m: draw(13) - 6,
      S: dyadic(BigInt(draw(99) - 49), 0),
      n: dyadic(BigInt(draw(99) - 49), 0),
    }),
  text: ({ F, m, S, n }) => `${F};${m};${S};${n}`,
};

// deno-lint-ignore no-explicit-any
export const ALGEBRAS: readonly Algebra<any>[] = [CONCATENATION, ADDITION, MATRICES, SOFTMAX, MLSTM];
