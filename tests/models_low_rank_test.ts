/** A matrix taken apart is the same matrix, entry by entry. */
import { test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import type { SymbolicIndex } from "../models/arith.ts";
import { evaluator } from "../models/evaluate.ts";
import { type LowRank, lowRank } from "../models/low_rank.ts";
import { models } from "../models/mod.ts";
import { f64 } from "../models/number.ts";
import { seeded } from "../models/random.ts";
import type { Expr } from "../models/symbolic.ts";
import { i, j, traceModel } from "../models/traced.ts";

const sizes = { K: 5, V: 3 };
const [row, column] = [i as SymbolicIndex, j as SymbolicIndex];

/** The largest difference between E and its parts, over all entries, at seeded inputs. */
function difference(E: Expr, { diagonal, terms }: LowRank): number {
  const random = seeded(2, "low rank");
  const values = new Map<string, number>();
  const scope = evaluator(f64, {
    load(name, index) {
      const key = `${name} ${index.join(" ")}`;
      const value = values.get(key) ?? -random();
      values.set(key, value);
      return value;
    },
  });
  let most = 0;
  for (let a = 0; a < sizes.K; a++) {
    for (let b = 0; b < sizes.K; b++) {
      const at = (p: number, q: number): ReturnType<typeof scope.bind> => scope.bind(row, p).bind(column, q);
      const sum = terms.reduce(
        (total, { left, right }) => total + at(a, b).value(left) * at(a, b).value(right),
        a === b ? at(a, a).value(diagonal) : 0,
      );
      most = Math.max(most, Math.abs(sum - at(a, b).value(E)));
    }
  }
  return most;
}

const matrices = models.filter(({ action }) => action === "matrix");

for (const model of matrices) {
  test(`${model.name}: E is a diagonal plus one product of vectors`, () => {
    const { algebra, matrix } = traceModel(model, sizes);
    const parts = lowRank(algebra, matrix!.E, row, column);
    assert(parts !== undefined);
    assertEquals(parts.terms.length, 1);
    assert(difference(matrix!.E, parts) < 2 ** -48);
    // Control: without its diagonal it is another matrix.
    assert(difference(matrix!.E, { ...parts, diagonal: algebra.of(0) }) > 2 ** -10);
  });
}

test("a matrix that is no sum of products of vectors is not taken apart", () => {
  const { algebra: A, matrix } = traceModel(matrices[0]!, sizes);
  assertEquals(lowRank(A, A.max(matrix!.E, A.of(0)), row, column), undefined);
});
