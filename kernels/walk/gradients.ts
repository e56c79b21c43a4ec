/**
 * All gradients of linear attention by walks: with Λ the cotangent of S, a the decay (1, a number a token or head, or one a key),
 *
 *     S_t = a_t ⊙ S_{t−1} + k_t v_tᵀ     o_t = (scale · q_t)ᵀ S_t     Λ_t = scale · q_t dO_tᵀ + a_{t+1} ⊙ Λ_{t+1}
 *     dq_t = scale · S_t dO_t      dv_t = Λ_tᵀ k_t      dk_t = Λ_t v_t      dg_t = Σ_{s ≥ t} (q_s ∘ dq_s − k_s ∘ dk_s)
 *
 * Three walks with the state in registers, of which two hold it transposed, and a sum over later tokens (of a scalar decay, and
 * over keys). That sum is exact where nothing is rounded: with G_t = Σ_v a_t S_{t−1} ∘ Λ_t, which dg_t is by definition,
 * S_t ∘ Λ_t taken apart on either side gives G_t + k_t ∘ dk_t = q_t ∘ dq_t + G_{t+1}.
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
import type { Dispatch, Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import { assertShape, Tensor } from "../tensor.ts";
import { assemble, compileShader, dispatch, dispatchItems, entryPerItem, type Shader } from "../wgsl.ts";
import { planWalk, type WalkDecay, type WalkOptions } from "./walk.ts";

/** f32. */
export interface WalkGradientTensors {
  /** `[B, T, H, K]`: what the forward run read. */
  readonly q: Tensor;
  readonly k: Tensor;
  /** Gates as {@linkcode WalkTensors.g} has them: absent, `[B, T, H]`, `[H]` or `[B, T, H, K]`. */
  readonly g?: Tensor | undefined;
  /** `[B, T, H, V]`, and the cotangent of the outputs. */
  readonly v: Tensor;
  readonly dO: Tensor;
  /** Written: `[B, T, H, K]`, and `[B, T, H, V]`. */
  readonly dq: Tensor;
  readonly dk: Tensor;
  readonly dv: Tensor;
  /** Written where it is given: of logarithms, in their shape; not of a head's decay. */
  readonly dg?: Tensor | undefined;
}

export interface WalkGradientOptions {
  /** Default: a number a key. */
  readonly decay?: Exclude<WalkDecay, "columns">;
  /** Default: logarithms, ≥ −104. */
  readonly form?: WalkOptions["form"];
  readonly scale?: number;
  /** The tuning of the three walks. */
  readonly walk?: Pick<WalkOptions, "rows" | "columns" | "threads" | "block" | "subgroups" | "segments" | "unchecked">;
}

const inputs = ["q", "dq", "k", "dk"].map((name) => ({
  name: `of_${name}`,
  access: "read",
  type: "array<vec4f>",
} as const));

/** q ∘ dq − k ∘ dk, in fours. */
const differences = assemble("terms of the gates' gradients", {
  bindings: [...inputs, { name: "of_terms", access: "read_write", type: "array<vec4f>" }],
  source: entryPerItem("arrayLength(&of_terms)", "  of_terms[id] = of_q[id] * of_dq[id] - of_k[id] * of_dk[id];"),
});

/** Invocations that a token's keys are shared by, and tokens of a workgroup. */
const [SHARE, TOKENS] = [4, 16];

/** The same summed over the K keys: a number a token. */
const summed = (K: number): Shader =>
  assemble("terms of the gates' gradients, over keys", {
    bindings: [...inputs, { name: "of_terms", access: "read_write", type: "array<f32>" }],
    source: /* wgsl */ `
var<workgroup> parts: array<f32, ${SHARE * TOKENS}>;
@compute @workgroup_size(${SHARE * TOKENS})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let row = flat_workgroup(workgroup, grid) * ${TOKENS}u + lid / ${SHARE}u;
  var part = 0.0;
  if (row < arrayLength(&of_terms)) {
    for (var i = lid % ${SHARE}u; i < ${K / 4}u; i += ${SHARE}u) {
      let at = row * ${K / 4}u + i;
      part += dot(of_q[at], of_dq[at]) - dot(of_k[at], of_dk[at]);
    }
  }
  parts[lid] = part;
  workgroupBarrier();
  if (lid % ${SHARE}u == 0u && row < arrayLength(&of_terms)) {
    of_terms[row] = (parts[lid] + parts[lid + 1u]) + (parts[lid + 2u] + parts[lid + 3u]);
  }
}`,
  });

/**
 * Plans the gradients, from a zero state and with none of the final one. Rejects with an {@link InputError} on shapes that do not
 * fit.
 */
export async function planWalkGradients(
  gpu: Gpu,
  tensors: WalkGradientTensors,
  { decay = "rows", form = "log", scale = 1, walk = {} }: WalkGradientOptions = {},
): Promise<Plan> {
  const { q, k, v, g, dO, dq, dk, dg, dv } = tensors;
  const refuse = (what: string): never => {
    throw new InputError(`Cannot plan gradients of walks: ${what}`);
  };
  assertShape("q", q, [-1, -1, -1, -1]);
  const [B, T, H, K] = q.shape as [number, number, number, number];
  for (const [name, tensor] of Object.entries({ k, dq, dk })) assertShape(name, tensor, [B, T, H, K]);
  assertShape("v", v, [B, T, H, -1]);
  const V = v.shape[3]!;
  for (const [name, tensor] of Object.entries({ dO, dv })) assertShape(name, tensor, [B, T, H, V]);
  if ((g === undefined) !== (decay === "none")) {
    refuse(`g must be ${decay === "none" ? "absent without decay" : `given for the decay "${decay}"`}`);
  }
  const gates = { none: [], scalar: [B, T, H], head: [H], rows: [B, T, H, K] }[decay];
  if (g !== undefined) assertShape("g", g, gates);
  if (dg !== undefined) {
    if (decay === "none" || decay === "head" || form !== "log") refuse("dg is for logarithms, a number a token or key");
    assertShape("dg", dg, gates);
  }
  const other = Object.entries(tensors).find(([, tensor]) => tensor !== undefined && tensor.dtype !== "f32");
  if (other !== undefined) refuse(`${other[0]} must be f32, got ${other[1].dtype}`);
  if (K % 4 !== 0) refuse(`K must be a multiple of 4, got ${K}`);
  const plans: Plan[] = [];
  const scratch: Tensor[] = [];
  const release = (): void => {
    plans.forEach((plan) => plan.release());
    scratch.forEach((tensor) => tensor.destroy());
  };
  try {
    const common = { ...walk, scale, form };
    const gate = g === undefined ? {} : { g };
    // Transposed, a number a key is one a column.
    const turned = decay === "rows" ? "columns" : decay;
    plans.push(
      await planWalk(gpu, { x: v, y: k, z: dO, ...gate, out: dq }, { ...common, decay: turned }),
      await planWalk(gpu, { x: q, y: dO, z: k, ...gate, out: dv }, { ...common, decay, reverse: true }),
      await planWalk(gpu, { x: dO, y: q, z: v, ...gate, out: dk }, { ...common, decay: turned, reverse: true }),
    );
    const dispatches: Dispatch[] = plans.flatMap((plan) => plan.dispatches);
    let variant = plans[0]!.variant;
    if (dg !== undefined) {
      const columns = decay === "rows" ? H * K : H;
      const terms = Tensor.empty(gpu, [B, T, columns], { label: "terms of dg" });
      scratch.push(terms);
      const buffers = Object.fromEntries(
        Object.entries({ q, dq, k, dk, terms }).map(([name, { buffer }]) => [`of_${name}`, buffer]),
      );
      dispatches.push(
        decay === "rows"
          ? dispatchItems(await compileShader(gpu, differences), buffers, terms.length / 4)
          : dispatch(await compileShader(gpu, summed(K)), buffers, Math.ceil(terms.length / TOKENS)),
      );
      const sums = await planScan(gpu, { b: terms, h: new Tensor(gpu, dg.buffer, [B, T, columns], "f32") }, {
        layout: "columns",
        reverse: true,
      });
      plans.push(sums);
      dispatches.push(...sums.dispatches);
      variant += `; dg: ${sums.variant}`;
    }
    const whole = planOf({
      name: "gradients of a walk",
      variant,
      dispatches,
      bytes: Object.values(tensors).reduce((sum, tensor) => sum + (tensor?.bytes ?? 0), 0),
      operations: plans.reduce((sum, { operations }) => sum + operations, 0),
    });
    const scratchBytes = [...plans.map((plan) => plan.scratchBytes), ...scratch.map(({ bytes }) => bytes)]
      .reduce((sum, bytes) => sum + bytes, 0);
    return { ...whole, scratchBytes, release };
  } catch (error) {
    release();
    throw error;
  }
}
