/** The gradient of the fused selective scan: against exact dual numbers, against f64, planted faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import type { Gpu } from "../kernels/device.ts";
import { selectiveExecution } from "../kernels/selective/family.ts";
import { InputError } from "../models/error.ts";
import { s6, selectiveScan } from "../models/s6.ts";
import { seededSources } from "../models/source.ts";
import type { CheckContext } from "../oracle/checks/context.ts";
import { gradientControlRows, gradientRows } from "../oracle/checks/gradients.ts";
import { gpuForTests } from "./gpu.ts";
import { gradientCase } from "./gradient_truth.ts";
import { type Gradients, tolerance, truthOf, worst } from "./selective_gradients.ts";
import { gradientsInLayout } from "./selective_runs.ts";

const gpu = await gpuForTests("the gradient of the fused selective scan");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

gpuTest("gradients of s6 are within the oracle's bound of exact derivatives", async (device) => {
  const context: CheckContext = {
    model: s6,
    executions: [selectiveExecution(device)],
    // Where the carry crosses chunks of 16 and ends inside four tokens.
    lengths: [0, 1, 3, 65],
    seed: 1,
    sources: seededSources,
    realSources: [],
    exactSizes: { D: 2, N: 3 },
    largeSizes: { D: 2, N: 3 },
  };
  let rows = 0;
  for await (const row of gradientRows(context)) {
    rows++;
    assert(row.ok, JSON.stringify(row));
  }
  assertEquals(rows, 4 * seededSources.length);
  for await (const row of gradientControlRows(context)) assert(row.ok, JSON.stringify(row));
});

for (const [model, N, D] of [[s6, 1, 5], [s6, 16, 9], [selectiveScan({ gated: false }), 4, 33]] as const) {
  gpuTest(`gradients of ${model.name} with ${N} modes and ${D} channels equal those in f64`, async (device) => {
    const execution = selectiveExecution(device);
    for (const [T, kind] of [[0, "random"], [1, "random"], [16, "random"], [67, "long-memory"]] as const) {
      const given = gradientCase(model, T, { kind, sizes: { N, D } });
      const { inputs, initialState } = await execution.gradients!(model, given.dims, given.inputs, given);
      const { error, where } = worst({ ...inputs, "initial state": initialState }, truthOf(given));
      assert(error <= tolerance(T), `T = ${T}: off by ${error} at ${where}`);
    }
  });
}

gpuTest("gradients of s6 are told from ones 2^-10 off and from ones whose carry was dropped", async (device) => {
  const given = gradientCase(s6, 67, { kind: "long-memory", sizes: { N: 3, D: 9 } });
  const want = truthOf(given);
  const execution = selectiveExecution(device);
  const run = async (faulty: typeof execution): Promise<Gradients> => {
    const { inputs, initialState } = await faulty.gradients!(s6, given.dims, given.inputs, given);
    return { ...inputs, "initial state": initialState };
  };
  const right = await run(execution);
  for (const [name, values] of Object.entries(right)) {
    const planted = Float32Array.from(values, (x) => x * (1 + 2 ** -10));
    assertGreater(worst({ ...right, [name]: planted }, want).error, tolerance(67), name);
  }
  const dropped = await run(execution.planted!("dropped-carry"));
  for (const name of ["initial state", "u", "delta", "A", "B"]) {
    assertGreater(worst({ ...right, [name]: dropped[name]! }, want).error, tolerance(67), name);
  }
  assertEquals(await run(execution), right, "a second run");
});

gpuTest("the gradient of s6 refuses what does not fit, and frees what it made", async (device) => {
  const before = device.bytes.live;
  const given = gradientCase(s6, 5, { sizes: { N: 1, D: 5 } });
  const run = (options: Parameters<typeof gradientsInLayout>[5]): Promise<unknown> =>
    gradientsInLayout(device, given.dims, given.inputs, given, "tokens-first", options);
  await assertRejects(() => run({ chunk: 12 }), InputError, "chunk must be a power of two, got 12");
  await assertRejects(() => run({ chunk: 2 }), InputError, "chunk must be a multiple of 4");
  const { z: _, ...ungated } = given.inputs;
  await assertRejects(
    () => selectiveExecution(device).gradients!(s6, given.dims, ungated, given),
    InputError,
    "input z",
  );
  assertEquals(device.bytes.live, before);
});
