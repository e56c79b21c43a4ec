/**
 * A model of the family from its own inputs, all in one submit: one walk that divides, where it has a normaliser and can be
 * (_divided.ts); or element-wise kernels that make canonical inputs of them where they are not already, the kernel of the
 * family, and one more for what is done to its outputs.
 *
 * @module
 */
import { queryScale } from "../../models/affine.ts";
import type { Gpu } from "../gpu.ts";
import type { Plan } from "../plan.ts";
import { assertShape, type Tensor } from "../tensor.ts";
import { type Named, Work } from "../_work.ts";
import type { ModelExtent } from "./_backward_chain.ts";
import { canonicalOf, canonicalTensors, modelExtent } from "./_canonical.ts";
import { canonicalColumns, type ChunkModel } from "./family.ts";
import { type ChunkForwardOptions, planChunkForward } from "./forward.ts";
import { divides, planDivided } from "./_divided.ts";
import { type Mantissas, mantissasOf, roomOf, writeFinal } from "./_mantissas.ts";
import { divisor } from "./_shared_exponent.ts";

/** The tensors of a model. */
export interface ChunkModelTensors {
  /** The model's own inputs, by name: `[B, T, H, …]` and `[H, …]`, f32. */
  readonly inputs: Named;
  /** `[B, T, H, V]`. */
  readonly outputs: Tensor;
  /** `[B, H, K, V′]`, and 2 (pairs) where the model has a shared exponent; zero where not given. */
  readonly initial?: Tensor | undefined;
  readonly final?: Tensor | undefined;
}

/** The kernel of the family on canonical inputs, and the division behind it. */
async function planCanonical(
  work: Work,
  entry: ChunkModel,
  mantissas: Mantissas,
  extent: ModelExtent,
  { outputs, final }: { readonly outputs: Tensor; readonly final: Tensor | undefined },
  options: Omit<ChunkForwardOptions, "decay" | "scale">,
): Promise<Plan> {
  const { normaliser, scaled, decay } = entry;
  const { B, T, H, K, V } = extent;
  const canonical = canonicalTensors(entry, mantissas.inputs, await canonicalOf(work, entry, mantissas.inputs, extent));
  const o = normaliser === undefined ? outputs : work.room("canonical o", [B, T, H, canonicalColumns(entry, V)]);
  const states = {
    ...(mantissas.initial === undefined ? {} : { initial: mantissas.initial }),
    ...(final === undefined ? {} : { final }),
  };
  const plan = await planChunkForward(work.gpu, { ...canonical, o, ...states }, {
    ...options,
    decay,
    scale: scaled ? queryScale(K) : 1,
  });
  work.plan(plan);
  if (normaliser === undefined) return plan;
  const sources = {
    raw_of: o,
    ...(mantissas.shared === undefined ? {} : { exponent_of: mantissas.shared.exponents }),
  };
  const row = `id / ${V}u`;
  const at = `${row} * ${V + 1}u`;
  const value = `raw_of[${at} + id % ${V}u] / ${divisor(normaliser, `raw_of[${at} + ${V}u]`, row)}`;
  await work.map("normalise", outputs.shape, sources, value, { into: outputs });
  return plan;
}

/**
 * Makes a model of the family ready on tensors of its own inputs, which must be inside its contract (log gates ≥ −104).
 * Rejects with an `InputError` on shapes that do not fit.
 */
export async function planChunkModel(
  gpu: Gpu,
  entry: ChunkModel,
  { inputs, outputs, initial, final }: ChunkModelTensors,
  options: Omit<ChunkForwardOptions, "decay" | "scale"> = {},
): Promise<Plan> {
  const { model, normaliser, skip } = entry;
  const extent = modelExtent(entry, inputs);
  const { B, T, H, K, V } = extent;
  assertShape("outputs", outputs, [B, T, H, V]);
  const work = new Work(gpu);
  try {
    const columns = canonicalColumns(entry, V);
    const mantissas = await mantissasOf(work, entry, { inputs, initial }, [B, H, K, columns]);
    const end = roomOf(work, mantissas, "final", final);
    const into = { outputs, final: end };
    const plan = normaliser !== undefined && divides(work, entry, mantissas, end, options)
      ? await planDivided(work, { ...entry, normaliser }, mantissas, extent, into, options)
      : await planCanonical(work, entry, mantissas, extent, into, options);
    if (skip !== undefined) {
      const sources = { value_of: inputs[entry.v]!, head_of: inputs[skip]! };
      const value = `head_of[id / ${V}u % ${H}u] * value_of[id]`;
      await work.map("skip", outputs.shape, sources, value, { into: outputs, how: "add" });
    }
    await writeFinal(work, mantissas, end, final);
    const given = [...Object.values(inputs), outputs, initial, final].filter((tensor) => tensor !== undefined);
    return work.finish({
      name: `${model.name} in chunks`,
      variant: plan.variant,
      bytes: given.reduce((sum, { bytes }) => sum + bytes, 0),
      operations: plan.operations,
    });
  } catch (error) {
    work.release();
    throw error;
  }
}
