/** The fused element-wise scan as an execution: every model it supports through the harness, gradients and controls included. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { elementwiseFamily } from "../kernels/elementwise/family.ts";
import { InputError } from "../models/error.ts";
import { sampleInputs } from "../models/inputs.ts";
import { linearRecurrence } from "../models/linear_recurrence.ts";
import { models } from "../models/mod.ts";
import { rgLru } from "../models/rg_lru.ts";
import { checkDuality, expectedRows } from "../oracle/duality.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("models on the fused element-wise scan");
after(() => gpu?.close());

const supported = models.filter((model) => elementwiseFamily.supports(model));

test("the element-wise scan supports the models whose state is a vector of channels", () => {
  assertEquals(
    supported.map(({ name }) => name).sort(),
    ["hgrn", "linear-recurrence", "min-gru", "min-lstm", "qrnn", "rg-lru", "sru"],
  );
});

for (const model of supported) {
  test(`${model.name}: every check holds on the fused element-wise scan`, { skip: gpu === null }, async () => {
    const executions = [elementwiseFamily.execution(gpu!)];
    const options = { lengths: model === linearRecurrence ? [0, 1, 65, 129, 700] : [0, 1, 65, 129], seed: 3 };
    const report = await checkDuality(model, executions, options);
    const bad = report.rows.filter(({ ok }) => !ok);
    assertEquals(
      bad.map(({ check, execution, inputs, length, detail }) => [check, execution, inputs, length, detail]),
      [],
    );
    assertEquals(report.rows.length, expectedRows(model, executions, options));
  });
}

test("states are returned when asked for, and buffers freed", { skip: gpu === null }, async () => {
  const execution = elementwiseFamily.execution(gpu!);
  const dims = { B: 2, T: 70, H: 1, sizes: { D: 3 } };
  const before = gpu!.bytes.live;
  const inputs = sampleInputs(linearRecurrence, dims, "random", 1);
  const { outputs, states } = await execution.run(linearRecurrence, dims, inputs, { states: true });
  assertEquals(states, outputs);
  const run = await execution.run(rgLru, dims, sampleInputs(rgLru, dims, "random", 1), { states: true });
  assertEquals(run.states, run.outputs);
  const gradients = await execution.gradients!(rgLru, dims, sampleInputs(rgLru, dims, "random", 1), {
    outputs: new Float32Array(2 * 70 * 3).fill(1),
  });
  assertEquals(gradients.inputs.lambda!.length, 3);
  assertEquals(gpu!.bytes.live, before);
});

test("inputs outside the contract and overflow are refused", { skip: gpu === null }, async () => {
  const execution = elementwiseFamily.execution(gpu!);
  const dims = { B: 1, T: 3, H: 1, sizes: { D: 1 } };
  const [a, b] = [new Float32Array(3).fill(1), new Float32Array(3).fill(3e38)];
  const before = gpu!.bytes.live;
  await assertRejects(
    () => execution.run(linearRecurrence, dims, { a: a.map((x) => 2 * x), b }),
    InputError,
    "must be a gate",
  );
  await assertRejects(
    () => execution.run(linearRecurrence, dims, { a, b }, { initialState: [1e39] }),
    InputError,
    "must fit f32",
  );
  await assertRejects(() => execution.run(linearRecurrence, dims, { a, b }), Error, "must stay finite");
  assertEquals(gpu!.bytes.live, before);
  assert(!execution.supports!(models.find(({ name }) => name === "gla")!));
});
