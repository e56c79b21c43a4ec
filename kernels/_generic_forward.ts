/**
 * Any model's forward pass on tensors, by the generic kernel: slab after slab of time through the same scratch, so that no
 * array of all states is held.
 *
 * @module
 */
import type { AnyAffineModel } from "../models/affine.ts";
import { type Dims, microSteps } from "../models/inputs.ts";
import type { Gpu } from "./gpu.ts";
import { fieldOffset } from "./layout.ts";
import type { LayerTensors } from "./mixer/layer.ts";
import { modelKernels, sequenceNumbers } from "./_model_kernels.ts";
import type { Plan } from "./plan.ts";
import { checkChoice, fittingTokens, type KernelChoice, rawF32 } from "./stream.ts";
import { gatherInputs } from "./_gather_inputs.ts";
import { Slab } from "./_slab.ts";
import { Work } from "./_work.ts";

/** Bytes that a batch row's largest buffer of a slab may take, unless said otherwise. */
export const ROW_BYTES: number = 2 ** 24;

/**
 * Plans a run of T ≥ 0 tokens. Slabs are as long as one batch row's buffers fit `slabBytes`, so where they begin depends
 * neither on B (unless the device cannot bind as much) nor on T, and neither do the bits of what comes out.
 */
export async function planGenericForward(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  { inputs, outputs, initial, final }: LayerTensors,
  { chunk = 64, subgroups = gpu.subgroups !== undefined, slabBytes = ROW_BYTES, fault }: KernelChoice = {},
): Promise<Plan> {
  const { B, T, H, sizes } = dims;
  checkChoice(gpu, model, chunk, subgroups);
  const kernels = await modelKernels(gpu, model, sizes, { ...rawF32, subgroups, fault });
  const { program } = kernels;
  const n = microSteps(model);
  const wanted = fittingTokens(gpu, kernels, { B: 1, H }, chunk, Math.max(T, 1), slabBytes);
  const tokens = fittingTokens(gpu, kernels, { B, H }, chunk, wanted, Infinity);
  const work = new Work(gpu);
  const bytes = [...Object.values(inputs), outputs, initial, final].reduce(
    (sum, tensor) => sum + (tensor?.bytes ?? 0),
    0,
  );
  const name = `${model.name} forward`;
  try {
    if (T === 0) {
      if (final !== undefined) await (initial === undefined ? work.clear(final) : work.copy(initial, final));
      return work.finish({ name, variant: "nothing to do", bytes, operations: 0 });
    }
    const slab = new Slab(gpu, kernels, { B, H, chunk, capacity: tokens * n });
    work.own(slab);
    const state = B * H * sequenceNumbers(program);
    const slabs = Math.ceil(T / tokens);
    let from = initial?.buffer ?? slab.room("zero state", state);
    const between = Array.from({ length: Math.min(slabs - 1, 2) }, () => slab.room("state between slabs", state));
    const last = final?.buffer ?? slab.room("final state", state);
    for (let i = 0; i < slabs; i++) {
      const first = i * tokens * n;
      const steps = Math.min(tokens * n, T * n - first);
      const offsets = Object.fromEntries(
        program.layout.fields.map((field) => [field.name, fieldOffset(program.layout, field, B, H, steps)]),
      );
      work.add(...await gatherInputs(work, model, dims, inputs, slab.inputs, offsets, { from: first, steps }));
      const to = i + 1 === slabs ? last : between[i % 2]!;
      const p = work.words("params", slab.params(steps, T * n, first));
      work.add(...slab.dispatches(steps, { p, from, to, outputs: outputs.buffer }));
      from = to;
    }
    return work.finish({
      name,
      variant: `generic, chunks of ${chunk}, ${subgroups ? "subgroups" : "shared memory"}, ${slabs} slab` +
        (slabs === 1 ? "" : `s of ${tokens} tokens`),
      bytes,
      // Per entry of the state: a multiply-add to update it, one to read it; of a matrix a product with a column.
      operations: B * T * n * H * sequenceNumbers(program) * (model.action === "matrix" ? 2 * program.rows + 2 : 4),
    });
  } catch (error) {
    work.release();
    throw error;
  }
}
