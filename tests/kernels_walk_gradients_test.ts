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

test("gradients by walks are within the derived bound, in segments, and faults are not", {
  skip: gpu === null,
}, async () => {
  const [T, K, V] = [140, 8, 6];
  const random = seeded(3, "walk gradients");
  const numbers = (width: number, low: number, high: number): Float32Array =>
    Float32Array.from({ length: T * width }, () => low + (high - low) * random());
  const given = {
    q: numbers(K, -1, 1),
    k: numbers(K, -1, 1),
    v: numbers(V, -1, 1),
    // Gates of a few that are nearly shut, too.
    g: numbers(K, -0.1, 0).map((x, n) => n % 37 === 0 ? 10 * x : x),
    dO: numbers(V, -1, 1),
  };
  const shape = (width: number): readonly number[] => [1, T, 1, width];
  const wide = { q: K, k: K, g: K, v: V, dO: V } as const;
  const inputs = Object.fromEntries(
    Object.entries(wide).map(([name, width]) => [
      name,
      Tensor.from(gpu!, given[name as keyof typeof given], shape(width)),
    ]),
  ) as Record<keyof typeof given, Tensor>;
  const room = (width: number): Tensor => Tensor.from(gpu!, new Float32Array(T * width).fill(POISON32), shape(width));
  const outputs = { dq: room(K), dk: room(K), dg: room(K), dv: room(V) };
  const plan = await planWalkGradients(gpu!, { ...inputs, ...outputs }, {
    scale: 0.5,
    walk: { segments: 2, rows: 4, columns: 1, block: 4 },
  });
  await runPlans(gpu!, "gradients", [plan]);
  const read = async (tensor: Tensor): Promise<Float32Array> => Float32Array.from(await tensor.read());
  const got = {
    dq: await read(outputs.dq),
    dk: await read(outputs.dk),
    dv: await read(outputs.dv),
    dg: await read(outputs.dg),
  };
  plan.release();
  const truth = walkGradientTruth({ T, K, V, scale: 0.5, ...given, dg: got.dg });
  for (const name of ["dq", "dk", "dv", "dg"] as const) {
    assertEquals(wrong(got[name], truth[name]), undefined, name);
    assert(wrong(got[name].map((x) => x * (1 + 2 ** -10)), truth[name]) !== undefined, `${name}: a fault shows`);
  }
  assertEquals(wrong(got.dg, truth.own), undefined, "dg from its own later numbers");
  // The definition: dg_t = Σ_v e^{g_t} S_{t−1} ∘ Λ_t of one key and token, in f64.
  const [t, i] = [70, 3];
  let direct = 0;
  for (let j = 0; j < V; j++) {
    let [state, later] = [0, 0];
    for (let s = 0; s < t; s++) {
      state = Math.exp(given.g[s * K + i]!) * state + given.k[s * K + i]! * given.v[s * V + j]!;
    }
    for (let s = T - 1; s >= t; s--) {
      later = (s + 1 < T ? Math.exp(given.g[(s + 1) * K + i]!) : 0) * later +
        0.5 * given.q[s * K + i]! * given.dO[s * V + j]!;
    }
    direct += Math.exp(given.g[t * K + i]!) * state * later;
  }
  const sum = truth.dg.truth[t * K + i]!;
  assert(Math.abs(direct - sum) <= 2 ** -40 * (1 + Math.abs(direct)), `${direct} by definition, ${sum} as a sum`);
  const bad = { ...inputs, ...outputs, g: inputs.v };
  await assertRejects(() => planWalkGradients(gpu!, bad), InputError, "g must be");
  [...Object.values(inputs), ...Object.values(outputs)].forEach((tensor) => tensor.destroy());
});
