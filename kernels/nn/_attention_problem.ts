/** What an attention is on given tensors, once its shapes are checked, and the numbers its kernels read at run time. */

import { InputError } from "../../models/error.ts";
import type { AttentionMask, AttentionOptions } from "../../models/networks/ops.ts";
import { BufferUsage, type Gpu } from "../gpu.ts";
import { assertShape, type Tensor } from "../tensor.ts";
import { KEYS } from "./_attention_text.ts";

/** Sizes: sequences, queries, keys (or the room for them), heads and their width. */
export interface AttentionSizes {
  readonly sequences: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly width: number;
}

/** What both directions take. */
export interface AttentionInputs {
  /** `[N, n, d]`. */
  readonly q: Tensor;
  /** `[N, m, d]`, m ≥ n: the queries are at the last n of the keys' positions. */
  readonly k: Tensor;
  /** `[N, m, d]`. */
  readonly v: Tensor;
  /** `[N, n, d]`. */
  readonly o: Tensor;
}

/** Throws an {@link InputError} if the tensors do not fit each other or the options. */
export function attentionSizes({ q, k, v, o }: AttentionInputs, { heads, mask }: AttentionOptions): AttentionSizes {
  if (q.shape.length !== 3) {
    throw new InputError(`Cannot attend: q must be [sequences, queries, d], got [${q.shape.join(", ")}]`);
  }
  const [sequences, queries, d] = q.shape as readonly [number, number, number];
  assertShape("k", k, [sequences, -1, d]);
  const keys = k.shape[1]!;
  assertShape("v", v, [sequences, keys, d]);
  assertShape("o", o, q.shape);
  for (const [name, tensor] of Object.entries({ q, k, v, o })) assertF32(name, tensor);
  if (queries < 1) throw new InputError(`Cannot attend: there must be a query, got ${queries}`);
  if (keys < queries) throw new InputError(`Cannot attend: keys must be ≥ queries (${queries}), got ${keys}`);
  if (!(Number.isInteger(heads) && heads >= 1 && d % heads === 0 && d >= heads && d / heads <= 256)) {
    throw new InputError(`Cannot attend: heads must divide d = ${d} into widths of 1 … 256, got ${heads}`);
  }
  if (typeof mask === "object" && !(Number.isInteger(mask.window) && mask.window >= 1)) {
    throw new InputError(`Cannot attend: window must be an integer ≥ 1, got ${mask.window}`);
  }
  return { sequences, queries, keys, heads, width: d / heads };
}

export function assertF32(name: string, { dtype }: Tensor): void {
  if (dtype !== "f32") throw new InputError(`Cannot attend: ${name} must be f32, got ${dtype}`);
}

/**
 * A uniform buffer of three `vec4u`: sequences, queries, room for keys, heads; window, whether all is seen, `more`, 1;
 * whether gradients are added.
 */
export function extentBuffer(
  gpu: Gpu,
  { sequences, queries, keys, heads }: AttentionSizes,
  mask: AttentionMask,
  more: number,
  accumulate = false,
): GPUBuffer {
  const window = typeof mask === "object" ? mask.window : 0xffffffff;
  const all = mask === "bidirectional" ? 1 : 0;
  return gpu.upload(
    Uint32Array.of(sequences, queries, keys, heads, window, all, more, 1, Number(accumulate), 0, 0, 0),
    {
      label: "attention extent",
      usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
    },
  );
}

/** Whether several heads should share a workgroup: their keys fit one block, their scores a few rounds of invocations. */
export function isShort({ queries, keys }: AttentionSizes): boolean {
  return keys <= KEYS && queries * keys <= 256;
}

/** Pairs of sequence and head of a workgroup: enough to have work, few enough that all of the device has some. */
export function pairsEach({ sequences, queries, keys, heads }: AttentionSizes): number {
  const most = Math.max(1, Math.floor(256 / (queries * keys)));
  return Math.min(most, Math.max(1, Math.floor(sequences * heads / 1024)));
}

/** Scores that are seen. */
export function scoresOf({ sequences, queries, keys, heads }: AttentionSizes, mask: AttentionMask): number {
  if (mask === "bidirectional") return sequences * heads * queries * keys;
  const window = typeof mask === "object" ? mask.window : keys;
  let seen = 0;
  for (let i = keys - queries + 1; i <= keys; i++) seen += Math.min(i, window);
  return sequences * heads * seen;
}
