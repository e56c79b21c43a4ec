/** `gradientsOfChunk` against the backward pass in f64, and the oracle's dual numbers. */

import { after, test } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { gradientsOfChunk } from "../kernels/chunk/execution.ts";
import { chunkModels } from "../kernels/chunk/family.ts";
import { backward } from "../models/backward.ts";
import { inputWidth, prepare } from "../models/inputs.ts";
import { f64 } from "../models/number.ts";
import { argumentsOf, sequenceGradient } from "../oracle/gradient.ts";
import { gpuForTests } from "./gpu.ts";
import { gradientCase } from "./gradient_truth.ts";

const gpu = await gpuForTests("gradients of chunked models");
after(() => gpu?.close());

/** The largest difference as a share of the largest number of its array. */
function apart(got: ArrayLike<number>, want: ArrayLike<number>): number {
  assertEquals(got.length, want.length);
  let [most, size] = [0, 2 ** -60];
  for (let n = 0; n < want.length; n++) {
    most = Math.max(most, Math.abs(got[n]! - want[n]!));
    size = Math.max(size, Math.abs(want[n]!));
  }
  return most / size;
}

/**
 * Roundings of a term, times u, as in kernels_backward_test.ts: two for every step's gate in either direction, its functions'
 * own, and the sums' within chunks. Relative to the largest of an array, of inputs of the harness' random class.
 */
const tolerance = (T: number): number => 2 ** -24 * (4 * T + 16 * 16 + 3 * 64);

for (const { model } of chunkModels) {
  test(`gradientsOfChunk ${model.name} equals backward in f64`, { skip: gpu === null }, async () => {
    for (const T of [0, 40]) {
      const given = gradientCase(model, T);
      const got = await gradientsOfChunk(gpu!, model, given.dims, given.inputs, given);
      const want = backward(f64, prepare(model, given.dims, given.inputs), given, given.initialState);
      assert(apart(got.initialState, want.initialState) <= tolerance(T), `initial state, T = ${T}`);
      assertEquals(Object.keys(got.inputs).sort(), Object.keys(want.inputs).sort());
      for (const [name, values] of Object.entries(want.inputs)) {
        const share = apart(got.inputs[name]!, values);
        assert(share <= tolerance(T), `${name}, T = ${T}: off by ${share} of the largest`);
      }
    }
  });

  test(`gradientsOfChunk ${model.name} equals the oracle's dual numbers`, { skip: gpu === null }, async () => {
    const { dims: { sizes, H }, ...given } = gradientCase(model, 3, { B: 1 });
    const dims = { B: 1, T: 3, H, sizes };
    const got = await gradientsOfChunk(gpu!, model, dims, given.inputs, given);
    const batch = prepare(model, dims, given.inputs);
    const wanted = argumentsOf({ ...batch, dims: { ...dims, H: 1 } }).filter(({ kind }) => kind === "input");
    for (let h = 0; h < H; h++) {
      const want = sequenceGradient(batch, 0, h, given.initialState, given, wanted);
      const most = Math.max(...want.map(Math.abs));
      wanted.forEach((argument, n) => {
        if (argument.kind !== "input") return;
        const width = inputWidth(model.inputs[argument.name]!, sizes);
        const x = got.inputs[argument.name]![(argument.step * H + h) * width + argument.index]!;
        assert(
          Math.abs(x - want[n]!) <= tolerance(3) * most,
          `${argument.name}[${argument.step}]: ${x}, not ${want[n]}`,
        );
      });
    }
  });
}
