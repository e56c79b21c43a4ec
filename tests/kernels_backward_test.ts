/** `gradientsOnGpu` against `backward` in f64, for every model, across the chunks of its scans. */

import { after, test } from "node:test";
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { gradientsOnGpu } from "../kernels/backward.ts";
import { THREADS } from "../kernels/_backward_shader.ts";
import type { Gpu } from "../kernels/device.ts";
import { InputError } from "../models/error.ts";
import { microSteps } from "../models/inputs.ts";
import { models } from "../models/mod.ts";
import { gpuForTests } from "./gpu.ts";
import { type Case, gradientCase, tolerance, truth, worst } from "./gradient_truth.ts";

const gpu = await gpuForTests("GPU gradients");
after(() => gpu?.close());

async function computed(gpu: Gpu, given: Case): Promise<Map<string, Float32Array>> {
  const { inputs, initialState } = await gradientsOnGpu(gpu, given.model, given.dims, given.inputs, given);
  return new Map([...Object.entries(inputs), ["initial state", initialState]]);
}

for (const model of models) {
  for (const T of [0, 1, 65, 130]) {
    test(`gradientsOnGpu ${model.name} equals backward in f64, T = ${T}`, { skip: gpu === null }, async () => {
      const given = gradientCase(model, T, { kind: T === 65 ? "long-memory" : "random" });
      const { error, where } = worst(await computed(gpu!, given), truth(given));
      assert(error <= tolerance(T * microSteps(model)), `off by ${error} at ${where}`);
    });
  }
  test(`gradientsOnGpu ${model.name} is told from a gradient 2^-10 off`, { skip: gpu === null }, async () => {
    const given = gradientCase(model, 65);
    const got = await computed(gpu!, given);
    const want = truth(given);
    for (const [name, values] of want) {
      const largest = values.reduce((n, x, m) => Math.abs(x) > Math.abs(values[n]!) ? m : n, 0);
      const planted = Float32Array.from(got.get(name)!);
      if (planted[largest] === 0) continue;
      planted[largest] = planted[largest]! * (1 + 2 ** -10);
      assertGreater(worst(new Map([...got, [name, planted]]), want).error, tolerance(65 * microSteps(model)), name);
    }
  });
}

test("gradientsOnGpu carries columns longer than a workgroup", { skip: gpu === null }, async () => {
  for (const model of models.filter(({ action }) => action === "matrix")) {
    const given = gradientCase(model, 3, { B: 1, sizes: { K: THREADS + 6, V: 2 } });
    const { error, where } = worst(await computed(gpu!, given), truth(given));
    assert(error <= tolerance(3 * microSteps(model) + THREADS), `${model.name}: off by ${error} at ${where}`);
  }
});

test("gradientsOnGpu is the same at every run", { skip: gpu === null }, async () => {
  const model = models.find(({ name }) => name === "s6")!;
  const given = gradientCase(model, 130);
  assertEquals(await computed(gpu!, given), await computed(gpu!, given));
});

test("gradientsOnGpu frees what it made", { skip: gpu === null }, async () => {
  const before = gpu!.bytes.live;
  await computed(gpu!, gradientCase(models[0]!, 65));
  assertEquals(gpu!.bytes.live, before);
});

test("gradientsOnGpu refuses a run whose states exceed the device", { skip: gpu === null }, async () => {
  const model = models.find(({ name }) => name === "gla")!;
  const limit = Math.min(gpu!.limits.maxBufferSize, gpu!.limits.maxStorageBufferBindingSize);
  const K = 2 ** 10;
  const T = 2 ** 6;
  const V = Math.ceil(limit / (4 * K * T)) + 1;
  const dims = { B: 1, T, H: 1, sizes: { K, V } };
  const inputs = {
    q: new Float32Array(T * K),
    k: new Float32Array(T * K),
    v: new Float32Array(T * V),
    g: new Float32Array(T * K),
  };
  await assertRejects(
    () => gradientsOnGpu(gpu!, model, dims, inputs, { outputs: new Float32Array(T * V) }),
    InputError,
    "the states of 64 steps must be",
  );
});
