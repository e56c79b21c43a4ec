/** Every model of the kit through every execution, the GPU's and its gradients included, at lengths around a chunk's. */

import { after, test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { gpuExecution } from "../kernels/scan.ts";
import { InputError } from "../models/error.ts";
import { models } from "../models/mod.ts";
import { checkDuality, type CheckOptions, cpuExecutions, expectedRows } from "../oracle/duality.ts";
import type { Row } from "../oracle/report.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("every model on the GPU");
after(() => gpu?.close());
const executions = [...cpuExecutions(), ...(gpu === null ? [] : [gpuExecution(gpu)])];
const options: CheckOptions = { lengths: [0, 1, 3, 65, 129], seed: 3 };

const words = ({ check, execution, inputs, length, detail }: Row): string =>
  `${check} ${execution} ${inputs} ${length}: ${detail}`;

for (const model of models) {
  test(`${model.name}: every check holds in every execution`, async () => {
    const report = await checkDuality(model, executions, options);
    assertEquals(report.rows.filter(({ ok }) => !ok).map(words), []);
    assertEquals(report.rows.length, expectedRows(model, executions, options));
    assert(report.ok);
  });
}

test("checkDuality: a missing row is a failure", async () => {
  const [model] = models;
  const silent = { ...options, lengths: [1] };
  const { reportOf } = await import("../oracle/report.ts");
  const { rows } = await checkDuality(model!, cpuExecutions(), silent);
  assert(reportOf(rows, rows.length).ok);
  assert(!reportOf(rows.slice(1), rows.length).ok);
});

for (const plant of ["relative", "dropped-carry", "swapped-operands"] as const) {
  test(`checkDuality: a planted fault (${plant}) is seen by every execution`, async () => {
    const model = models.find(({ name }) => name === "gla")!;
    const { rows } = await checkDuality(model, executions, { ...options, lengths: [129], plant });
    for (const { name } of executions) {
      const of = rows.filter(({ check, execution }) => check === "accuracy" && execution.startsWith(name));
      assert(of.length > 0 && of.some(({ ok }) => !ok), name);
    }
  });
}

test("checkDuality: unusable options are refused before anything runs", async () => {
  const [model] = models;
  for (const lengths of [[], [-1], [1.5], [2 ** 21]]) {
    const refused = await checkDuality(model!, cpuExecutions(), { lengths }).catch((error: unknown) => error);
    assert(refused instanceof InputError, String(lengths));
  }
});
