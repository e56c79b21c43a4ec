/** Matrix products against f64, entry by entry within the derived bound, in every mode, layout and size; faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Gpu } from "../kernels/gpu.ts";
import { type MatmulOptions, planMatmul } from "../kernels/matmul.ts";
import { Tensor } from "../kernels/tensor.ts";
import { InputError } from "../models/error.ts";
import { gpuForTests } from "./gpu.ts";
import { casesOf, judge, looped, loopedTiling, run, vectors } from "./matmul_cases.ts";
import { withMatrixLoops } from "./matrix_loops.ts";

const gpu = await gpuForTests("matrix products against f64");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

const hardware = gpu !== null && gpu.subgroups?.max === 32 && gpu.features.has("chromium-experimental-subgroup-matrix");

gpuTest("plain products are within the bound of f64", (device) => judge(device, casesOf("plain")));

gpuTest("plain products as hardware has them are within the bound of f64", (device) => {
  const { features, subgroups, limits, adapter } = device;
  const planner = {
    ...{ features, subgroups, limits, adapter: { ...adapter, software: false } },
    ...{ createBuffer: device.createBuffer.bind(device), upload: device.upload.bind(device) },
    compile: device.compile.bind(device),
  };
  return judge(device, vectors, planner as unknown as Gpu);
});

gpuTest("products by tiles, in loops, are within the bound of f64", (device) => judge(device, casesOf("loops")));

gpuTest("the texts for matrix units, with loops for their products, are within the bound of f64", async (device) => {
  if (!device.features.has("shader-f16")) return;
  const codes: string[] = [];
  const cases = looped.map((of) => ({ ...of, options: { ...loopedTiling, ...of.options } }));
  await judge(device, cases, withMatrixLoops(device, codes));
  assert(codes.filter((code) => code.includes("subgroupMatrixMultiplyAccumulate")).length >= looped.length);
});

test("products by tiles, on matrix units, are within the bound of f64", { skip: !hardware }, () => {
  return judge(gpu!, casesOf("hardware"));
});

gpuTest("an empty sum is zero, the bias, or leaves what was there; an empty result runs nothing", async (device) => {
  for (const accumulate of [false, true]) {
    const { entries } = await run(device, { M: 3, N: 5, K: 0, options: { accumulate } });
    assert(entries.every(({ got, truth }) => got === truth));
  }
  const { entries } = await run(device, { M: 3, N: 5, K: 0, bias: true });
  assert(entries.every(({ got, bias }) => got === bias[0]));
  const { plan } = await run(device, { M: 0, N: 5, K: 3 });
  assertEquals(plan.dispatches.length, 0);
});

gpuTest("buffers of a plan are freed, also when it is refused", async (device) => {
  const before = device.bytes.live;
  await run(device, { M: 40, N: 3, K: 20, options: { mode: "split", parts: 2, chunk: 16 } });
  assertEquals(device.bytes.live, before);
});

gpuTest("shapes and options that do not fit are refused", async (device) => {
  const tensor = (...shape: number[]): Tensor => Tensor.empty(device, shape);
  const [a, b, c, row] = [tensor(2, 3, 4), tensor(2, 4, 5), tensor(2, 3, 5), tensor(5)];
  const halves = Tensor.empty(device, [5], { dtype: "f16" });
  const refused = (
    tensors: Parameters<typeof planMatmul>[1],
    options: MatmulOptions,
    words: string,
  ): Promise<unknown> => assertRejects(() => planMatmul(device, tensors, options), InputError, words);
  await refused({ a, b, c }, { transposeA: true }, "b must be");
  await refused({ a, b: c, c: b }, {}, "b must be");
  await refused({ a, b, c: a }, {}, "c must be");
  await refused({ a, b, c, bias: row }, { accumulate: true }, "a bias must");
  await refused({ a, b, c, bias: tensor(4) }, {}, "bias must be");
  await refused({ a, b, c, bias: halves }, {}, "bias must be f32");
  await refused({ a: tensor(3), b, c }, {}, "at least 2 axes");
  await refused({ a, b, c }, { parts: 0 }, "parts must be");
  await refused({ a, b, c }, { blockRows: 13 }, "blockRows must be");
  await refused({ a, b, c }, { mode: "split", chunk: 8 }, "chunk must be");
  await refused({ a, b, c }, { mode: "split", rows: 0.5 }, "rows must be");
  await refused({ a, b, c }, { blockRows: 4096, blockColumns: 4096 }, "the device allows");
  [a, b, c, row, halves].forEach((tensor) => tensor.destroy());
});
