/** The bounds of chunk kernels, tried on small ones on the CPU: they hold, and every fault is seen. */

import { test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { wgslAccuracy } from "../models/accuracy.ts";
import type { AnyAffineModel } from "../models/affine.ts";
import { backward } from "../models/backward.ts";
import type { Execution, RunResult } from "../models/execution.ts";
import { traceGradient } from "../models/gradient.ts";
import { type Dims, prepare, sampleInputs, sliceInputs, stateLength } from "../models/inputs.ts";
import { models } from "../models/mod.ts";
import { f32 } from "../models/number.ts";
import { seeded } from "../models/random.ts";
import { judgeOf } from "../oracle/allowance.ts";
import { joined, type Verdict, withinRadius } from "../oracle/compare.ts";
import { gradientBound } from "../oracle/gradient_bound.ts";
import { reference } from "../oracle/reference.ts";
import { deltaDouble, glaDouble } from "./chunk_doubles.ts";

const modelOf = (name: string): AnyAffineModel => models.find((model) => model.name === name)!;
const matrices = models.filter(({ action }) => action === "matrix");

/** Whether a double's outputs are within what it promises. */
async function holds(
  double: Execution,
  model: AnyAffineModel,
  kind: "random" | "adversarial" = "random",
): Promise<boolean> {
  const dims: Dims = { B: 1, T: 129, H: 1, sizes: { K: 4, V: 3 } };
  const inputs = sampleInputs(model, dims, kind, 9);
  const result = await double.run(model, dims, inputs, { chunkStates: true });
  return judgeOf(reference(model, dims, inputs), double.rounding).judge(result, dims.T).ok;
}

test("a bound of 2^-24 sees operands of 18 bits that are not promised", async () => {
  for (const [double, name] of [[deltaDouble, "delta-net"], [glaDouble, "gla"]] as const) {
    assert(await holds(double(32, { floor: 2 ** -18 }), modelOf(name)));
    assert(
      !await holds(
        double(32, { floor: 2 ** -18, promise: { tiles: () => ({ floor: 2 ** -40, chunk: 32 }) } }),
        modelOf(name),
      ),
    );
  }
});

test("a bound of products of gates sees decays by long sums of adversarial log gates", async () => {
  const double = glaDouble(64);
  const { logSums: _, ...products } = double.rounding;
  assert(await holds(double, modelOf("gla"), "adversarial"));
  assert(
    !await holds({ ...double, rounding: { ...products, rightCombines: () => 40 } }, modelOf("gla"), "adversarial"),
  );
});

test("a chunk's judge needs the states at every chunk's start, and holds each of them to the chunk before", async () => {
  const model = modelOf("gated-delta-net");
  const dims: Dims = { B: 2, T: 70, H: 2, sizes: { K: 4, V: 3 } };
  const inputs = sampleInputs(model, dims, "random", 4);
  const double = deltaDouble(16);
  const judge = judgeOf(reference(model, dims, inputs), double.rounding);
  const result = await double.run(model, dims, inputs);
  assert(judge.judge(result, dims.T).ok);
  const { chunkStates: _, ...bare } = result;
  assertThrows(() => judge.judge(bare, dims.T), TypeError, "5 chunk starts must be returned, got none");
  const length = stateLength(model, { ...dims, B: 1, H: 1 });
  const off = (name: "outputs" | "finalState" | "chunkStates", index: number): RunResult => {
    const values = Float64Array.from(result[name]!);
    values[index]! *= 1 + 2 ** -10;
    return { ...result, [name]: values };
  };
  for (let chunk = 1; chunk < 5; chunk++) {
    assert(!judge.judge(off("chunkStates", (5 + chunk) * 2 * length), dims.T).ok, `chunk ${chunk}`);
  }
  assert(!judge.judge(off("finalState", 0), dims.T).ok);
  assert(!judge.judge(off("outputs", 3), dims.T).ok);
  // A first chunk that does not start from the initial state.
  const start = await double.run(model, dims, inputs, { initialState: new Float32Array(4 * length).fill(2 ** -20) });
  assert(!judge.judge(start, dims.T).ok);
});

for (const [double, name] of [[deltaDouble(16), "kda"], [glaDouble(16), "gla"]] as const) {
  test(`${double.name}: a run resumed at every split of 130 tokens is within the bound of the whole`, async () => {
    const model = modelOf(name);
    const dims: Dims = { B: 1, T: 130, H: 1, sizes: { K: 4, V: 3 } };
    const inputs = sampleInputs(model, dims, "random", 2);
    const judge = judgeOf(reference(model, dims, inputs), double.rounding);
    for (let split = 0; split <= dims.T; split++) {
      const part = (from: number, to: number): [Dims, ReturnType<typeof sliceInputs>] => [
        { ...dims, T: to - from },
        sliceInputs(model, dims, inputs, from, to),
      ];
      const first = await double.run(model, ...part(0, split));
      const rest = await double.run(model, ...part(split, dims.T), { initialState: first.finalState });
      const both = (name: "outputs" | "chunkStates"): Float64Array =>
        Float64Array.from([...first[name] ?? [], ...rest[name] ?? []]);
      const whole = { outputs: both("outputs"), chunkStates: both("chunkStates"), finalState: rest.finalState };
      assert(judge.judge(whole, dims.T, [0, split]).ok, `split at ${split}`);
      if (split === 0 || split === dims.T) continue;
      const dropped = await double.run(model, ...part(split, dims.T));
      const faulty = { ...whole, outputs: Float64Array.from([...first.outputs, ...dropped.outputs]) };
      assert(!judge.judge(faulty, dims.T, [0, split]).ok, `split at ${split}`);
    }
  });
}

for (const model of matrices) {
  test(`${model.name}: the gradient bound of chunks holds for a serial pass, and sees 2^-10`, () => {
    const dims: Dims = { B: 1, T: 70, H: 1, sizes: { K: 4, V: 3 } };
    const inputs = sampleInputs(model, dims, "random", 8);
    const random = seeded("chunk gradients", model.name);
    const numbers = (length: number): number[] => Array.from({ length }, () => Math.fround(2 * random() - 1));
    const given = { outputs: numbers(dims.T * 3), finalState: numbers(12), initialState: numbers(12) };
    const batch = prepare(model, dims, inputs);
    const bound = gradientBound(traceGradient(model, dims.sizes), batch, given.initialState, given, wgslAccuracy, {
      late: NaN,
      chunk: { steps: 32, roundings: 48 },
    });
    const got = backward(f32, batch, given, given.initialState);
    const verdict = (factor: number): Verdict =>
      joined([...Object.entries(bound.inputs), ["", bound.initial] as const].map(([name, balls]) =>
        withinRadius(
          (got.inputs[name] ?? got.initialState).map((x) => x * factor),
          balls.map(({ x }) => x),
          balls.map(({ r }) => r),
        )
      ));
    assert(verdict(1).ok);
    assertEquals(verdict(1).planted, "seen");
    assert(!verdict(1 + 2 ** -10).ok);
  });
}
