/**
 * Every model of the kit through every execution, the GPU's generic and fused ones and their gradients included, at lengths
 * around a chunk's.
 */

import { after, test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { fusedExecutions } from "../kernels/fused.ts";
import { runtime } from "../kernels/_runtime.ts";
import { gpuExecution } from "../kernels/scan.ts";
import { InputError } from "../models/error.ts";
import { models } from "../models/mod.ts";
import { checkDuality, type CheckOptions, cpuExecutions, expectedRows } from "../oracle/duality.ts";
import type { Row } from "../oracle/report.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("every model on the GPU");
after(() => gpu?.close());
// On a CPU's adapter Dawn takes minutes for what wgpu does in seconds: there, one model of every action under Node, and no fused
// kernels under Bun, which runs the same Dawn. Deno runs all of everything, and so does any runtime on a real GPU.
const whole = runtime() === "deno" || gpu?.adapter.software === false;
const taken = whole
  ? models
  : models.filter(({ name }) =>
    ["s4d", "s6", "hgrn", "linear-attention", "mamba2", "gla", "mlstm", "gated-delta-net"].includes(name)
  );
const fused = gpu === null || (!whole && runtime() === "bun") ? [] : fusedExecutions(gpu);
const executions = [...cpuExecutions(), ...(gpu === null ? [] : [gpuExecution(gpu)]), ...fused];
// Software adapters compile slowly and compute slowly: the fused kernels run around a chunk's length.
const options: CheckOptions = {
  lengths: [0, 1, 3, 65, 129],
  seed: 3,
  fewerLengths: (execution) => fused.includes(execution) ? [0, 65, 129] : undefined,
};

const words = ({ check, execution, inputs, length, detail }: Row): string =>
  `${check} ${execution} ${inputs} ${length}: ${detail}`;

if (!whole) {
  const left = models.filter((model) => !taken.includes(model)).map(({ name }) => name);
  console.warn(`not run: ${left.join(", ")}${fused.length === 0 ? ", and fused kernels" : ""}: Deno runs them`);
}

for (const model of taken) {
  test(`${model.name}: every check holds in every execution`, async () => {
    const report = await checkDuality(model, executions, options);
    assertEquals(report.rows.filter(({ ok }) => !ok).map(words), []);
    assertEquals(report.rows.length, expectedRows(model, executions, options));
    assert(report.ok);
    for (const { name, supports, gradients } of fused) {
      if (!supports!(model)) continue;
      const of = report.rows.filter(({ execution }) => execution.startsWith(name));
      const checks = ["accuracy", "resume", "control", ...(gradients === undefined ? [] : ["gradient"])];
      assertEquals([...new Set(of.map(({ check }) => check))].sort(), checks.sort(), `${model.name} by ${name}`);
      for (const fault of ["relative", "dropped-carry"]) {
        for (const passes of gradients === undefined ? [""] : ["", " gradient"]) {
          const planted = `${name}${passes} with ${fault}`;
          assert(of.some(({ execution }) => execution === planted), `${model.name}: ${planted}`);
        }
      }
    }
  });
}

test("the fused kernels are different ones, and every one runs some model", () => {
  assertEquals(new Set(fused.map(({ name }) => name)).size, fused.length);
  for (const { name, supports } of fused) assert(models.some((model) => supports!(model)), name);
});

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
    for (const { name, supports } of executions) {
      if (supports?.(model) === false) continue;
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
