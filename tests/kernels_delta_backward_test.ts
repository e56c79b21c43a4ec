/** Gradients of the delta-rule kernels within the derived bound of exact ones; planted faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deltaGradients } from "../kernels/delta/gradients.ts";
import { deltaRounding } from "../kernels/delta/rounding.ts";
import type { TileOptions } from "../kernels/delta/tile.ts";
import type { Gpu } from "../kernels/device.ts";
import { wgslAccuracy } from "../models/accuracy.ts";
import type { AnyAffineModel } from "../models/affine.ts";
import { backward } from "../models/backward.ts";
import { deltaNet } from "../models/delta_net.ts";
import { deltaProduct } from "../models/delta_product.ts";
import type { InputClass } from "../models/domain.ts";
import { InputError } from "../models/error.ts";
import type { GradientResult } from "../models/execution.ts";
import { gatedDeltaNet } from "../models/gated_delta_net.ts";
import { traceGradient } from "../models/gradient.ts";
import { prepare } from "../models/inputs.ts";
import { kda } from "../models/kda.ts";
import { f64 } from "../models/number.ts";
import { rwkv7 } from "../models/rwkv7.ts";
import { joined, type Verdict, withinRadius } from "../oracle/compare.ts";
import { gradientBound } from "../oracle/gradient_bound.ts";
import { gpuForTests } from "./gpu.ts";
import { type Case, gradientCase } from "./gradient_truth.ts";

const gpu = await gpuForTests("gradients of the delta-rule kernels");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

const chunk = 8;

/** The gradients of one sequence (B = H = 1), each against f64 within the oracle's radius for a serial pass. */
function verdictOf(given: Case, result: GradientResult): Verdict {
  const { model, dims, inputs, initialState } = given;
  const batch = prepare(model, dims, inputs);
  const traced = traceGradient(model, dims.sizes);
  const want = backward(f64, batch, given, initialState);
  const bound = gradientBound(traced, batch, initialState, given, wgslAccuracy);
  const radii = (balls: readonly { readonly r: number }[]): number[] => balls.map(({ r }) => r);
  return joined([
    ...Object.entries(want.inputs).map(([name, values]) =>
      withinRadius(result.inputs[name]!, values, radii(bound.inputs[name]!))
    ),
    withinRadius(result.initialState, want.initialState, radii(bound.initial)),
  ]);
}

function caseOf(model: AnyAffineModel, T: number, kind: InputClass, K = 5, V = 3): Case {
  const given = gradientCase(model, T, { kind, B: 1, sizes: { K, V } });
  const one = { ...given.dims, H: 1 };
  const halves = (x: Float32Array): Float32Array => x.subarray(0, x.length / 2);
  return {
    ...given,
    dims: one,
    inputs: Object.fromEntries(Object.entries(given.inputs).map(([name, x]) => [name, halves(x)])),
    initialState: halves(given.initialState),
    outputs: halves(given.outputs),
    finalState: halves(given.finalState),
  };
}

for (const model of [deltaNet, gatedDeltaNet, kda, deltaProduct, rwkv7]) {
  gpuTest(`${model.name} gradients are within their bound at every length`, async (device) => {
    for (const kind of ["random", "long-memory", "adversarial"] as const) {
      for (const T of kind === "random" ? [0, 1, 7, 8, 9, 27] : [27]) {
        const given = caseOf(model, T, kind);
        const result = await deltaGradients(device, model, given.dims, given.inputs, given, { chunk });
        const verdict = verdictOf(given, result);
        assert(verdict.ok, `${kind}, T = ${T}: ${JSON.stringify(verdict.first)}`);
        if (T === 27 && kind === "random") assertEquals(verdict.planted, "seen");
      }
    }
  });
}

gpuTest("planted faults leave the bound", async (device) => {
  const given = caseOf(gatedDeltaNet, 27, "random");
  for (const fault of [{ relative: 2 ** -10 }, "dropped-carry"] as const) {
    const result = await deltaGradients(device, gatedDeltaNet, given.dims, given.inputs, given, { chunk, fault });
    assert(!verdictOf(given, result).ok, `${JSON.stringify(fault)} passes`);
  }
});

/** One sequence's part of an array `[B, T, H, …]` (T = 1 for states). */
function part(x: ArrayLike<number>, T: number, b: number, h: number): Float32Array {
  const width = x.length / (4 * T);
  const row = (t: number): number => ((b * T + t) * 2 + h) * width;
  return Float32Array.from({ length: T * width }, (_, n) => x[row(Math.floor(n / width)) + n % width]!);
}

gpuTest("batches and heads have gradients of their own", async (device) => {
  const T = 11;
  const given = gradientCase(kda, T, { sizes: { K: 5, V: 3 } });
  const result = await deltaGradients(device, kda, given.dims, given.inputs, given, { chunk });
  const cut = (x: { readonly [name: string]: ArrayLike<number> }, b: number, h: number): Record<string, Float32Array> =>
    Object.fromEntries(Object.entries(x).map(([name, values]) => [name, part(values, T, b, h)]));
  for (const [b, h] of [[0, 0], [0, 1], [1, 0], [1, 1]] as const) {
    const one: Case = {
      model: kda,
      dims: { ...given.dims, B: 1, H: 1 },
      inputs: cut(given.inputs, b, h),
      initialState: part(given.initialState, 1, b, h),
      outputs: part(given.outputs, T, b, h),
      finalState: part(given.finalState, 1, b, h),
    };
    const verdict = verdictOf(one, {
      inputs: cut(result.inputs, b, h),
      initialState: part(result.initialState, 1, b, h),
    });
    assert(verdict.ok, `b = ${b}, h = ${h}: ${JSON.stringify(verdict.first)}`);
  }
});

gpuTest("the chunk changes gradients by roundings only", async (device) => {
  const given = caseOf(gatedDeltaNet, 27, "long-memory", 4, 4);
  for (const size of [1, 16, 64]) {
    const result = await deltaGradients(device, gatedDeltaNet, given.dims, given.inputs, given, { chunk: size });
    const verdict = verdictOf(given, result);
    assert(verdict.ok, `chunk ${size}: ${JSON.stringify(verdict.first)}`);
  }
});

gpuTest("gradients by groups of several invocations, and in blocks that are all whole", async (device) => {
  const ways: readonly (readonly [tokens: number, options: TileOptions])[] = [
    [11, { subgroups: false }],
    ...(device.subgroups === undefined ? [] : [[11, { subgroups: true }]] as const),
    // One by one every token would be asked for; together they are not.
    [16, { subgroups: false, unchecked: true }],
    ...(device.subgroups === undefined ? [] : [[16, { subgroups: true, unchecked: true }]] as const),
  ];
  for (const [T, way] of ways) {
    const given = caseOf(kda, T, "random", 8, 8);
    const options = { rows: 4, columns: 2, block: 4, ...way } as const;
    const result = await deltaGradients(device, kda, given.dims, given.inputs, given, {
      chunk,
      forward: options,
      reverse: options,
      local: options,
    });
    const verdict = verdictOf(given, result);
    assert(verdict.ok, `${T} tokens, ${JSON.stringify(way)}: ${JSON.stringify(verdict.first)}`);
  }
});

gpuTest("gradients of what is not there are refused", async (device) => {
  const given = caseOf(deltaNet, 3, "random");
  const run = (options: object, more: object = {}): Promise<unknown> =>
    deltaGradients(device, deltaNet, given.dims, given.inputs, { ...given, ...more }, options);
  await assertRejects(() => run({ chunk: 12 }), InputError, "chunk must be a power of two, got 12");
  await assertRejects(() => run({}, { outputs: new Float32Array(1) }), InputError, "so 9 numbers, got 1");
  const before = device.bytes.live;
  await run({ chunk });
  assertEquals(device.bytes.live, before);
});

test("the family promises serial passes", () => {
  assertEquals(deltaRounding.denseChunk(deltaNet, { B: 1, T: 99, H: 1, sizes: { K: 4, V: 4 } }), 1);
  assertEquals(deltaRounding.gradient, undefined);
});
