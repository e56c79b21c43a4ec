/** Gradients by walks against f64 with a derived bound; a fault in each is seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Bounded, walkGradientTruth } from "../bench/fused/_walk_gradient_truth.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { planWalkGradients } from "../kernels/walk/gradients.ts";
import { InputError } from "../models/error.ts";
import { seeded } from "../models/random.ts";
import { POISON32 } from "../oracle/ulp.ts";
import { gpuForTests } from "./gpu.ts";

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
