/** The negative control: a GRU is rejected in both disguises, and nothing that is affine or associative is. */
import { test } from "node:test";
import { assert, assertAlmostEquals, assertEquals, assertLess, assertMatch, assertRejects } from "@std/assert";
import { type Aggregator, aggregator } from "../models/aggregator.ts";
import type { AnyAffineModel, Sizes } from "../models/affine.ts";
import type { Analytic, Index } from "../models/arith.ts";
import { InputError } from "../models/error.ts";
import { tokensOf } from "../models/execution.ts";
import { gru, gruAggregator } from "../models/gru.ts";
import { prepare, sampleInputs } from "../models/inputs.ts";
import { models } from "../models/mod.ts";
import { f64 } from "../models/number.ts";
import { type DenseElement, modelMonoid } from "../models/run.ts";
import { type FieldValues, tokenArrays } from "../models/token.ts";
import { affineDefect, gruControlCount, gruControlRows, treeDefect } from "../oracle/checks/gru.ts";
import { checkDuality } from "../oracle/duality.ts";
import { stepLanes } from "../oracle/run.ts";

const sizes: Sizes = { K: 3, V: 1 };

function token(seed: number): FieldValues<number> {
  const dims = { B: 1, T: 1, H: 1, sizes };
  return tokensOf(f64, prepare(gru, dims, sampleInputs(gru, dims, "random", seed, 1)), 0, 0)[0]!;
}

test("gru: step is the textbook cell", () => {
  for (const seed of [1, 2, 3]) {
    const values = token(seed);
    const { z, r, c, Uz, Ur, Uc } = tokenArrays(gru, sizes, values) as
      & {
        [name in "z" | "r" | "c"]: number[];
      }
      & { [name in "Uz" | "Ur" | "Uc"]: number[][] };
    const h = [0.5, -1.25, 2];
    const times = (U: number[][], x: number[]): number[] =>
      U.map((row) => row.reduce((sum, u, j) => sum + u * x[j]!, 0));
    const sigma = (x: number): number => 1 / (1 + Math.exp(-x));
    const [uz, ur] = [times(Uz, h), times(Ur, h)];
    const reset = r.map((a, i) => sigma(a + ur[i]!) * h[i]!);
    const want = times(Uc, reset).map((u, i) => {
      const gate = sigma(z[i]! + uz[i]!);
      return (1 - gate) * h[i]! + gate * Math.tanh(c[i]! + u);
    });
    stepLanes(f64, gru, sizes, values, h.map((x) => [x])).forEach(([got], i) =>
      assertAlmostEquals(got!, want[i]!, 1e-14)
    );
  }
});

test("gru: lift is the step's value and derivative at state 0", () => {
  for (const seed of [1, 2, 3]) {
    const values = token(seed);
    const { E, F } = modelMonoid(f64, gru, sizes).lift(values) as DenseElement<number>;
    const step = (h: readonly number[]): number[] =>
      stepLanes(f64, gru, sizes, values, h.map((x) => [x])).map(([y]) => y!);
    step([0, 0, 0]).forEach((y, i) => assertAlmostEquals(F[i]![0]!, y, 1e-14));
    const d = 1e-5;
    for (let j = 0; j < 3; j++) {
      const at = (x: number): number[] => step([0, 1, 2].map((i) => i === j ? x : 0));
      const [up, down] = [at(d), at(-d)];
      // Central differences: off by d² times a third derivative, and by rounding over d.
      for (let i = 0; i < 3; i++) assertAlmostEquals(E[i]![j]!, (up[i]! - down[i]!) / (2 * d), 1e-8);
    }
  }
});

test("gru: both disguises are rejected, with both maxima, for any seed", () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const rows = gruControlRows(seed);
    assertEquals(rows.length, gruControlCount);
    for (const row of rows) {
      assert(row.ok);
      assertEquals([row.model, row.check, row.seed], ["gru", "control", seed]);
      assertMatch(row.detail!, /^rejected: max \|(lift scan − step|tree − fold)\| \d\.\d+ \(certified ≥ \d\.\d+\)$/);
    }
  }
});

test("gru: what is measured in f64 is what is certified", () => {
  for (const { measured, proved, possible } of [affineDefect(gru, 1), treeDefect(gruAggregator(3), 1)]) {
    assertAlmostEquals(measured, proved, 1e-12);
    assertAlmostEquals(possible, proved, 1e-12);
  }
});

for (const model of models) {
  test(`${model.name}: the procedure that rejects a GRU does not reject it, and not for want of sight`, () => {
    const { rejected, possible, measured } = affineDefect(model, 1);
    assert(!rejected);
    assertLess(possible, 1e-30);
    assertLess(measured, 1e-13);
  });
}

/** The GRU with its recurrent weights multiplied by `factor`. */
function weakened(factor: number): AnyAffineModel {
  type Entry<N> = (i: Index, j: Index) => N;
  return {
    ...gru,
    gates<N>(A: Analytic<N>, x: { readonly [name: string]: unknown }, sizes: Required<Sizes>) {
      const scaled = (U: string): Entry<N> => (i, j) => A.mul(A.of(factor), (x[U] as Entry<N>)(i, j));
      return gru.gates(A, { ...x, Uz: scaled("Uz"), Ur: scaled("Ur"), Uc: scaled("Uc") }, sizes);
    },
  };
}

test("a GRU that does not see its state is affine, and is not rejected", () => {
  const { rejected, possible } = affineDefect(weakened(0), 1);
  assert(!rejected);
  assertLess(possible, 1e-30);
});

test("the least dependence on the state is rejected", () => {
  const { rejected, measured } = affineDefect(weakened(1e-9), 1);
  assert(rejected);
  assertLess(measured, 1e-8);
});

test("a model whose lift is wrong is rejected as a GRU is", () => {
  const minGru = models.find(({ name }) => name === "min-gru")!;
  const twice: AnyAffineModel["lift"] = (A, x, k, v, sizes) => {
    const { a, b } = minGru.lift(A, x, k, v, sizes);
    return { a, b: A.add(b, b) };
  };
  assert(affineDefect({ ...minGru, lift: twice }, 1).rejected);
});

test("an associative aggregator is not rejected", () => {
  const sound: Aggregator = aggregator({
    name: "pair",
    width: 2,
    agg: (A, [a1, b1], [a2, b2]) => [A.mul(a2, a1), A.add(A.mul(a2, b1), b2)],
  });
  const smooth: Aggregator = aggregator({
    name: "log-sum-exp",
    width: 1,
    agg: (A, [a], [b]) => [A.add(a, A.softplus(A.sub(b, a)))],
  });
  for (const { rejected, possible } of [treeDefect(sound, 1), treeDefect(smooth, 1)]) {
    assert(!rejected);
    assertLess(possible, 1e-30);
  }
});

test("gru: the harness refuses to run its step exactly, in words, and the kit does not list it", async () => {
  await assertRejects(() => checkDuality(gru, [], { lengths: [1] }), InputError, "got a ring without it");
  assert(!models.some(({ name }) => name === gru.name));
});
