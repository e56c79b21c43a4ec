/**
 * The canonical inputs of a model (family.ts), by element-wise kernels where they are not its own.
 *
 * @module
 */
import type { Named, Work } from "../_work.ts";
import { type Canonical, complement, type ModelExtent } from "./_backward_chain.ts";
import type { ChunkModel } from "./family.ts";
import type { ChunkTensors } from "./forward.ts";

/** Extents of a model's tensors. */
export function modelExtent({ q, v }: ChunkModel, inputs: Named): ModelExtent {
  const [B, T, H, K] = inputs[q]!.shape as [number, number, number, number];
  return { B, T, H, K, V: inputs[v]!.shape[3]! };
}

/** Those that may have to be made. */
export async function canonicalOf(
  work: Work,
  { k, v, g, normaliser, decay }: ChunkModel,
  given: Named,
  { B, T, H, K, V }: ModelExtent,
): Promise<Canonical> {
  const factor = k.factor && given[k.factor.input]!;
  const raw = factor?.shape.length === 4 ? "factor_of[id]" : `factor_of[id / ${K}u]`;
  const times = k.factor?.form === "complement" ? complement(raw) : raw;
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
    k: factor === undefined
      ? given[k.input!]!
      : k.input === undefined
      ? await work.map("canonical k", [B, T, H, K], { factor_of: factor }, times)
      : await work.map(
        "canonical k",
        [B, T, H, K],
        { factor_of: factor, key_of: given[k.input]! },
        `${times} * key_of[id]`,
      ),
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
