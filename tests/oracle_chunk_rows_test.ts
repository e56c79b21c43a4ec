/** Chunk kernels on the CPU taken through the whole check: every row holds, and every fault is seen. */

import { test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { AnyAffineModel } from "../models/affine.ts";
import type { Execution } from "../models/execution.ts";
import { models } from "../models/mod.ts";
import { checkDuality, type CheckOptions, expectedRows } from "../oracle/duality.ts";
import type { Row } from "../oracle/report.ts";
import { deltaDouble, glaDouble } from "./chunk_doubles.ts";

const options: CheckOptions = { lengths: [0, 1, 65, 129], seed: 5 };
const modelOf = (name: string): AnyAffineModel => models.find((model) => model.name === name)!;
const matrices = models.filter(({ action }) => action === "matrix");
const words = ({ check, execution, inputs, length, detail }: Row): string =>
  `${check} ${execution} ${inputs} ${length}: ${detail}`;

const kinds: readonly (readonly [string, Execution, string])[] = [
  ...matrices.map(({ name }) => ["by substitution", deltaDouble(64), name] as const),
  ["in short chunks", deltaDouble(16), "gated-delta-net"],
  ["by the inverses of blocks", deltaDouble(64, { inverse: 16 }), "delta-net"],
  ["by the inverses of blocks", deltaDouble(32, { inverse: 32 }), "kda"],
  ["with operands of two halves", deltaDouble(32, { floor: 2 ** -39 }), "gated-delta-net"],
  ["telescoped", glaDouble(64), "gla"],
  ["in short chunks", glaDouble(16), "gla"],
  ["with operands of two halves", glaDouble(16, { floor: 2 ** -39 }), "gla"],
];

for (const [how, double, name] of kinds) {
  test(`${double.name}, ${how}: every check of ${name} holds, every fault is seen`, async () => {
    const report = await checkDuality(modelOf(name), [double], options);
    assertEquals(report.rows.filter(({ ok }) => !ok).map(words), []);
    assertEquals(report.rows.length, expectedRows(modelOf(name), [double], options));
    const faults = report.rows.filter(({ check, execution }) =>
      check === "control" && execution.startsWith(double.name)
    );
    assertEquals(faults.length, double.gradients === undefined ? 2 : 4);
  });
}

test("the gradient of telescoped log gates needs the promise that they are", async () => {
  const { gradient, ...rest } = glaDouble(64).rounding;
  const told = (dims: Parameters<NonNullable<typeof gradient>>): ReturnType<NonNullable<typeof gradient>> =>
    gradient!(...dims);
  const untold: Execution = {
    ...glaDouble(64),
    rounding: { ...rest, gradient: (...dims) => ({ ...told(dims), telescoped: undefined }) },
  };
  const { rows } = await checkDuality(modelOf("gla"), [untold], options);
  assert(rows.some(({ check, ok }) => check === "gradient" && !ok));
});

test("two executions of one name are refused", async () => {
  await assertRejects(
    () => checkDuality(modelOf("gla"), [glaDouble(16), glaDouble(16)], options),
    Error,
    "got two of gla double",
  );
});
