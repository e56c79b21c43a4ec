/**
 * A model of the family from its own inputs: element-wise kernels that make canonical inputs of them where they are not
 * already, the kernel of the family, and one more for what is done to its outputs. All in one submit.
 *
 * @module
 */
import { queryScale } from "../../models/affine.ts";
import type { Gpu } from "../gpu.ts";
import type { Plan } from "../plan.ts";
import { f32Profile } from "../profile.ts";
import { assertShape, type Tensor } from "../tensor.ts";
import { type Named, Work } from "../_work.ts";
import { canonicalOf, canonicalTensors, modelExtent } from "./_canonical.ts";
import { canonicalColumns, type ChunkModel } from "./family.ts";
import { type ChunkForwardOptions, planChunkForward } from "./forward.ts";

/** The tensors of a model. */
export interface ChunkModelTensors {
  /** The model's own inputs, by name: `[B, T, H, …]` and `[H, …]`, f32. */
  readonly inputs: Named;
  /** `[B, T, H, V]`. */
  readonly outputs: Tensor;
  /** `[B, H, K, V′]`; zero where not given. */
  readonly initial?: Tensor | undefined;
  readonly final?: Tensor | undefined;
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
  const { model, normaliser, skip, scaled, decay } = entry;
  const extent = modelExtent(entry, inputs);
  const { B, T, H, K, V } = extent;
  assertShape("outputs", outputs, [B, T, H, V]);
  const work = new Work(gpu);
  try {
    const canonical = canonicalTensors(entry, inputs, await canonicalOf(work, entry, inputs, extent));
    const o = normaliser === undefined ? outputs : work.room("canonical o", [B, T, H, canonicalColumns(entry, V)]);
    const states = { ...(initial === undefined ? {} : { initial }), ...(final === undefined ? {} : { final }) };
    const plan = await planChunkForward(gpu, { ...canonical, o, ...states }, {
      ...options,
      decay,
      scale: scaled ? queryScale(K) : 1,
    });
    work.plan(plan);
    if (normaliser !== undefined) {
      const row = `id / ${V}u * ${V + 1}u`;
      const z = `raw_of[${row} + ${V}u]`;
      const epsilon = f32Profile.constant(normaliser.epsilon);
      const divisor = normaliser.form === "plus" ? `(${z} + ${epsilon})` : `max(${z}, ${epsilon})`;
      const value = `raw_of[${row} + id % ${V}u] / ${divisor}`;
      await work.map("normalise", outputs.shape, { raw_of: o }, value, { into: outputs });
    } else if (skip !== undefined) {
      const sources = { value_of: inputs[entry.v]!, head_of: inputs[skip]! };
      const value = `head_of[id / ${V}u % ${H}u] * value_of[id]`;
      await work.map("skip", outputs.shape, sources, value, { into: outputs, how: "add" });
    }
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
