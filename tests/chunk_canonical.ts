/** The forward kernel of chunks on canonical tensors of random numbers, beside the recurrence in f64. */
import { type Decay, gateShape } from "../kernels/chunk/family.ts";
import { type ChunkForwardOptions, planChunkForward } from "../kernels/chunk/forward.ts";
import type { Gpu } from "../kernels/device.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { seeded } from "../models/random.ts";
import { POISON32 } from "../oracle/ulp.ts";

export const numbers = (n: number, seed: string): Float32Array => {
  const random = seeded(seed);
  return Float32Array.from({ length: n }, () => random() - 0.5);
};

/** Canonical tensors of random numbers, and their f64 truth by the recurrence. */
export async function canonical(
  device: Gpu,
  decay: Decay,
  { B, T, H, K, V }: { B: number; T: number; H: number; K: number; V: number },
  options: Omit<ChunkForwardOptions, "decay">,
  { halves = false, chunk }: { halves?: boolean; chunk?: number } = {},
): Promise<
  {
    o: Float32Array;
    chunkStates: Float32Array | undefined;
    states: Float64Array;
    magnitude: number;
    truth: Float64Array;
  }
> {
  const dtype = halves ? "f16" : "f32";
  const make = (shape: readonly number[], seed: string, f = (x: number): number => x): Tensor =>
    Tensor.from(device, numbers(shape.reduce((a, b) => a * b, 1), seed).map(f), shape, { dtype });
  const q = make([B, T, H, K], "q");
  const k = make([B, T, H, K], "k");
  const v = make([B, T, H, V], "v");
  const shape = gateShape(decay, { B, T, H, K });
  const g = shape && make(shape, "g", (x) => -0.2 * (x + 0.5));
  const o = Tensor.from(device, new Float32Array(B * T * H * V).fill(halves ? 6e4 : POISON32), [B, T, H, V], { dtype });
  const chunks = chunk === undefined
    ? undefined
    : Tensor.from(device, new Float32Array(B * Math.ceil(T / chunk) * H * K * V).fill(POISON32), [
      B,
      Math.ceil(T / chunk),
      H,
      K,
      V,
    ]);
  const plan = await planChunkForward(
    device,
    { q, k, v, o, ...(g === undefined ? {} : { g }), ...(chunks === undefined ? {} : { chunkStates: chunks }) },
    { ...options, decay, ...(chunk === undefined ? {} : { chunk }) },
  );
  await runPlans(device, plan.name, [plan]);
  plan.release();
  const [x, y, z, gates] = await Promise.all([q.read(), k.read(), v.read(), g?.read()]);
  const truth = new Float64Array(B * T * H * V);
  const states = new Float64Array(B * Math.ceil(T / (chunk ?? 16)) * H * K * V);
  let magnitude = 0;
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const S = new Float64Array(K * V);
      const most = new Float64Array(K * V);
      for (let t = 0; t < T; t++) {
        const row = (b * T + t) * H + h;
        if (chunk !== undefined && t % chunk === 0) {
          states.set(S, ((b * Math.ceil(T / chunk) + t / chunk) * H + h) * K * V);
        }
        for (let i = 0; i < K; i++) {
          const a = gates === undefined ? 1 : Math.exp(gates[decay.kind === "scalar" ? row : row * K + i]!);
          for (let j = 0; j < V; j++) {
            const added = y[row * K + i]! * z[row * V + j]!;
            S[i * V + j] = a * S[i * V + j]! + added;
            most[i * V + j] = a * most[i * V + j]! + Math.abs(added);
          }
        }
        for (let j = 0; j < V; j++) {
          let [sum, size] = [0, 0];
          for (let i = 0; i < K; i++) {
            sum += x[row * K + i]! * S[i * V + j]!;
            size += Math.abs(x[row * K + i]!) * most[i * V + j]!;
          }
          truth[row * V + j] = sum;
          magnitude = Math.max(magnitude, size);
        }
      }
    }
  }
  const result = { o: await o.read(), chunkStates: await chunks?.read(), states, magnitude, truth };
  for (const tensor of [q, k, v, g, o, chunks]) tensor?.destroy();
  return result;
}
