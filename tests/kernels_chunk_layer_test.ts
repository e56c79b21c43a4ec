/** What the chunked family's layer hands on to its plans. */
import { after, test } from "node:test";
import { assertEquals } from "@std/assert";
import { chunkLayer } from "../kernels/chunk/layer.ts";
import { Tensor } from "../kernels/tensor.ts";
import { type Dims, inputEntries, inputShape } from "../models/inputs.ts";
import { linearAttention } from "../models/linear_attention.ts";
import { gpuForTests, withTraits } from "./gpu.ts";

const gpu = await gpuForTests("layers of the chunked family");
after(() => gpu?.close());

test("a layer's time is cut where it may be, forward and backward", { skip: gpu === null }, async () => {
  const device = gpu!;
  const dims: Dims = { B: 1, T: 1024, H: 16, sizes: { K: 4, V: 4 } };
  const inputs = Object.fromEntries(
    inputEntries(linearAttention).map(([name, spec]) => {
      const shape = inputShape(linearAttention, spec, dims);
      return [name, { given: Tensor.empty(device, shape), wanted: Tensor.empty(device, shape) }];
    }),
  );
  const [outputs, dOutputs] = [1, 2].map(() => Tensor.empty(device, [1, dims.T, dims.H, 4]));
  const each = (which: "given" | "wanted"): { readonly [name: string]: Tensor } =>
    Object.fromEntries(Object.entries(inputs).map(([name, of]) => [name, of[which]]));
  // Software cuts nothing. Backward these are as many walks as are worth it, and whole ones are not.
  await withTraits(device, { adapter: { software: false } }, async () => {
    for (const split of [true, false]) {
      const forward = await chunkLayer.forward(device, linearAttention, dims, {
        inputs: each("given"),
        outputs: outputs!,
      }, { split });
      const tensors = { inputs: each("given"), dOutputs: dOutputs!, gradients: each("wanted") };
      const backward = await chunkLayer.backward(device, linearAttention, dims, tensors, { split, summed: true });
      const cut = [forward, backward].map(({ variant }) => variant.includes(", 4 segments of 256"));
      assertEquals(cut, [split, split]);
      forward.release();
      backward.release();
    }
  });
});
