/** Gradients by walks against f64 with a derived bound; a fault in each is seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Bounded, walkGradientTruth } from "../bench/fused/_walk_gradient_truth.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { planWalkGradients } from "../kernels/walk/gradients.ts";
import { requireChunkModel } from "../kernels/chunk/family.ts";
import { planChunkModelBackward } from "../kernels/chunk/gradients.ts";
import { worthWalking } from "../kernels/chunk/layer.ts";
import type { Gpu } from "../kernels/gpu.ts";
import { InputError } from "../models/error.ts";
import { gla } from "../models/gla.ts";
import { inputEntries, inputShape } from "../models/inputs.ts";
import { linearAttention } from "../models/linear_attention.ts";
import { linearAttentionNormalised } from "../models/linear_attention_normalised.ts";
import { mamba2 } from "../models/mamba2.ts";
import { seeded } from "../models/random.ts";
import { retnet } from "../models/retnet.ts";
import { rwkv6 } from "../models/rwkv6.ts";
import { POISON32 } from "../oracle/ulp.ts";
import { gpuForTests } from "./gpu.ts";
import { type Case, gradientCase, tolerance, truth, worst } from "./gradient_truth.ts";

const gpu = await gpuForTests("gradients by walks");
after(() => gpu?.close());

/** The first number outside its bound. */
function wrong(got: ArrayLike<number>, { truth, allowed }: Bounded): string | undefined {
  const bad = Array.from(truth).findIndex((x, n) => !(Math.abs(got[n]! - x) <= allowed[n]!));
  return bad < 0 ? undefined : `at ${bad}: got ${got[bad]}, truth ${truth[bad]}, allowed ${allowed[bad]}`;
}

const [T, K, V] = [140, 8, 6];

/** A scalar's dg without the terms of the first key. */
function withoutKey({ dg, ...of }: { readonly [name in "q" | "k" | "dq" | "dk" | "dg"]: Float32Array }): Float32Array {
  const out = dg.slice();
  let sum = 0;
  for (let t = T - 1; t >= 0; t--) {
    sum += of.q[t * K]! * of.dq[t * K]! - of.k[t * K]! * of.dk[t * K]!;
    out[t] = out[t]! - sum;
  }
  return out;
}

for (const decay of ["rows", "none", "scalar", "head"] as const) {
  test(
    `gradients by walks, decay ${decay}: within the derived bound, in segments and whole blocks, and faults are not`,
    {
      skip: gpu === null,
    },
    async () => {
      const random = seeded(3, "walk gradients");
      const numbers = (width: number, low: number, high: number): Float32Array =>
        Float32Array.from({ length: T * width }, () => low + (high - low) * random());
      const gates = { rows: T * K, none: 0, scalar: T, head: 1 }[decay];
      const given = {
        q: numbers(K, -1, 1),
        k: numbers(K, -1, 1),
        v: numbers(V, -1, 1),
        // Gates of a few that are nearly shut, too.
        g: numbers(K, -0.1, 0).map((x, n) => n % 37 === 0 ? 10 * x : x).subarray(0, gates),
        dO: numbers(V, -1, 1),
      };
      const shape = (width: number): readonly number[] => [1, T, 1, width];
      const tensor = (name: keyof typeof given, shape: readonly number[]): Tensor =>
        Tensor.from(gpu!, given[name], shape);
      const gateShape = { rows: shape(K), none: undefined, scalar: [1, T, 1], head: [1] }[decay];
      const inputs = {
        q: tensor("q", shape(K)),
        k: tensor("k", shape(K)),
        v: tensor("v", shape(V)),
        dO: tensor("dO", shape(V)),
        ...(gateShape === undefined ? {} : { g: tensor("g", gateShape) }),
      };
      const room = (shape: readonly number[]): Tensor =>
        Tensor.from(gpu!, new Float32Array(shape.reduce((a, b) => a * b)).fill(POISON32), shape);
      const summed = decay === "rows" || decay === "scalar";
      const outputs = {
        dq: room(shape(K)),
        dk: room(shape(K)),
        dv: room(shape(V)),
        ...(summed ? { dg: room(gateShape!) } : {}),
      };
      for (const walk of [{ segments: 2 }, { unchecked: true }]) {
        const plan = await planWalkGradients(gpu!, { ...inputs, ...outputs }, {
          decay,
          scale: 0.5,
          walk: { rows: 4, columns: 1, block: 4, ...walk },
        });
        await runPlans(gpu!, "gradients", [plan]);
        const read = async (tensor: Tensor): Promise<Float32Array> => Float32Array.from(await tensor.read());
        const got = {
          dq: await read(outputs.dq),
          dk: await read(outputs.dk),
          dv: await read(outputs.dv),
          dg: outputs.dg === undefined ? new Float32Array() : await read(outputs.dg),
        };
        plan.release();
        const truth = walkGradientTruth({ decay, T, K, V, scale: 0.5, ...given, dg: got.dg });
        for (const name of ["dq", "dk", "dv", ...(summed ? ["dg"] as const : [])] as const) {
          assertEquals(wrong(got[name], truth[name]), undefined, name);
          // A scalar's terms of all keys cancel, and what is left is too small a part of them to see that: a key that is left out is seen.
          const faulty = decay === "scalar" && name === "dg"
            ? withoutKey({ ...given, ...got })
            : got[name].map((x) => x * (1 + 2 ** -10));
          assert(wrong(faulty, truth[name]) !== undefined, `${name}: a fault shows`);
        }
        if (!summed) continue;
        assertEquals(wrong(got.dg, truth.own), undefined, "dg from its own later numbers");
        // The definition: dg_t = Σ e^{g_t} S_{t−1} ∘ Λ_t, over values of one key or over all of both, in f64.
        const [t, key] = [70, 3];
        const wide = decay === "rows" ? K : 1;
        const gate = (s: number, i: number): number => Math.exp(given.g[s * wide + (wide === 1 ? 0 : i)]!);
        let direct = 0;
        for (const i of decay === "rows" ? [key] : Array.from({ length: K }, (_, i) => i)) {
          for (let j = 0; j < V; j++) {
            let [state, later] = [0, 0];
            for (let s = 0; s < t; s++) state = gate(s, i) * state + given.k[s * K + i]! * given.v[s * V + j]!;
            for (let s = T - 1; s >= t; s--) {
              later = (s + 1 < T ? gate(s + 1, i) : 0) * later + 0.5 * given.q[s * K + i]! * given.dO[s * V + j]!;
            }
            direct += gate(t, i) * state * later;
          }
        }
        const sum = truth.dg.truth[t * wide + (wide === 1 ? 0 : key)]!;
        assert(Math.abs(direct - sum) <= 2 ** -40 * (1 + Math.abs(direct)), `${direct} by definition, ${sum} as a sum`);
      }
      const bad = { ...inputs, ...outputs, g: inputs.v };
      await assertRejects(() => planWalkGradients(gpu!, bad, { decay }), InputError, "g must be");
      [...Object.values(inputs), ...Object.values(outputs)].forEach((tensor) => tensor.destroy());
    },
  );
}

/** Gradients of a layer's own inputs but for a head's decay, walked through or on tiles, and the plan in words. */
async function layerGradients(
  { model, dims, inputs, outputs }: Case,
  walks: boolean,
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
  const plan = await planChunkModelBackward(gpu!, requireChunkModel(model), given, { walks });
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
    const T = 20;
    const drawn = gradientCase(model, T, { sizes: { K: 4, V: 3 } });
    const given = {
      ...drawn,
      initialState: drawn.initialState.map(() => 0),
      finalState: drawn.finalState.map(() => 0),
    };
    const { variant, gradients } = await layerGradients(given, true);
    const want = truth(given);
    assert(variant !== (await layerGradients(given, false)).variant, "not on tiles");
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
    for (const [name, x] of gradients) {
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
  const at = (B: number, V: number, T = 9, software = false): boolean =>
    worthWalking({ adapter: { software } as Gpu["adapter"] }, { B, T, H: 4, sizes: { K: 64, V } });
  assertEquals([at(16, 64), at(8, 128), at(15, 64), at(16, 64, 9, true)], [true, true, false, false]);
  // In segments of 256 tokens, four at least.
  assertEquals([at(4, 64, 1024), at(4, 64, 1023), at(1, 64, 4096), at(1, 64, 4095)], [true, false, true, false]);
});

test(
  "a backward pass that cannot be walked through is on tiles, whatever is asked for",
  { skip: gpu === null },
  async () => {
    for (const model of [linearAttentionNormalised, rwkv6]) {
      const given = gradientCase(model, 5, { sizes: { K: 4, V: 3 } });
      assertEquals((await layerGradients(given, true)).variant, (await layerGradients(given, false)).variant);
    }
  },
);
