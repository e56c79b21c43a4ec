/**
 * All gradients of linear attention with a decay per key (gla), by walks: with Λ the cotangent of S,
 *
 *     S_t = diag(e^{g_t}) S_{t−1} + k_t v_tᵀ     o_t = (scale · q_t)ᵀ S_t     Λ_t = scale · q_t dO_tᵀ + diag(e^{g_{t+1}}) Λ_{t+1}
 *     dq_t = scale · S_t dO_t      dv_t = Λ_tᵀ k_t      dk_t = Λ_t v_t      dg_t = Σ_{s ≥ t} (q_s ∘ dq_s − k_s ∘ dk_s)
 *
 * Three walks with the state in registers, of which two hold it transposed, and a sum over later tokens. That sum is exact
 * where nothing is rounded: with G_t = Σ_v e^{g_t} S_{t−1} ∘ Λ_t, which dg_t is by definition, S_t ∘ Λ_t taken apart on
 * either side gives G_t + k_t ∘ dk_t = q_t ∘ dq_t + G_{t+1}.
 *
 * What it costs in accuracy. dg_t has an absolute error of what is summed after it, Σ |q ∘ dq| + |k ∘ dk| times a few
 * hundred u, also where the gate is shut and dg_t nearly 0; the kernel of chunk/backward.ts, which multiplies the two
 * states that a gate stands between, does not. So this is for who asks for it: training, where fla's gradients are such sums
 * too, not for the judge.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import { planScan } from "../elementwise/scan.ts";
import type { Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import { assertShape, Tensor } from "../tensor.ts";
import { assemble, compileShader, dispatchItems, entryPerItem } from "../wgsl.ts";
import { planWalk, type WalkOptions } from "./walk.ts";

/** f32. */
export interface WalkGradientTensors {
  /** `[B, T, H, K]`: what the forward run read, log gates g ≥ −104. */
  readonly q: Tensor;
  readonly k: Tensor;
  readonly g: Tensor;
  /** `[B, T, H, V]`, and the cotangent of the outputs. */
  readonly v: Tensor;
  readonly dO: Tensor;
  /** Written: `[B, T, H, K]`, and `[B, T, H, V]`. */
  readonly dq: Tensor;
  readonly dk: Tensor;
  readonly dg: Tensor;
  readonly dv: Tensor;
}

/** q ∘ dq − k ∘ dk, in fours. */
const differences = assemble("terms of the gates' gradients", {
  bindings: ["q", "dq", "k", "dk", "terms"].map((name) => ({
    name: `of_${name}`,
    access: name === "terms" ? "read_write" : "read",
    type: "array<vec4f>",
  })),
  source: entryPerItem("arrayLength(&of_terms)", "  of_terms[id] = of_q[id] * of_dq[id] - of_k[id] * of_dk[id];"),
});

/**
 * Plans the gradients, from a zero state and with none of the final one. `walk`: the tuning of the three walks. Rejects with an
 * {@link InputError} on shapes that do not fit.
 */
export async function planWalkGradients(
  gpu: Gpu,
  tensors: WalkGradientTensors,
  { scale = 1, walk = {} }: {
    readonly scale?: number;
    readonly walk?: Pick<WalkOptions, "rows" | "columns" | "threads" | "block" | "subgroups" | "segments">;
  } = {},
): Promise<Plan> {
  const { q, k, v, g, dO, dq, dk, dg, dv } = tensors;
  assertShape("q", q, [-1, -1, -1, -1]);
  const [B, T, H, K] = q.shape as [number, number, number, number];
  for (const [name, tensor] of Object.entries({ k, g, dq, dk, dg })) assertShape(name, tensor, [B, T, H, K]);
  assertShape("v", v, [B, T, H, -1]);
  const V = v.shape[3]!;
  for (const [name, tensor] of Object.entries({ dO, dv })) assertShape(name, tensor, [B, T, H, V]);
  const other = Object.entries(tensors).find(([, { dtype }]) => dtype !== "f32");
  if (other !== undefined) {
    throw new InputError(`Cannot plan gradients of walks: ${other[0]} must be f32, got ${other[1].dtype}`);
  }
  if (K % 4 !== 0) throw new InputError(`Cannot plan gradients of walks: K must be a multiple of 4, got ${K}`);
  const plans: Plan[] = [];
  const terms = Tensor.empty(gpu, [B, T, H * K], { label: "terms of dg" });
  const release = (): void => {
    plans.forEach((plan) => plan.release());
    terms.destroy();
  };
  try {
    const options = { ...walk, scale };
    plans.push(
      await planWalk(gpu, { x: v, y: k, z: dO, g, out: dq }, { ...options, decay: "columns" }),
      await planWalk(gpu, { x: q, y: dO, z: k, g, out: dv }, { ...options, decay: "rows", reverse: true }),
      await planWalk(gpu, { x: dO, y: q, z: v, g, out: dk }, { ...options, decay: "columns", reverse: true }),
    );
    const kernel = await compileShader(gpu, differences);
    const buffers = { of_q: q, of_dq: dq, of_k: k, of_dk: dk, of_terms: terms };
    const step = dispatchItems(
      kernel,
      Object.fromEntries(Object.entries(buffers).map(([name, { buffer }]) => [name, buffer])),
      terms.length / 4,
    );
    const sums = await planScan(gpu, { b: terms, h: new Tensor(gpu, dg.buffer, [B, T, H * K], "f32") }, {
      layout: "columns",
      reverse: true,
    });
    const walks = plans.flatMap(({ dispatches }) => dispatches);
    plans.push(sums);
    const whole = planOf({
      name: "gradients of a walk",
      variant: `${plans[0]!.variant}; dg: ${sums.variant}`,
      dispatches: [...walks, step, ...sums.dispatches],
      bytes: Object.values(tensors).reduce((sum, { bytes }) => sum + bytes, 0),
      operations: plans.reduce((sum, { operations }) => sum + operations, 0),
    });
    const scratchBytes = plans.reduce((sum, plan) => sum + plan.scratchBytes, terms.bytes);
    return { ...whole, scratchBytes, release };
  } catch (error) {
    release();
    throw error;
  }
}
