/** Every tuning of the fused selective scan, in both layouts, within the derived bounds of `step`. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Gpu } from "../kernels/device.ts";
import { planSelectiveScan, type SelectiveOptions } from "../kernels/selective/forward.ts";
import { selectiveRounding } from "../kernels/selective/rounding.ts";
import type { SelectiveLayout } from "../kernels/selective/tensors.ts";
import { Tensor } from "../kernels/tensor.ts";
import { InputError } from "../models/error.ts";
import { type Dims, sampleInputs, sliceInputs, stateLength } from "../models/inputs.ts";
import { seeded } from "../models/random.ts";
import { s6 } from "../models/s6.ts";
import { type Judge, judgeOf } from "../oracle/allowance.ts";
import { reference } from "../oracle/reference.ts";
import { gpuForTests } from "./gpu.ts";
import { runInLayout } from "./selective_runs.ts";

const gpu = await gpuForTests("tunings of the fused selective scan");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

const dims: Dims = { B: 2, T: 72, H: 1, sizes: { D: 5, N: 6 } };
const inputs = sampleInputs(s6, dims, "long-memory", 5);
const random = seeded("variants");
const initialState = Float32Array.from({ length: stateLength(s6, dims) }, () => random() - 0.5);
const truth = reference(s6, dims, inputs, initialState);
const judges = new Map<string, Judge>();

async function check(
  device: Gpu,
  layout: SelectiveLayout,
  options: SelectiveOptions,
  T: number = dims.T,
): Promise<string> {
  const exp = options.exp ?? "native";
  const judge = judges.get(exp) ?? judgeOf(truth, selectiveRounding({ exp }));
  judges.set(exp, judge);
  const part = sliceInputs(s6, dims, inputs, 0, T);
  const { result, states, variant } = await runInLayout(device, { ...dims, T }, part, initialState, layout, options);
  const verdict = judge.judge(result, T);
  assert(verdict.ok, `${layout}, T = ${T}, ${variant}: ${JSON.stringify(verdict.first)}`);
  // A kept state is the final state of a shorter run.
  const { B, sizes: { D, N } } = dims;
  const chunk = options.chunk ?? 16;
  const chunks = Math.ceil(T / chunk);
  const lanes = N! * D!;
  for (let k = 0; k < chunks; k++) {
    const kept = Float32Array.from(
      { length: B * lanes },
      (_, i) => states[(Math.floor(i / lanes) * chunks + k) * lanes + i % lanes]!,
    );
    const at = k * chunk;
    const outputs = Float32Array.from(
      { length: B * at * D! },
      (_, i) => result.outputs[Math.floor(i / (at * D!)) * T * D! + i % (at * D!)]!,
    );
    const early = judge.judge({ outputs, finalState: kept }, at);
    assert(early.ok, `state before token ${at}, ${layout}, ${variant}: ${JSON.stringify(early.first)}`);
  }
  return variant;
}

gpuTest("channels first is within the bound, as vectors and not", async (device) => {
  await check(device, "channels-first", {});
  await check(device, "channels-first", {}, 71);
  await check(device, "channels-first", {}, 1);
});

const tunings: readonly SelectiveOptions[] = [
  { modes: 1 },
  { modes: 8, tile: 8 },
  { threads: 16, tile: 16 },
  { prefetch: true, chunk: 12 },
  { exp: "accurate" },
  { order: "far" },
  { segments: 4, tile: 16 },
];

for (const tuning of tunings) {
  gpuTest(`a selective scan with ${JSON.stringify(tuning)} is within the bound`, async (device) => {
    await check(device, "tokens-first", tuning);
    // The same kernels, another number of segments and an end inside four tokens.
    if (tuning.segments !== undefined) {
      const variant = await check(device, "tokens-first", { ...tuning, segments: 2 ** 20 }, 71);
      assert(variant.includes("5 segments"), variant);
    }
  });
}

gpuTest("a selective scan sums lanes by shuffles where subgroups are of one size, else refuses to", async (device) => {
  const { subgroups } = device;
  if (subgroups !== undefined && subgroups.min === subgroups.max) {
    for (const order of ["near", "far"] as const) await check(device, "tokens-first", { reduce: "shuffle", order });
    await check(device, "tokens-first", { reduce: "memory" });
  } else {
    await assertRejects(
      () => check(device, "tokens-first", { reduce: "shuffle" }),
      InputError,
      "subgroups of one size",
    );
  }
});

gpuTest("a selective scan refuses what does not fit, before any work", async (device) => {
  const before = device.bytes.live;
  const refused = (options: SelectiveOptions, message: string): Promise<unknown> =>
    assertRejects(() => runInLayout(device, dims, inputs, initialState, "tokens-first", options), InputError, message);
  await refused({ modes: 3 }, "modes must be a power of two");
  await refused({ tile: 2 }, "tile must be a power of two in 4");
  await refused({ threads: 2 ** 20 }, "threads must be");
  await refused({ segments: 0 }, "segments must be an integer ≥ 1");
  await refused({ chunk: 6 }, "chunk must be a multiple of 4");
  const tensor = (shape: readonly number[]): Tensor => Tensor.empty(device, shape);
  const some = [tensor([1, 3, 2]), tensor([4, 2]), tensor([1, 3, 4])] as const;
  const [u, A, B] = some;
  try {
    const fitting = { u, delta: u, A, B, C: B, y: u };
    const plan = (tensors: Partial<Parameters<typeof planSelectiveScan>[1]>): Promise<unknown> =>
      planSelectiveScan(device, { ...fitting, ...tensors });
    await assertRejects(() => plan({ A: u }), InputError, "A must be");
    await assertRejects(() => plan({ C: u }), InputError, "C must be [1, 3, 4], got [1, 3, 2]");
    await assertRejects(() => plan({ D: u }), InputError, "D must be [2]");
    await assertRejects(() => plan({ states: u }), InputError, "states must be [1, 1, 4, 2]");
  } finally {
    for (const one of some) one.destroy();
  }
  assertEquals(device.bytes.live, before);
});
