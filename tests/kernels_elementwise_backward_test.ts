/** The fused backward scan: λ against the linear recurrence in reverse time, and what follows from it, number by number. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Gpu } from "../kernels/device.ts";
import { planScanBackward, type ScanBackwardOptions } from "../kernels/elementwise/backward.ts";
import type { ScanPlan } from "../kernels/elementwise/scan.ts";
import { fromHalfBits, toHalfBits } from "../kernels/half.ts";
import { runPlans } from "../kernels/plan.ts";
import { type DType, Tensor } from "../kernels/tensor.ts";
import { InputError } from "../models/error.ts";
import { withinRadius } from "../oracle/compare.ts";
import { POISON32 } from "../oracle/ulp.ts";
import { arranged, assertRight, runScans, scanCase, type ScanRun, shapeOf, verdictOf } from "./elementwise_scan.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("the fused backward scan");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: NonNullable<typeof gpu>) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

/** One backward run: λ as a scan (its `b` is dh, its `h0` dhT), h and h0, and da. */
interface BackwardRun {
  readonly lambda: ScanRun;
  readonly h: Float32Array;
  readonly h0: Float32Array;
  readonly da: Float32Array;
}

interface BackwardCase {
  readonly D: number;
  readonly T: number;
  readonly options: ScanBackwardOptions & { readonly dtype?: DType };
  readonly kind?: "adversarial";
}

/** Runs cases in one submit. h may be any numbers: the kernel takes it as given. */
async function runBackward(gpu: Gpu, cases: readonly BackwardCase[]): Promise<BackwardRun[]> {
  const prepared = await Promise.all(
    cases.map(async ({ D, T, kind, options: { dtype = "f32", ...options } }) => {
      const stored = (x: Float32Array): Float32Array => dtype === "f32" ? x : x.map((y) => fromHalfBits(toHalfBits(y)));
      const sampled = scanCase(2, D, T, kind && { kind });
      const given = { ...sampled, a: stored(sampled.a!), b: stored(sampled.b) };
      const { b: h, h0 } = { ...scanCase(2, D, T, { kind: "random" }) };
      const shape = shapeOf(given, options.layout);
      const tensor = (x: Float32Array): Tensor =>
        Tensor.from(gpu, arranged(x, given, options.layout), shape, { dtype });
      const state = (x: Float32Array): Tensor => Tensor.from(gpu, x, [2, D]);
      const poison = new Float32Array(h.length).fill(dtype === "f32" ? POISON32 : -65504);
      const tensors = {
        a: tensor(given.a),
        h: tensor(h),
        h0: state(h0.map((x) => x + 0.5)),
        dh: tensor(given.b),
        dhT: state(given.h0),
        da: tensor(poison),
        db: tensor(poison),
        dh0: state(new Float32Array(2 * D).fill(POISON32)),
      };
      return { given, tensors, plan: await planScanBackward(gpu, tensors, options) };
    }),
  );
  await runPlans(gpu, "backward scans", prepared.map(({ plan }) => plan));
  const runs: BackwardRun[] = [];
  for (const [n, { given, tensors, plan }] of prepared.entries()) {
    const { options } = cases[n]!;
    const read = async (tensor: Tensor): Promise<Float32Array> =>
      arranged(await tensor.read(), given, options.layout, true);
    runs.push({
      lambda: {
        given,
        options: { ...options, reverse: true, shifted: true },
        plan,
        outputs: await read(tensors.db),
        finalState: await tensors.dh0.read(),
      },
      h: await read(tensors.h),
      h0: await tensors.h0.read(),
      da: await read(tensors.da),
    });
    plan.release();
    for (const one of Object.values(tensors)) one.destroy();
  }
  return runs;
}

/** da is one product of λ as stored and h as given. */
function gateVerdict({ lambda: { given: { D, T }, outputs }, h, h0, da }: BackwardRun) {
  const want = Float64Array.from(outputs, (x, n) => {
    const d = n % D;
    const t = Math.floor(n / D) % T;
    const b = Math.floor(n / D / T);
    return x * (t === 0 ? h0[b * D + d]! : h[n - D]!);
  });
  // A subnormal operand may count as zero.
  const allowed = want.map((x, n) => 2 ** -24 * Math.abs(x) + 2 ** -126 * (1 + Math.abs(outputs[n]!) + 2 ** 5));
  return withinRadius(da, want, allowed);
}

const rows = { layout: "rows", path: "rows", threads: 32, vectors: 1 } as const;
const columns = { layout: "columns", path: "columns", lanes: 4, segments: 4, length: 2 } as const;
const cut = { path: "reduce-scan-apply", chunk: 16 } as const;
const back = { path: "look-back", window: 2 } as const;
const paths: readonly { readonly name: string; readonly options: ScanBackwardOptions; readonly lengths: number[] }[] = [
  { name: "rows", options: rows, lengths: [0, 1, 3, 4, 127, 128, 256, 260] },
  { name: "rows, several units of several rows", options: { ...rows, vectors: 2, rows: 2 }, lengths: [1, 255, 264] },
  { name: "rows, in workgroup memory", options: { ...rows, subgroups: false, vectors: 2 }, lengths: [264] },
  { name: "rows, blocked", options: { ...rows, vectors: 2, order: "blocked" }, lengths: [264] },
  { name: "rows, in chunks", options: { ...rows, ...cut }, lengths: [1, 264] },
  { name: "rows, looking back", options: { ...rows, ...back }, lengths: [264] },
  { name: "rows, looking back past silent tiles", options: { ...rows, ...back, mute: 2, patience: 1 }, lengths: [520] },
  { name: "columns", options: columns, lengths: [0, 1, 7, 8, 9, 130] },
  { name: "columns in twos", options: { ...columns, width: 2, prefetch: false }, lengths: [130] },
  { name: "columns, in chunks", options: { ...columns, ...cut }, lengths: [1, 130] },
];

for (const { name, options, lengths } of paths) {
  gpuTest(`${name}: λ and the gradients are within their bounds at every length`, async (device) => {
    const D = options.layout === "rows" ? 3 : 6;
    const runs = await runBackward(device, lengths.map((T) => ({ D, T, options })));
    assertRight(runs.map(({ lambda }) => lambda));
    for (const run of runs) {
      const verdict = gateVerdict(run);
      assert(verdict.ok, `da, T ${run.lambda.given.T}: ${JSON.stringify(verdict.first)}`);
    }
  });
}

gpuTest("gates of 0 and 1 and subnormal numbers give no NaN", async (device) => {
  const runs = await runBackward(
    device,
    [rows, columns].map((options) => ({ D: 6, T: 264, options, kind: "adversarial" as const })),
  );
  assertRight(runs.map(({ lambda }) => lambda));
  for (const run of runs) assert(gateVerdict(run).ok);
});

gpuTest("halves are their f32 values, rounded", async (device) => {
  for (const [D, T] of [[2, 264], [3, 131]] as const) {
    for (const options of [rows, columns]) {
      const [packed] = await runBackward(device, [{ D, T, options: { ...options, dtype: "f16" } }]);
      // λ of the same half inputs in f32 is judged by its bound; r ≤ 2^−14 of numbers of at most 2^5 here.
      const { given } = packed!.lambda;
      const [plain] = await runLambda(device, given, options);
      const close = withinRadius(
        packed!.lambda.outputs,
        Float64Array.from(plain!),
        plain!.map((x) => 2 ** -11 * Math.abs(x) + 2 ** -9),
      );
      assert(close.ok, JSON.stringify(close.first));
      const gates = gateVerdict({ ...packed!, lambda: { ...packed!.lambda, outputs: plain! } });
      const limit = 2 ** -10;
      const { h, h0, da } = packed!;
      da.forEach((x, n) => {
        const before = n % (D * T) < D ? h0[Math.floor(n / D / T) * D + n % D]! : h[n - D]!;
        const want = plain![n]! * before;
        assert(
          Math.abs(x - want) <= limit * Math.abs(want) + 2 ** -9 * (1 + Math.abs(before)),
          `da[${n}]: ${x}, ${want}`,
        );
      });
      assert(!gates.ok, "halves cannot be exact");
    }
  }
});

/** λ in f32 of a case's numbers. */
async function runLambda(
  device: Gpu,
  given: BackwardRun["lambda"]["given"],
  options: ScanBackwardOptions,
): Promise<Float32Array[]> {
  const runs = await runScans(device, [{ given, options: { ...options, reverse: true, shifted: true } }]);
  assertRight(runs);
  return runs.map(({ outputs }) => outputs);
}

for (const fault of ["dropped-carry", "swapped-operands", { relative: 2 ** -10 }] as const) {
  const name = typeof fault === "string" ? fault : `a relative fault of ${fault.relative}`;
  gpuTest(`the bound of λ sees ${name}`, async (device) => {
    const some = [paths[0]!, paths[4]!, paths[7]!];
    const runs = await runBackward(
      device,
      some.map(({ options }) => ({ D: 6, T: 264, options: { ...options, fault } })),
    );
    for (const { lambda } of runs) assert(!verdictOf(lambda).ok, lambda.plan.variant);
  });
}

gpuTest("without h0, dhT and dh0 the states are zero and not written", async (device) => {
  for (const options of [rows, { ...rows, ...cut }, { ...rows, ...back }, columns]) {
    const given = scanCase(2, 4, 140);
    const shape = shapeOf(given, options.layout);
    const tensor = (x: Float32Array): Tensor => Tensor.from(device, arranged(x, given, options.layout), shape);
    const [a, h, dh] = [given.a!, given.b.map((x) => 1 - x), given.b].map(tensor) as [Tensor, Tensor, Tensor];
    const [da, db] = [Tensor.empty(device, shape), Tensor.empty(device, shape)];
    const plan = await planScanBackward(device, { a, h, dh, da, db }, options);
    await runPlans(device, "backward", [plan]);
    const read = async (x: Tensor): Promise<Float32Array> => arranged(await x.read(), given, options.layout, true);
    const zero = new Float32Array(8);
    const outputs = await read(db);
    // The final state is judged too: what it has to be, from the λ that was written.
    const finalState = zero.map((_, n) => {
      const at = Math.floor(n / 4) * 140 * 4 + n % 4;
      return Math.fround(given.a![at]! * outputs[at]!);
    });
    const way = { ...options, reverse: true, shifted: true };
    const lambda = { given: { ...given, h0: zero }, options: way, plan, outputs, finalState };
    assertRight([lambda]);
    assert(gateVerdict({ lambda, h: await read(h), h0: zero, da: await read(da) }).ok, plan.variant);
    plan.release();
    for (const one of [a, h, dh, da, db]) one.destroy();
  }
});

gpuTest("the bound of da sees a relative fault", async (device) => {
  const [run] = await runBackward(device, [{ D: 3, T: 20, options: rows }]);
  assert(gateVerdict(run!).ok);
  assert(!gateVerdict({ ...run!, da: run!.da.map((x) => x * (1 + 2 ** -10)) }).ok);
});

gpuTest("a tensor beyond one binding is run in slices, and misfits are refused", async (device) => {
  const runs = await runBackward(device, [
    { D: 70, T: 12, options: { ...rows, bindingBytes: 3072 } },
    { D: 32, T: 8, options: { ...columns, bindingBytes: 1024 } },
  ]);
  assertRight(runs.map(({ lambda }) => lambda));
  for (const run of runs) assert(gateVerdict(run).ok);
  const plans: readonly ScanPlan[] = runs.map(({ lambda }) => lambda.plan);
  assert(plans.every(({ dispatches }) => dispatches.length > 1));
  // a, h, dh read, da, db written: 20 bytes a number; and three states.
  assertEquals(plans[0]!.bytes, 20 * 2 * 70 * 12 + 3 * 4 * 2 * 70);
  const shape = [1, 1, 4];
  const [a, h, dh, da, short] = [shape, shape, shape, shape, [1, 1, 3]].map((s) => Tensor.empty(device, s));
  await assertRejects(
    () => planScanBackward(device, { a: a!, h: h!, dh: dh!, da: da!, db: da! }, rows),
    InputError,
    "a buffer of its own",
  );
  await assertRejects(
    () => planScanBackward(device, { a: a!, h: short!, dh: dh!, da: da!, db: h! }, rows),
    InputError,
    "previous must be",
  );
  for (const one of [a, h, dh, da, short]) one!.destroy();
});
