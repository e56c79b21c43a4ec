/**
 * Softmax attention: `o_i = Σ_j e^(s_ij − log Σ_j e^s_ij) v_j`, `s_ij = q_i · k_j / √width` over the keys that query i sees, head by
 * head, without an array of scores.
 *
 * ```ts
 * const plan = await planAttention(gpu, { q, k, v, o }, { heads: 12, mask: "causal" });
 * await runPlans(gpu, "attend", [plan]);
 * ```
 *
 * A query's output has the same bits whatever else is computed with it: they depend on the query and on the keys it sees, not on
 * how many queries, sequences or unseen keys there are. So tokens attended to one by one, against a growing cache, give
 * what all of them give at once. Everything is f32.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { AttentionOptions } from "../../models/networks/ops.ts";
import type { Dispatch, Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import { assertShape, type Tensor } from "../tensor.ts";
import { compileShader, dispatch } from "../wgsl.ts";
import { FLAT_SCORES, flatShader } from "./_attention_flat.ts";
import {
  type AttentionInputs,
  type AttentionSizes,
  attentionSizes,
  extentBuffer,
  isShort,
  pairsEach,
  scoresOf,
} from "./_attention_problem.ts";
import { mergeShader, stepShader } from "./_attention_step.ts";
import { KEYS, SPAN } from "./_attention_text.ts";
import { tileBytes, tileShader } from "./_attention_tile.ts";

export interface AttentionTensors extends AttentionInputs {
  /** `[N, n, heads]`: the logarithms of the softmax's sums, which the backward pass needs. */
  readonly stats?: Tensor;
}

export interface PlanAttentionOptions extends AttentionOptions {
  /**
   * How many keys there are, in the first word of a storage buffer, read when the plan runs: k and v are then a cache with
   * room for m, and the queries the last n of those keys. From n to m; default: all. With the kernel `step` there may be more
   * where a window of at most m − n + 1 keeps the first out of sight: key j lies in row j % m.
   */
  readonly live?: GPUBuffer;
  /** Default: by the sizes. `flat` takes at most 32 keys and 1024 scores a head. */
  readonly kernel?: AttentionKernel;
}

/** For many queries; for a few over many keys; for short sequences. */
export type AttentionKernel = "tile" | "step" | "flat";

/** Makes an attention ready. Throws an {@link InputError} on tensors or options that do not fit. */
export async function planAttention(
  gpu: Gpu,
  tensors: AttentionTensors,
  options: PlanAttentionOptions,
): Promise<Plan> {
  const sizes = attentionSizes(tensors, options);
  const { sequences, queries, keys, heads, width } = sizes;
  const { q, k, v, o, stats } = tensors;
  if (stats !== undefined) assertShape("stats", stats, [sequences, queries, heads]);
  const kernel = options.kernel ?? kernelFor(sizes);
  if (kernel === "flat" && (keys > KEYS || queries * keys > FLAT_SCORES)) {
    throw new InputError(`Cannot attend flat: keys must be ≤ ${KEYS}, got ${keys}`);
  }
  const pairs = sequences * heads;
  const spans = spansOf(sizes, options);
  const scratch: GPUBuffer[] = [];
  const keep = (buffer: GPUBuffer): GPUBuffer => {
    scratch.push(buffer);
    return buffer;
  };
  const shared = {
    name: "attention",
    bytes: q.bytes + k.bytes + v.bytes + o.bytes + (stats?.bytes ?? 0),
    operations: 4 * width * scoresOf(sizes, options.mask),
  };
  if (o.length === 0) return planOf({ ...shared, variant: "nothing", dispatches: [] });
  try {
    const each = pairsEach(sizes);
    const buffers = {
      ...{ q: q.buffer, k: k.buffer, v: v.buffer, o: o.buffer },
      ...(stats === undefined ? {} : { stats: stats.buffer }),
      extent: keep(extentBuffer(gpu, sizes, options.mask, kernel === "flat" ? each : spans)),
      live: options.live ?? keep(gpu.upload(Uint32Array.of(keys), { label: "attention keys" })),
    };
    const withStats = stats !== undefined;
    if (kernel === "flat") {
      const flat = await compileShader(gpu, flatShader(width, withStats));
      const dispatches = [dispatch(flat, buffers, Math.ceil(pairs / each))];
      return planOf({ ...shared, variant: `flat, ${each} heads a workgroup`, dispatches, scratch });
    }
    if (kernel === "tile") {
      const rows = tileRows(gpu, sizes);
      const tile = await compileShader(
        gpu,
        tileShader({ width, rows, stats: withStats, unrolled: !gpu.adapter.software }),
      );
      const dispatches = [dispatch(tile, buffers, pairs * Math.ceil(queries / rows))];
      return planOf({ ...shared, variant: `tiles of ${rows} x ${KEYS}`, dispatches, scratch });
    }
    const rows = pairs * queries;
    const parted = {
      ...buffers,
      parts: keep(gpu.createBuffer({ bytes: 4 * rows * spans * width, label: "attention parts" })),
      sums: keep(gpu.createBuffer({ bytes: 8 * rows * spans, label: "attention sums" })),
    };
    const [step, merge] = await Promise.all([
      compileShader(gpu, stepShader(width)),
      compileShader(gpu, mergeShader(width, withStats)),
    ]);
    const dispatches: Dispatch[] = [dispatch(step, parted, rows * spans), dispatch(merge, parted, rows)];
    return planOf({ ...shared, variant: `spans of ${SPAN} keys`, dispatches, scratch });
  } catch (error) {
    scratch.forEach((buffer) => buffer.destroy());
    throw error;
  }
}

/** The most spans that a query sees some of. A cache that is a ring has no first span to begin at. */
function spansOf({ queries, keys }: AttentionSizes, { mask, live }: PlanAttentionOptions): number {
  const whole = Math.ceil(keys / SPAN);
  if (typeof mask !== "object") return whole;
  const seen = Math.ceil((mask.window - 1) / SPAN) + 1;
  return live !== undefined && mask.window + queries - 1 <= keys ? seen : Math.min(whole, seen);
}

function kernelFor(sizes: AttentionSizes): AttentionKernel {
  if (isShort(sizes)) return "flat";
  return sizes.queries <= 8 ? "step" : "tile";
}

/** Rows of a tile: 64 where there are as many and the device has the memory. */
function tileRows({ adapter, limits }: Gpu, { queries }: AttentionSizes): number {
  const fits = tileBytes(64) <= limits.maxComputeWorkgroupStorageSize &&
    limits.maxComputeInvocationsPerWorkgroup >= 128;
  return queries > 32 && fits && !adapter.software ? 64 : 32;
}
