/** `contributions` and `gather` on small expressions, and `evaluator`, which runs them. */

import { test } from "node:test";
import { assertAlmostEquals, assertEquals, assertLess, assertThrows } from "@std/assert";
import { contributions } from "../models/adjoint.ts";
import type { Index, SymbolicIndex } from "../models/arith.ts";
import { evaluator, freeSymbols, operands } from "../models/evaluate.ts";
import { gather } from "../models/gather.ts";
import { f64 } from "../models/number.ts";
import { type Expr, symbolic, type SymbolicAlgebra } from "../models/symbolic.ts";

const p: SymbolicIndex = { symbol: "p" };

/** d output / d x[p], p < n, where x is loaded with one index. */
function gradientOf(A: SymbolicAlgebra, output: Expr, n: number): Expr {
  return gather(A, contributions(A, [{ output, adjoint: A.of(1) }]), [], {
    matches: (leaf) => leaf.op === "load" && leaf.field === "x",
    entry: [{ index: p, n }],
  });
}

function at(expr: Expr, x: readonly number[], position: number): number {
  return evaluator<number>(f64, { load: (_, [i]) => x[i as number]! }).bind(p, position).value(expr);
}

/** All derivatives of `f` at `x`. */
function derivatives(f: (A: SymbolicAlgebra, x: (i: Index) => Expr) => Expr, x: readonly number[]): number[] {
  const A = symbolic();
  const gradient = gradientOf(A, f(A, (i) => A.load("x", [i])), x.length);
  return x.map((_, n) => at(gradient, x, n));
}

test("contributions gives max at a tie to its first operand", () => {
  assertEquals(derivatives((A, x) => A.max(x(0), x(1)), [2, 2]), [1, 0]);
  assertEquals(derivatives((A, x) => A.max(x(0), x(1)), [1, 2]), [0, 1]);
});

test("contributions gives abs and sqrt at 0 the derivative 0", () => {
  assertEquals(derivatives((A, x) => A.abs(x(0)), [0]), [0]);
  assertEquals(derivatives((A, x) => A.abs(x(0)), [-3]), [-1]);
  assertEquals(derivatives((A, x) => A.abs(x(0)), [3]), [1]);
  assertEquals(derivatives((A, x) => A.sqrt(x(0)), [0]), [0]);
  assertEquals(derivatives((A, x) => A.sqrt(x(0)), [4]), [1 / 4]);
});

test("contributions takes exponents for constants", () => {
  assertEquals(derivatives((A, x) => A.exponent(x(0)), [5]), [0]);
  assertEquals(derivatives((A, x) => A.scale2(x(0), x(1)), [5, 3]), [8, 0]);
  const [d] = derivatives((A, x) => {
    const { mantissa, exponent } = A.expParts(x(0));
    return A.scale2(mantissa, exponent);
  }, [3.7]);
  assertAlmostEquals(d!, Math.exp(3.7), 2 ** -45);
});

const functions: readonly (readonly [string, (A: SymbolicAlgebra, x: Expr) => Expr, (x: number) => number])[] = [
  ["exp", (A, x) => A.exp(x), Math.exp],
  ["expm1", (A, x) => A.expm1(x), Math.exp],
  ["sqrt", (A, x) => A.sqrt(x), (x) => 0.5 / Math.sqrt(x)],
  ["sigmoid", (A, x) => A.sigmoid(x), (x) => 1 / (2 + Math.exp(x) + Math.exp(-x))],
  ["softplus", (A, x) => A.softplus(x), (x) => 1 / (1 + Math.exp(-x))],
  ["neg", (A, x) => A.neg(x), () => -1],
  ["1 / x", (A, x) => A.div(A.of(1), x), (x) => -1 / (x * x)],
  ["x − x²", (A, x) => A.sub(x, A.mul(x, x)), (x) => 1 - 2 * x],
];

for (const [name, f, derivative] of functions) {
  test(`contributions differentiates ${name}`, () => {
    for (const x of [0.25, 1, 3]) {
      assertAlmostEquals(derivatives((A, load) => f(A, load(0)), [x])[0]!, derivative(x), 2 ** -45 * 32);
    }
  });
}

test("contributions keeps the sums of a squared sum apart", () => {
  const f = (A: SymbolicAlgebra, x: (i: Index) => Expr): Expr => {
    const total = A.sum(3, x);
    return A.mul(total, total);
  };
  assertEquals(derivatives(f, [1, 2, 4]), [14, 14, 14]);
});

test("contributions follows nested sums and below", () => {
  // Σ_i Σ_j x_i (x_j for j < 2, else 1), x = [1, 2, 4]: (x0 + x1 + x2)(x0 + x1 + 1).
  const f = (A: SymbolicAlgebra, x: (i: Index) => Expr): Expr =>
    A.sum(3, (i) => A.sum(3, (j) => A.mul(x(i), A.below(j, 2, x, () => A.of(1)))));
  assertEquals(derivatives(f, [1, 2, 4]), [11, 11, 4]);
});

test("contributions is linear in the graph", () => {
  const A = symbolic();
  let x: Expr = A.load("x", [0]);
  for (let n = 0; n < 50; n++) x = A.add(x, x);
  const found = contributions(A, [{ output: x, adjoint: A.of(1) }]);
  assertEquals(found.length, 1);
  assertEquals(at(found[0]!.adjoint, [1], 0), 2 ** 50);
  const seen = new Set<Expr>();
  const count = (expr: Expr): void => {
    if (seen.has(expr)) return;
    seen.add(expr);
    operands(expr).forEach(count);
  };
  count(found[0]!.adjoint);
  assertLess(seen.size, 200);
});

test("gather pulls sums past the factors they do not touch", () => {
  // d/dβ of Σ_i Σ_j β x_i x_j y_j must not nest three loops: it is (Σ x)(Σ x y).
  const A = symbolic();
  const x = (i: Index): Expr => A.load("x", [i]);
  const y = (i: Index): Expr => A.load("y", [i]);
  const output = A.sum(4, (i) => A.sum(4, (j) => A.mul(A.mul(A.load("beta", []), x(i)), A.mul(x(j), y(j)))));
  const gradient = gather(A, contributions(A, [{ output, adjoint: A.of(1) }]), [], {
    matches: (leaf) => leaf.op === "load" && leaf.field === "beta",
    entry: [],
  });
  const depth = (expr: Expr): number => (expr.op === "sum" ? 1 : 0) + Math.max(0, ...operands(expr).map(depth));
  assertEquals(depth(gradient), 1);
  assertEquals(evaluator<number>(f64, { load: (_, [i]) => (i as number) + 1 }).value(gradient), 10 * 30);
});

test("evaluator computes what a sum's index does not change once", () => {
  const A = symbolic();
  let loads = 0;
  const expr = A.sum(10, (i) => A.mul(A.load("x", [i]), A.exp(A.load("g", []))));
  const scope = evaluator<number>(f64, {
    load(field) {
      if (field === "g") loads++;
      return 0;
    },
  });
  assertEquals(scope.value(expr), 0);
  assertEquals(loads, 1);
  assertEquals([...freeSymbols(expr)], []);
});

test("evaluator names a leaf it was given nothing for", () => {
  const A = symbolic();
  assertThrows(() => evaluator(f64, {}).value(A.load("x", [])), TypeError, "the environment has no field x");
});
