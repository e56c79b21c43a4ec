/**
 * Gradients of softmax attention (attention.ts) in its queries, keys and values, from that of its output.
 *
 * With shares `p_ij = e^(s_ij − stats_i)` and slopes `g_ij = d_o_i · v_j`: `dv_j = Σ_i p_ij d_o_i`,
 * `ds_ij = p_ij (g_ij − Σ_l p_il g_il)`, where the last sum is `o_i · d_o_i`; `dq_i = Σ_j ds_ij k_j / √width`,
 * `dk_j = Σ_i ds_ij q_i / √width`. Sums are in a fixed order; everything is f32.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { AttentionOptions } from "../../models/networks/ops.ts";
import type { Dispatch, Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import { assertShape, type Tensor } from "../tensor.ts";
import { compileShader, dispatch } from "../wgsl.ts";
import { FLAT_SCORES } from "./_attention_flat.ts";
import { flatGradientShader } from "./_attention_gradient_flat.ts";
import { GRADIENT_ROWS, keyGradientShader, queryGradientShader } from "./_attention_gradient_tile.ts";
import {
  assertF32,
  type AttentionInputs,
  attentionSizes,
  extentBuffer,
  isShort,
  pairsEach,
  scoresOf,
} from "./_attention_problem.ts";
import { KEYS } from "./_attention_text.ts";

export interface AttentionGradients extends AttentionInputs {
  /** `[N, n, heads]`, of the forward pass, like o. */
  readonly stats: Tensor;
  /** `[N, n, d]`: the gradient of o. */
  readonly dO: Tensor;
  /** `[N, n, d]`. */
  readonly dq: Tensor;
  /** `[N, m, d]`. */
  readonly dk: Tensor;
  /** `[N, m, d]`. */
  readonly dv: Tensor;
}

export interface PlanAttentionBackwardOptions extends AttentionOptions {
  /** Add to the gradients rather than replace them; default false. */
  readonly accumulate?: boolean;
  /** Default: by the sizes. `flat` takes at most 32 keys and 1024 scores a head. */
  readonly kernel?: "tile" | "flat";
}

/** Makes an attention's gradients ready. Throws an {@link InputError} on tensors or options that do not fit. */
export async function planAttentionBackward(
  gpu: Gpu,
  tensors: AttentionGradients,
  options: PlanAttentionBackwardOptions,
): Promise<Plan> {
  const sizes = attentionSizes(tensors, options);
  const { sequences, queries, keys, heads, width } = sizes;
  const { q, k, v, o, stats, dO, dq, dk, dv } = tensors;
  assertShape("stats", stats, [sequences, queries, heads]);
  assertShape("dO", dO, q.shape);
  assertShape("dq", dq, q.shape);
  assertShape("dk", dk, k.shape);
  assertShape("dv", dv, k.shape);
  for (const [name, tensor] of Object.entries({ stats, dO, dq, dk, dv })) assertF32(name, tensor);
  const kernel = options.kernel ?? (isShort(sizes) ? "flat" : "tile");
  if (kernel === "flat" && (keys > KEYS || queries * keys > FLAT_SCORES)) {
    throw new InputError(`Cannot attend flat: keys must be ≤ ${KEYS}, got ${keys}`);
  }
  const { accumulate = false } = options;
  const pairs = sequences * heads;
  const scratch: GPUBuffer[] = [];
  const keep = (buffer: GPUBuffer): GPUBuffer => {
    scratch.push(buffer);
    return buffer;
  };
  const shared = {
    name: "attention backward",
    bytes: q.bytes + k.bytes + v.bytes + o.bytes + stats.bytes + dO.bytes +
      (accumulate ? 2 : 1) * (dq.bytes + dk.bytes + dv.bytes),
    operations: 10 * width * scoresOf(sizes, options.mask),
  };
  if (k.length === 0) return planOf({ ...shared, variant: "nothing", dispatches: [] });
  try {
    const each = pairsEach(sizes);
    const buffers = {
      ...{ q: q.buffer, k: k.buffer, v: v.buffer, o: o.buffer, stats: stats.buffer, d_o: dO.buffer },
      ...{ dq: dq.buffer, dk: dk.buffer, dv: dv.buffer },
      extent: keep(extentBuffer(gpu, sizes, options.mask, each, accumulate)),
    };
    if (kernel === "flat") {
      const flat = await compileShader(gpu, flatGradientShader(width));
      const dispatches = [dispatch(flat, buffers, Math.ceil(pairs / each))];
      return planOf({ ...shared, variant: `flat, ${each} heads a workgroup`, dispatches, scratch });
    }
    const means = keep(gpu.createBuffer({ bytes: stats.bytes || 4, label: "attention means" }));
    const text = { width, unrolled: !gpu.adapter.software };
    const [ofQueries, ofKeys] = await Promise.all([
      compileShader(gpu, queryGradientShader(text)),
      compileShader(gpu, keyGradientShader(text)),
    ]);
    const tiled = (count: number): number => pairs * Math.ceil(count / GRADIENT_ROWS);
    const dispatches: Dispatch[] = [
      dispatch(ofQueries, { ...buffers, means }, tiled(queries)),
      dispatch(ofKeys, { ...buffers, means }, tiled(keys)),
    ];
    return planOf({ ...shared, variant: `tiles of ${GRADIENT_ROWS} x ${KEYS}`, dispatches, scratch });
  } catch (error) {
    scratch.forEach((buffer) => buffer.destroy());
    throw error;
  }
}
