import { test } from "node:test";
import { assertEquals } from "@std/assert";
import { checkAssociativity } from "../scan/mod.ts";
import { ALGEBRAS, elements } from "./scan_algebras.ts";
import { STRINGS } from "./scan_terms.ts";

for (const algebra of ALGEBRAS) {
  test(`checkAssociativity passes ${algebra.name}`, () => {
    const equals = (x: unknown, y: unknown): boolean => algebra.text(x) === algebra.text(y);
    assertEquals(checkAssociativity(algebra.op, elements(algebra, 12), equals), undefined);
  });

  if (!algebra.commutative) {
    test(`${algebra.name} depends on the order of its operands`, () => {
      const [x, y] = elements(algebra, 12);
      assertEquals(algebra.text(algebra.op.combine(x, y)) === algebra.text(algebra.op.combine(y, x)), false);
    });
  }
}

test("checkAssociativity returns both sides for the free magma", () => {
  assertEquals(checkAssociativity(STRINGS, ["a", "b"]), {
    a: "a",
    b: "a",
    c: "a",
    leftFirst: "((aa)a)",
    rightFirst: "(a(aa))",
  });
});

test("checkAssociativity returns the first violating triple in the order of the samples", () => {
  // Averages agree when all three are equal, and 0, 0, x does not.
  const average = { combine: (earlier: number, later: number) => (earlier + later) / 2 };
  assertEquals(checkAssociativity(average, [0, 4]), { a: 0, b: 0, c: 4, leftFirst: 2, rightFirst: 1 });
});

test("checkAssociativity has nothing to say without samples", () => {
  assertEquals(checkAssociativity(STRINGS, []), undefined);
});
