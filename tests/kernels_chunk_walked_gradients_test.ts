/** A layer's own gradients where they are taken by walks, against the true ones; and when they are. */
import { after, test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { requireChunkModel } from "../kernels/chunk/family.ts";
import { planChunkModelBackward } from "../kernels/chunk/gradients.ts";
import { worthWalking } from "../kernels/chunk/layer.ts";
import type { Gpu } from "../kernels/gpu.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { gla } from "../models/gla.ts";
import { inputEntries, inputShape } from "../models/inputs.ts";
import { linearAttention } from "../models/linear_attention.ts";
import { linearAttentionNormalised } from "../models/linear_attention_normalised.ts";
import { mamba2 } from "../models/mamba2.ts";
import { retnet } from "../models/retnet.ts";
import { rwkv6 } from "../models/rwkv6.ts";
import { gpuForTests } from "./gpu.ts";
import { type Case, gradientCase, tolerance, truth, worst } from "./gradient_truth.ts";

const gpu = await gpuForTests("gradients of layers by walks");
after(() => gpu?.close());

/** Gradients of a layer's own inputs but for a head's decay, walked through or on tiles, and the plan in words. */
async function layerGradients(
  { model, dims, inputs, outputs }: Case,
  options: { readonly walks: boolean; readonly segments?: number },
): Promise<{ readonly variant: string; readonly gradients: ReadonlyMap<string, Float32Array> }> {
  const shapes = Object.fromEntries(
    inputEntries(model).map(([name, spec]) => [name, inputShape(model, spec, dims)]),
  );
  const tensors = Object.fromEntries(
    Object.entries(inputs).map(([name, x]) => [name, Tensor.from(gpu!, x, shapes[name]!)]),
  );
  const rooms = Object.fromEntries(
    Object.keys(inputs).filter((name) => name !== "gamma").map((name) => [name, Tensor.empty(gpu!, shapes[name]!)]),
  );
  const dOutputs = Tensor.from(gpu!, outputs, [dims.B, dims.T, dims.H, dims.sizes.V!]);
  const given = { inputs: tensors, dOutputs, gradients: rooms };
  const plan = await planChunkModelBackward(gpu!, requireChunkModel(model), given, options);
  await runPlans(gpu!, "layer", [plan]);
  const gradients = new Map<string, Float32Array>();
  for (const [name, tensor] of Object.entries(rooms)) gradients.set(name, Float32Array.from(await tensor.read()));
  plan.release();
  [...Object.values(tensors), ...Object.values(rooms), dOutputs].forEach((tensor) => tensor.destroy());
  return { variant: plan.variant, gradients };
}

// Every way from canonical gradients to a layer's own but the complement: nothing, a head's decay, Δ A with Δ B, a gate a key.
for (const model of [linearAttention, retnet, mamba2, gla]) {
  test(`${model.name}: a layer's gradients by walks are the true ones`, { skip: gpu === null }, async () => {
    // More than a block of 16, so that it can be cut.
    const T = 20;
    const drawn = gradientCase(model, T, { sizes: { K: 4, V: 3 } });
    const given = {
      ...drawn,
      initialState: drawn.initialState.map(() => 0),
      finalState: drawn.finalState.map(() => 0),
    };
    const want = truth(given);
    const tiles = await layerGradients(given, { walks: false });
    const [whole, cut] = [
      await layerGradients(given, { walks: true, segments: 1 }),
      await layerGradients(given, { walks: true, segments: 2 }),
    ];
    assert(whole.variant !== tiles.variant, "not on tiles");
    assert(!whole.variant.includes(", 2 segments"), whole.variant);
    assertStringIncludes(cut.variant, ", 2 segments");
    // What gates' gradients are summed from, |q ∘ dq| + |k ∘ dk| of all tokens, where q and k may be C and B: of a sequence and a key,
    // of a sequence, and of all.
    const { H, sizes: { K = 1 } } = given.dims;
    const sums = { g: new Map<number, number>(), delta: new Map<number, number>(), A: new Map<number, number>() };
    for (const names of [["q", "C"], ["k", "B"]]) {
      const name = names.find((name) => given.inputs[name] !== undefined)!;
      want.get(name)!.forEach((d, n) => {
        const size = Math.abs(d * given.inputs[name]![n]!);
        const [i, head, batch] = [n % K, Math.floor(n / K) % H, Math.floor(n / (K * H * T))];
        const sequence = batch * H + head;
        for (const [gate, place] of [["g", sequence * K + i], ["delta", sequence], ["A", 0]] as const) {
          sums[gate].set(place, (sums[gate].get(place) ?? 0) + size);
        }
      });
    }
    for (const [name, x] of [...whole.gradients, ...cut.gradients]) {
      const { error, where } = worst(new Map([[name, x]]), new Map([[name, want.get(name)!]]));
      const largest = want.get(name)!.reduce((most, y) => Math.max(most, Math.abs(y)), 0);
      // As on tiles, and of a gate as a share of all that may stand behind it, each added T times at most.
      const behind = name in sums ? Math.max(...sums[name as keyof typeof sums].values()) / largest : 0;
      const allowed = tolerance(T) * (1 + behind) + T * 2 ** -24 * behind;
      assert(error <= allowed, `${name}: ${error}, allowed ${allowed}: ${where}`);
      assert(allowed < 2 ** -10, `${name}: ${allowed} would see no fault`);
      const planted = worst(new Map([[name, x.map((y) => y * (1 + 2 ** -9))]]), new Map([[name, want.get(name)!]]));
      assert(planted.error > allowed, `${name}: a fault shows`);
    }
  });
}

test("training walks backward where sequences are many, or long enough to be cut, on hardware", () => {
  const at = (B: number, V: number, { T = 9, software = false, split = true } = {}): boolean =>
    worthWalking({ adapter: { software } as Gpu["adapter"] }, { B, T, H: 4, sizes: { K: 64, V } }, split);
  assertEquals([at(16, 64), at(8, 128), at(15, 64), at(16, 64, { software: true })], [true, true, false, false]);
  // In segments of 256 tokens, four at least; without leave to cut they are as few as they are.
  const lengths = [[4, 1024], [4, 1023], [1, 4096], [1, 4095]] as const;
  assertEquals(lengths.map(([B, T]) => at(B, 64, { T })), [true, false, true, false]);
  assertEquals([at(1, 64, { T: 4096, split: false }), at(16, 64, { split: false })], [false, true]);
});

test(
  "a backward pass that cannot be walked through is on tiles, whatever is asked for",
  { skip: gpu === null },
  async () => {
    for (const model of [linearAttentionNormalised, rwkv6]) {
      const given = gradientCase(model, 5, { sizes: { K: 4, V: 3 } });
      assertEquals(
        (await layerGradients(given, { walks: true })).variant,
        (await layerGradients(given, { walks: false })).variant,
      );
    }
  },
);
