/** Every tuning of the fused selective scan's gradient, in both layouts, against f64. */
import { after, test } from "node:test";
import { assert } from "@std/assert";
import type { Gpu } from "../kernels/device.ts";
import { s6 } from "../models/s6.ts";
import { gpuForTests } from "./gpu.ts";
import { type Case, gradientCase } from "./gradient_truth.ts";
import { tolerance, truthOf, worst } from "./selective_gradients.ts";
import { gradientsInLayout } from "./selective_runs.ts";

const gpu = await gpuForTests("tunings of the fused selective scan's gradient");
after(() => gpu?.close());

type Layout = Parameters<typeof gradientsInLayout>[4];
type Options = NonNullable<Parameters<typeof gradientsInLayout>[5]>;

const caseOf = (T: number): Case => gradientCase(s6, T, { kind: "long-memory", sizes: { N: 6, D: 5 } });
const odd = caseOf(41);
const even = caseOf(44);
const wanted = new Map([[odd, truthOf(odd)], [even, truthOf(even)]]);

async function check(device: Gpu, given: Case, layout: Layout, options: Options): Promise<void> {
  const { gradients, variant } = await gradientsInLayout(device, given.dims, given.inputs, given, layout, options);
  const { error, where } = worst(gradients, wanted.get(given)!);
  assert(error <= tolerance(given.dims.T), `${layout}, ${variant}: off by ${error} at ${where}`);
}

const tunings: readonly (readonly [Case, Layout, Options])[] = [
  [even, "channels-first", { keep: true, segments: 2 }],
  [odd, "channels-first", { keep: true, chunk: 8, modes: 1 }],
  [odd, "tokens-first", { chunk: 8, modes: 1, segments: 8, exp: "accurate" }],
  [odd, "tokens-first", { chunk: 4, modes: 8, threads: 8, keep: true }],
  [odd, "tokens-first", { chunk: 8, prefetch: true, order: "far", states: { prefetch: true } }],
];
for (const [given, layout, options] of tunings) {
  test(
    `the selective scan's gradient with ${JSON.stringify(options)}, ${layout}, equals f64`,
    { skip: gpu === null },
    () => check(gpu!, given, layout, options),
  );
}

const shuffles = gpu?.subgroups !== undefined && gpu.subgroups.min === gpu.subgroups.max;
test("the selective scan's gradient equals f64 with sums by shuffles and without", { skip: !shuffles }, async () => {
  for (const order of ["near", "far"] as const) {
    await check(gpu!, odd, "tokens-first", { reduce: "shuffle", modes: 2, order, chunk: 8 });
  }
  await check(gpu!, odd, "tokens-first", { reduce: "memory", modes: 2, chunk: 8 });
});
