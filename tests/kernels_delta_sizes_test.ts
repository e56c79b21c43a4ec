/** The delta-rule kernels at the sizes they are made for, in f32 and on halves, against f64. */
import { after, test } from "node:test";
import { assert, assertGreater } from "@std/assert";
import { runDelta } from "../kernels/delta/run.ts";
import { stepError } from "../kernels/delta/rounding.ts";
import type { DeltaOptions } from "../kernels/delta/forward.ts";
import type { Gpu } from "../kernels/device.ts";
import { fromHalfBits, toHalfBits } from "../kernels/half.ts";
import type { AnyAffineModel } from "../models/affine.ts";
import { deltaNet } from "../models/delta_net.ts";
import { double, type RunResult, scanned } from "../models/execution.ts";
import { gatedDeltaNet } from "../models/gated_delta_net.ts";
import { type Dims, sampleInputs, stateLength } from "../models/inputs.ts";
import { kda } from "../models/kda.ts";
import { seeded } from "../models/random.ts";
import { sequential } from "../scan/mod.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("the delta-rule kernels at their own sizes");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

/** Norms of the columns of one sequence's state. */
function columnNorms(state: ArrayLike<number>, at: number, K: number, V: number): Float64Array {
  const out = new Float64Array(V);
  for (let n = 0; n < K * V; n++) out[n % V]! += state[at + n]! ** 2;
  return out.map(Math.sqrt);
}

/**
 * The largest error of outputs and final state as a share of what it may be: a column's error is at most the sum of its
 * steps' (rounding.ts), as ‖E‖₂ ≤ 1; an output errs by ‖q‖ of that, its own sum, and its storage.
 */
function worst(
  model: AnyAffineModel,
  dims: Dims,
  inputs: Record<string, Float32Array>,
  truth: RunResult,
  got: {
    readonly outputs: Float32Array;
    readonly finalState: Float32Array;
  },
  initial: Float32Array,
  stored: number,
): number {
  const { T, H, sizes: { K = 1, V = 1 } } = dims;
  const u = 2 ** -24;
  // No tile adds a term up in more steps than there are keys.
  const dot = K;
  let most = 0;
  for (let h = 0; h < H; h++) {
    const error = new Float64Array(V);
    let before = columnNorms(initial, h * K * V, K, V);
    for (let t = 0; t < T; t++) {
      const row = t * H + h;
      const norm = (x: Float32Array): number => Math.hypot(...x.subarray(row * K, (row + 1) * K));
      const key = norm(inputs.k!);
      const beta = inputs.beta![row]!;
      const gates = model === kda ? inputs.g!.subarray(row * K, (row + 1) * K) : [inputs.g?.[row] ?? 0];
      const gate = -Math.max(-104, Math.min(...gates));
      const state = columnNorms(truth.states!, row * K * V, K, V);
      const query = norm(inputs.q!) / Math.sqrt(K);
      for (let v = 0; v < V; v++) {
        const n = row * V + v;
        const old = before[v]! + error[v]!;
        const written = beta * key * Math.abs(inputs.v![n]!);
        error[v]! += stepError(dot, {
          state: old,
          removed: beta * key * key,
          written,
          gate,
        });
        const own = query * (error[v]! + ((1 + u) ** (dot + 2) - 1) * (state[v]! + error[v]!));
        const allowed = own + stored * (Math.abs(truth.outputs[n]!) + own) + (stored > 0 ? 2 ** -24 : 0);
        most = Math.max(most, Math.abs(got.outputs[n]! - truth.outputs[n]!) / allowed);
      }
      before = state;
    }
    for (let n = h * K * V; n < (h + 1) * K * V; n++) {
      most = Math.max(most, Math.abs(got.finalState[n]! - truth.finalState[n]!) / error[n % V]!);
    }
  }
  return most;
}

const halves = (x: Float32Array): Float32Array => x.map((y) => fromHalfBits(toHalfBits(y)));

/** A kernel's work is small here, its compilation is not: every case is another kernel. */
const cases: readonly (readonly [AnyAffineModel, number, number, "f32" | "f16", DeltaOptions])[] = [
  [deltaNet, 64, 64, "f32", { block: 2 }],
  [gatedDeltaNet, 80, 48, "f32", { block: 2 }],
  [kda, 64, 64, "f16", { block: 2 }],
  [gatedDeltaNet, 6, 10, "f16", { block: 4, rows: 4, columns: 2 }],
  // Whole blocks are loaded in another way than what is left of one.
  [gatedDeltaNet, 16, 32, "f16", { block: 8, unroll: 4, unchecked: true }],
  [kda, 200, 2, "f32", { block: 1 }],
];

for (const [model, K, V, dtype, tile] of cases) {
  gpuTest(
    `${model.name} with ${K} × ${V} states in ${dtype} is within its bound, and a fault is not`,
    async (device) => {
      const dims: Dims = { B: 1, T: 21, H: 2, sizes: { K, V } };
      const sampled = sampleInputs(model, dims, "random", 6);
      const inputs = dtype === "f16"
        ? Object.fromEntries(Object.entries(sampled).map(([name, x]) => [name, halves(x)]))
        : sampled;
      // Halves of a unit vector may be a little longer than 1.
      if (dtype === "f16") inputs.k = halves(inputs.k!.map((x) => x * (1 - 2 ** -10)));
      const random = seeded("sizes", model.name);
      const initialState = Float32Array.from({ length: stateLength(model, dims) }, () => 2 * random() - 1);
      const truth = await scanned(sequential, double).run(model, dims, inputs, { initialState, states: true });
      const got = await runDelta(device, model, dims, inputs, { initialState, dtype, ...tile });
      const stored = dtype === "f16" ? 2 ** -11 : 0;
      const ratio = worst(model, dims, inputs, truth, got, initialState, stored);
      assert(ratio <= 1, `${ratio} of what is allowed`);
      const off = (x: Float32Array): Float32Array => x.map((y) => y * (1 + 2 ** -8));
      const planted = { outputs: off(got.outputs), finalState: off(got.finalState) };
      assertGreater(worst(model, dims, inputs, truth, planted, initialState, stored), 1);
    },
  );
}
