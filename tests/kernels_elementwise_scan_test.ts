/** The fused element-wise scan against the linear recurrence: layouts, directions, paths, lengths, storage, faults. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { planScan, type ScanOptions } from "../kernels/elementwise/scan.ts";
import { fromHalfBits, toHalfBits } from "../kernels/half.ts";
import { Tensor } from "../kernels/tensor.ts";
import { InputError } from "../models/error.ts";
import { seeded } from "../models/random.ts";
import {
  arranged,
  assertRight,
  halvesVerdict,
  runScans,
  type ScanCase,
  scanCase,
  shapeOf,
  verdictOf,
  wordsOf,
} from "./elementwise_scan.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("the fused element-wise scan against the linear recurrence");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: NonNullable<typeof gpu>) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

// Small tiles, so that short lengths cross many: 128 tokens of rows (32 where loads are single), 8 of columns.
const rows: ScanOptions = { layout: "rows", path: "rows", threads: 32, vectors: 1 };
const columns: ScanOptions = { layout: "columns", path: "columns", lanes: 4, segments: 4, length: 2 };
const cut = { path: "reduce-scan-apply", chunk: 16 } as const;
const rowLengths = [1, 255, 264];
const paths: readonly { readonly name: string; readonly options: ScanOptions; readonly lengths: readonly number[] }[] =
  [
    { name: "rows", options: rows, lengths: [0, 1, 3, 4, 127, 128, 256, 260, 1030] },
    { name: "rows, several units of several rows", options: { ...rows, vectors: 2, rows: 2 }, lengths: rowLengths },
    { name: "rows, without prefetch", options: { ...rows, prefetch: false }, lengths: [264] },
    { name: "rows, in workgroup memory", options: { ...rows, subgroups: false }, lengths: rowLengths },
    { name: "rows, blocked", options: { ...rows, vectors: 2, order: "blocked" }, lengths: rowLengths },
    { name: "rows, in chunks", options: { ...rows, ...cut }, lengths: [0, 1, 255, 264] },
    { name: "columns", options: columns, lengths: [0, 1, 7, 8, 9, 16, 130, 256] },
    { name: "columns in twos", options: { ...columns, width: 2, prefetch: false }, lengths: [9, 130] },
    { name: "columns, in chunks", options: { ...columns, ...cut }, lengths: [0, 1, 130] },
  ];
const [plain, chunks, channels] = [paths[0]!, paths[5]!, paths[6]!];

for (const { name, options, lengths } of paths) {
  gpuTest(`${name}: every length is within its bound of the recurrence`, async (device) => {
    const D = options.layout === "rows" ? 3 : 6;
    assertRight(await runScans(device, lengths.map((T) => ({ given: scanCase(2, D, T), options }))));
  });
}

gpuTest("every direction is within its bound, with gates and without", async (device) => {
  const given = scanCase(2, 3, 264);
  const sum = scanCase(2, 3, 264, { gated: false });
  const cotangent = { reverse: true, shifted: true };
  const directions = [{ reverse: true }, cotangent, { shifted: true }];
  assertRight(
    await runScans(device, [
      ...[plain, channels].flatMap(({ options }) =>
        directions.map((way) => ({ given, options: { ...options, ...way } }))
      ),
      { given, options: { ...chunks.options, ...cotangent } },
      ...[plain, chunks, channels].map(({ options }) => ({ given: sum, options })),
      { given: sum, options: { ...channels.options, ...cotangent } },
    ]),
  );
});

gpuTest("the path and sizes chosen for a shape are within their bound", async (device) => {
  const shapes = [[1, 1, 8200], [2, 200, 8]] as const;
  const runs = await runScans(
    device,
    shapes.flatMap(([B, D, T]) =>
      (["rows", "columns"] as const).map((layout) => ({ given: scanCase(B, D, T), options: { layout } }))
    ),
  );
  assertRight(runs);
  assertEquals([...new Set(runs.map(({ plan }) => plan.path))].sort(), ["columns", "reduce-scan-apply", "rows"]);
});

gpuTest("without h0 a scan starts from zero", async (device) => {
  const given = { ...scanCase(2, 4, 264), h0: new Float32Array(8) };
  for (const { options } of [plain, chunks, channels]) {
    const [withZeros] = await runScans(device, [{ given, options }]);
    const shape = shapeOf(given, options.layout);
    const tensor = (x: Float32Array): Tensor => Tensor.from(device, arranged(x, given, options.layout), shape);
    const [a, b, h] = [tensor(given.a!), tensor(given.b), Tensor.empty(device, shape)];
    const plan = await planScan(device, { a, b, h }, options);
    await device.run("without h0", plan.dispatches);
    assertEquals(arranged(await h.read(), given, options.layout, true), withZeros!.outputs, plan.variant);
    plan.release();
    for (const one of [a, b, h]) one.destroy();
  }
});

gpuTest("a tensor beyond one binding is run in slices", async (device) => {
  const given = [scanCase(2, 70, 12), scanCase(7, 8, 24)] as const;
  const runs = await runScans(device, [
    { given: given[0], options: { ...rows, bindingBytes: 3072 } },
    { given: given[0], options: { ...rows, bindingBytes: 3072, reverse: true } },
    { given: given[1], options: { ...columns, bindingBytes: 2048 } },
  ]);
  assertRight(runs);
  assert(runs.every(({ plan }) => plan.dispatches.length > 2), runs.map(wordsOf).join());
});

gpuTest("a run resumed from its final state is the whole run", async (device) => {
  const whole = scanCase(2, 3, 200);
  const part = (from: number, to: number, h0: Float32Array): ScanCase => {
    const cutOut = (x: Float32Array): Float32Array => {
      const out = new Float32Array(2 * (to - from) * 3);
      for (let b = 0; b < 2; b++) {
        out.set(x.subarray((b * 200 + from) * 3, (b * 200 + to) * 3), b * (to - from) * 3);
      }
      return out;
    };
    return { B: 2, D: 3, T: to - from, a: cutOut(whole.a!), b: cutOut(whole.b), h0 };
  };
  for (const options of [rows, columns]) {
    for (const split of [0, 1, 131, 200]) {
      const [first] = await runScans(device, [{ given: part(0, split, whole.h0), options }]);
      const [second] = await runScans(device, [{ given: part(split, 200, first!.finalState), options }]);
      const outputs = new Float32Array(whole.b.length);
      for (let b = 0; b < 2; b++) {
        outputs.set(first!.outputs.subarray(b * split * 3, (b + 1) * split * 3), b * 600);
        outputs.set(
          second!.outputs.subarray(b * (200 - split) * 3, (b + 1) * (200 - split) * 3),
          (b * 200 + split) * 3,
        );
      }
      assertRight([{ ...second!, given: whole, outputs }]);
    }
  }
});

gpuTest("gates of 0 and 1 and subnormal numbers give no NaN", async (device) => {
  const given = scanCase(2, 6, 264, { kind: "adversarial" });
  assertRight(await runScans(device, paths.map(({ options }) => ({ given, options }))));
});

gpuTest("halves are within the bound and their own rounding", async (device) => {
  const half = (x: Float32Array): Float32Array => x.map((y) => fromHalfBits(toHalfBits(y)));
  for (const [D, T] of [[3, 264], [4, 131], [1, 77]] as const) {
    const sampled = scanCase(2, D, T, { kind: "random" });
    const given = { ...sampled, a: half(sampled.a!), b: half(sampled.b) };
    const chosen = [rows, columns];
    // The same numbers in f32 are judged by their bound, of which halves get what is left of it and their rounding.
    const runs = await runScans(device, [
      ...chosen.map((options) => ({ given, options: { ...options, dtype: "f16" as const } })),
      ...chosen.map((options) => ({ given, options })),
    ]);
    assertRight(runs.slice(chosen.length));
    runs.slice(0, chosen.length).forEach((run, n) => {
      const f32 = runs[chosen.length + n]!;
      // Both runs are within r of the truth; r ≤ 2^−15 of these numbers, which are at most 32 here.
      const near = halvesVerdict(
        run.outputs,
        Float64Array.from(f32.outputs),
        f32.outputs.map(() => 2 ** -10 * 2 ** -4),
      );
      assert(near.ok, `${wordsOf(run)}: ${JSON.stringify(near.first)}`);
      run.finalState.forEach((x, i) => assert(Math.abs(x - f32.finalState[i]!) <= 2 ** -16, `${wordsOf(run)}: ${i}`));
    });
  }
});

for (const fault of ["dropped-carry", "swapped-operands", { relative: 2 ** -10 }] as const) {
  const name = typeof fault === "string" ? fault : `a relative fault of ${fault.relative}`;
  gpuTest(`the bound sees ${name} on every path`, async (device) => {
    const given = scanCase(2, 6, 264);
    const runs = await runScans(device, paths.map(({ options }) => ({ given, options: { ...options, fault } })));
    for (const run of runs) assert(!verdictOf(run).ok, wordsOf(run));
  });
}

gpuTest("scans refuse what does not fit, before any work", async (device) => {
  const tensor = (shape: readonly number[], dtype: "f32" | "f16" = "f32"): Tensor =>
    Tensor.empty(device, shape, { dtype });
  const live = device.bytes.live;
  const [b, h, other, state, short, packed] = [
    tensor([2, 3, 8]),
    tensor([2, 3, 8]),
    tensor([2, 8, 3]),
    tensor([2, 3]),
    tensor([2]),
    tensor([2, 3], "f16"),
  ];
  const made = device.bytes.live;
  const refused = (tensors: Parameters<typeof planScan>[1], options: ScanOptions, words: string): Promise<unknown> =>
    assertRejects(() => planScan(device, tensors, options), InputError, words);
  await refused({ b, h: other }, rows, "outputs must be [2, 3, 8]");
  await refused({ a: other, b, h }, rows, "gates must be");
  await refused({ b, h: b }, rows, "a buffer of its own");
  await refused({ b, h, h0: short }, rows, "the initial state must be [2, 3]");
  await refused({ b, h, final: packed }, rows, "must be f32");
  await refused({ b, h, h0: state }, { ...rows, path: "columns" }, "not one of layout rows");
  await refused({ b, h }, { ...rows, threads: 3 }, "threads must be a power of two");
  await refused({ b, h }, { ...columns, lanes: 2 ** 12 }, "lanes × segments");
  await refused({ b, h }, { ...rows, bindingBytes: 16 }, "must fit a binding of 16 bytes");
  assertEquals(device.bytes.live, made);
  for (const one of [b, h, other, state, short, packed]) one.destroy();
  assertEquals(device.bytes.live, live);
});

gpuTest("mixed storage: gates in f32, the rest in halves", async (device) => {
  const random = seeded("mixed");
  const given = scanCase(2, 4, 40);
  const b = given.b.map(() => fromHalfBits(toHalfBits(2 * random() - 1)));
  const [plain] = await runScans(device, [{ given: { ...given, b }, options: rows }]);
  for (const layout of ["rows", "columns"] as const) {
    const shape = shapeOf(given, layout);
    const a = Tensor.from(device, arranged(given.a!, given, layout), shape);
    const packed = Tensor.from(device, arranged(b, given, layout), shape, { dtype: "f16" });
    const h = Tensor.empty(device, shape, { dtype: "f16" });
    const h0 = Tensor.from(device, given.h0, [2, 4]);
    const plan = await planScan(device, { a, b: packed, h, h0 }, { layout });
    await device.run("mixed", plan.dispatches);
    const got = arranged(await h.read(), given, layout, true);
    const verdict = halvesVerdict(got, Float64Array.from(plain!.outputs), plain!.outputs.map(() => 2 ** -14));
    assert(verdict.ok, `${plan.variant}: ${JSON.stringify(verdict.first)}`);
    plan.release();
    for (const one of [a, packed, h, h0]) one.destroy();
  }
});
