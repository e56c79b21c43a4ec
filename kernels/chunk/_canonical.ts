/**
 * The canonical inputs of a model (family.ts), by element-wise kernels where they are not its own.
 *
 * @module
 */
import type { Named, Work } from "../_work.ts";
import type { Tensor } from "../tensor.ts";
import { type Canonical, complement, type ModelExtent } from "./_backward_chain.ts";
import type { ChunkModel } from "./family.ts";
import type { ChunkTensors } from "./forward.ts";

/** Extents of a model's tensors. */
export function modelExtent({ q, v }: ChunkModel, inputs: Named): ModelExtent {
  const [B, T, H, K] = inputs[q]!.shape as [number, number, number, number];
  return { B, T, H, K, V: inputs[v]!.shape[3]! };
}

/** The canonical k. */
export async function canonicalKey(
  work: Work,
  { k }: ChunkModel,
  given: Named,
  { B, T, H, K }: ModelExtent,
): Promise<Tensor> {
  if (k.factor === undefined) return given[k.input!]!;
  const factor = given[k.factor.input]!;
  const raw = factor.shape.length === 4 ? "factor_of[id]" : `factor_of[id / ${K}u]`;
  const times = k.factor.form === "complement" ? complement(raw) : raw;
  if (k.input === undefined) return await work.map("canonical k", [B, T, H, K], { factor_of: factor }, times);
  const sources = { factor_of: factor, key_of: given[k.input]! };
  return await work.map("canonical k", [B, T, H, K], sources, `${times} * key_of[id]`);
}

/** Those that may have to be made. */
export async function canonicalOf(
  work: Work,
  entry: ChunkModel,
  given: Named,
  extent: ModelExtent,
): Promise<Canonical> {
  const { v, g, normaliser, decay } = entry;
  const { B, T, H, V } = extent;
  const made = normaliser === undefined ? given[v]! : await work.map(
    "canonical v",
    [B, T, H, V + 1],
    { value_of: given[v]! },
    "value",
    {
      before: `var value = 1.0; if (id % ${V + 1}u < ${V}u) { value = value_of[id / ${V + 1}u * ${V}u + id % ${
        V + 1
      }u]; }`,
    },
  );
  return {
    k: await canonicalKey(work, entry, given, extent),
    v: made,
    g: decay.kind === "none" ? undefined : g!.times === undefined ? given[g!.input]! : await work.map(
      "canonical g",
      [B, T, H],
      { step_of: given[g!.input]!, head_of: given[g!.times]! },
      `max(step_of[id] * head_of[id % ${H}u], -104.0)`,
    ),
  };
}

/** All of them under the kernels' names. */
export function canonicalTensors(
  { q, bonus }: ChunkModel,
  given: Named,
  { k, v, g }: Canonical,
): Pick<ChunkTensors, "q" | "k" | "v" | "g" | "u"> {
  return {
    q: given[q]!,
    k,
    v,
    ...(g === undefined ? {} : { g }),
    ...(bonus === undefined ? {} : { u: given[bonus]! }),
  };
}
