/** Every golden vector is met, by `step` and by `lift`, in f64; planted faults are seen. */
import { test } from "node:test";
import { assertEquals, assertGreater, assertLess } from "@std/assert";
import type { AnyAffineModel } from "../models/affine.ts";
import type { Call } from "../models/convert/mod.ts";
import { collect, double, scanned } from "../models/execution.ts";
import { f64 } from "../models/number.ts";
import { type Element, modelMonoid } from "../models/run.ts";
import { stepStates } from "../oracle/run.ts";
import { blelloch } from "../scan/mod.ts";
import { goldenCalls } from "./golden_calls.ts";

// The references ran in f32: their own error is a few 2^-24 of the largest output (2e-7 is seen). mLSTM's divides by
// max(|q·n|, e^-m) + 1e-6 instead of the paper's divisor, which moves small outputs by up to 6e-6 of the largest.
const TOLERANCE = 1e-5;

type Result = Parameters<Call["results"]>[0];

function byStep({ model, dims, inputs, initialState }: Call): Promise<Result> {
  const options = initialState === undefined ? {} : { initialState };
  return Promise.resolve(
    collect(
      f64,
      model,
      dims,
      inputs,
      options,
      (tokens, initial) => stepStates(f64, model, dims.sizes, tokens, initial),
    ),
  );
}

function byLift({ model, dims, inputs, initialState }: Call): Promise<Result> {
  return scanned(blelloch, double).run(model, dims, inputs, initialState === undefined ? {} : { initialState });
}

/** The worst disagreement over all expected arrays, each relative to its largest number. */
function disagreement(golden: (typeof goldenCalls)[number], result: Result): number {
  const got = golden.call.results(result);
  let worst = 0;
  for (const [name, { shape, data }] of Object.entries(golden.expected)) {
    assertEquals([...got[name]!.shape], [...shape], `${golden.op}: shape of ${name}`);
    let largest = 0;
    let difference = 0;
    for (let i = 0; i < data.length; i++) {
      largest = Math.max(largest, Math.abs(data[i]!));
      difference = Math.max(difference, Math.abs(data[i]! - got[name]!.data[i]!));
    }
    worst = Math.max(worst, difference / largest);
  }
  return worst;
}

test("golden vectors: there are fourteen", () => assertEquals(goldenCalls.length, 14));

for (const golden of goldenCalls) {
  test(`golden ${golden.op}: step meets the reference`, async () => {
    assertLess(disagreement(golden, await byStep(golden.call)), TOLERANCE);
  });
  test(`golden ${golden.op}: lift meets the reference`, async () => {
    assertLess(disagreement(golden, await byLift(golden.call)), TOLERANCE);
  });
}

const named = (op: string): (typeof goldenCalls)[number] => goldenCalls.find((golden) => golden.op === op)!;
const withModel = (op: string, change: Partial<AnyAffineModel>): (typeof goldenCalls)[number] => {
  const golden = named(op);
  return { ...golden, call: { ...golden.call, model: { ...golden.call.model, ...change } } };
};

/** A scan whose matrices multiply in the wrong order. */
function transposed({ model, dims, inputs, initialState }: Call): Result {
  const monoid = modelMonoid<number>(f64, model, dims.sizes);
  const wrong = {
    ...monoid,
    combine: (x: Element<number>, y: Element<number>) =>
      ({
        ...monoid.combine(x, y),
        E: (monoid.combine(y, x) as { E: readonly (readonly number[])[] }).E,
      }) as Element<number>,
  };
  return collect(
    f64,
    model,
    dims,
    inputs,
    { initialState: initialState! },
    (tokens, initial) =>
      blelloch.inclusive<Element<number>>(wrong, tokens.map((token) => monoid.lift(token)))
        .map((prefix) => monoid.apply(prefix, initial)),
  );
}

for (const op of ["delta_net", "gated_delta_net", "kda", "gated_delta_product"]) {
  test(`golden ${op}: a transposed composition is seen`, () => {
    const golden = named(op);
    assertGreater(disagreement(golden, transposed(golden.call)), 1e3 * TOLERANCE);
  });
}

// The ops whose query is scaled, on either side. A normaliser divides the scale out again, but for mLSTM's floor.
for (const op of goldenCalls.map((golden) => golden.op).filter((op) => !/normalized|hgrn|mamba_s6/.test(op))) {
  test(`golden ${op}: a scale left out is seen`, async () => {
    const golden = named(op);
    const query = golden.call.inputs.q === undefined ? "C" : "q";
    const inputs = {
      ...golden.call.inputs,
      [query]: Float64Array.from(golden.call.inputs[query]!, (x) => x * Math.sqrt(5)),
    };
    assertGreater(disagreement(golden, await byLift({ ...golden.call, inputs })), 1e3 * TOLERANCE);
  });
}

for (const golden of goldenCalls) {
  test(`golden ${golden.op}: reading ${golden.call.model.reads === "pre" ? "after" : "before"} the update is seen`, async () => {
    const wrong = withModel(golden.op, { reads: golden.call.model.reads === "pre" ? "post" : "pre" });
    assertGreater(disagreement(wrong, await byLift(wrong.call)), 1e3 * TOLERANCE);
  });
}

// deno-lint-ignore no-explicit-any -- a planted fault, written over the erased model
type Loose = any;

const decayAfter: { readonly [op: string]: Partial<AnyAffineModel> } = {
  // A scalar decay commutes with the delta matrix, so what tells is the value just written, which must not decay.
  gated_delta_net: {
    lift: (A: Loose, x: Loose) => ({
      E: (i: number, j: number) => A.mul(x.a, A.sub(A.eye(i, j), A.mul(x.beta, A.mul(x.k(i), x.k(j))))),
      F: (i: number, v: number) => A.mul(x.a, A.mul(x.beta, A.mul(x.k(i), x.v(v)))),
    }),
  } as Loose,
  kda: {
    lift: (A: Loose, x: Loose) => ({
      E: (i: number, j: number) => A.mul(x.a(i), A.sub(A.eye(i, j), A.mul(x.beta, A.mul(x.k(i), x.k(j))))),
      F: (i: number, v: number) => A.mul(x.beta, A.mul(x.k(i), x.v(v))),
    }),
  } as Loose,
};

for (const [op, change] of Object.entries(decayAfter)) {
  test(`golden ${op}: a decay after the delta step is seen`, async () => {
    const wrong = withModel(op, change);
    assertGreater(disagreement(wrong, await byLift(wrong.call)), 1e3 * TOLERANCE);
  });
}
