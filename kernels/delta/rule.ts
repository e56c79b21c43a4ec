/**
 * What the delta-rule kernels have to know of a model.
 *
 * All five are one recurrence on a state S of K × V numbers, whose token first *solves* for a vector u of the values'
 * side and then adds outer products:
 *
 *     M = diag(d_t) S_{t−1}
 *     delta      e_t = v_t − Mᵀ k_t,   u_t = β_t e_t,   S_t = M + k_t u_tᵀ          (n_h times a token, decay at the first)
 *     additive   u_t = −S_{t−1}ᵀ κ_t,                   S_t = M + (κ_t ∘ η_t) u_tᵀ + k_t v_tᵀ
 *     o_t = S_tᵀ (scale · q_t)
 *
 * @module
 */
import { type AnyAffineModel, queryScale } from "../../models/affine.ts";
import { deltaNet } from "../../models/delta_net.ts";
import { deltaProduct } from "../../models/delta_product.ts";
import { gatedDeltaNet } from "../../models/gated_delta_net.ts";
import { kda } from "../../models/kda.ts";
import { rwkv7 } from "../../models/rwkv7.ts";
import { InputError } from "../../models/error.ts";

export interface DeltaRule {
  /** `additive`: RWKV-7, where the decay and the removal both see S_{t−1}, and k vᵀ is added besides. */
  readonly form: "delta" | "additive";
  readonly decay: "none" | "scalar" | "channel";
  /** The input that holds the decay's logarithm. */
  readonly gate: "g" | "w" | undefined;
  /** Delta steps a token. */
  readonly microSteps: number;
  /** What q is multiplied by. */
  queryScale(K: number): number;
}

const delta = (decay: DeltaRule["decay"], microSteps: number = 1): DeltaRule => ({
  form: "delta",
  decay,
  gate: decay === "none" ? undefined : "g",
  microSteps,
  queryScale,
});

/** The rule of a model, or undefined where it is none of this family. */
export function deltaRuleOf(model: AnyAffineModel): DeltaRule | undefined {
  if (model === deltaNet) return delta("none");
  if (model === gatedDeltaNet) return delta("scalar");
  if (model === kda) return delta("channel");
  if (model === rwkv7) {
    return { form: "additive", decay: "channel", gate: "w", microSteps: 1, queryScale: () => 1 };
  }
  // `deltaProductOf` makes a new model at every call; all of them share the stages' source.
  if (model.paper.arxiv === deltaProduct.paper.arxiv && /^delta-product(-\d+)?$/.test(model.name)) {
    return delta("scalar", model.microSteps ?? 1);
  }
  return undefined;
}

/** The rule of a model. Throws an {@link InputError} for a model of another family. */
export function deltaRule(model: AnyAffineModel): DeltaRule {
  const rule = deltaRuleOf(model);
  if (rule !== undefined) return rule;
  throw new InputError(
    "Cannot plan a delta rule: the model must be delta-net, gated-delta-net, kda, delta-product or rwkv7, got " +
      model.name,
  );
}

/** How an input lies in memory: along the keys, the values, or one number; at every micro-step or once a token. */
export interface InputLayout {
  readonly axis: "K" | "V" | "none";
  readonly micro: boolean;
}

/** The inputs of a rule by the model's names. */
export function inputLayouts({ form, decay, gate }: DeltaRule): Readonly<Record<string, InputLayout>> {
  const once = (axis: InputLayout["axis"]): InputLayout => ({ axis, micro: false });
  const every = (axis: InputLayout["axis"]): InputLayout => ({ axis, micro: true });
  return {
    q: once("K"),
    k: every("K"),
    v: every("V"),
    ...(form === "delta" ? { beta: every("none") } : { kappa: once("K"), eta: once("K") }),
    ...(gate === undefined ? {} : { [gate]: once(decay === "scalar" ? "none" : "K") }),
  };
}
