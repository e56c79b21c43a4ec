/**
 * Gradients of the models of the family by their own inputs: canonical inputs before the kernels of backward.ts, and the
 * chain rule through what made them behind. All in one submit.
 *
 * | what | forward | backward |
 * |---|---|---|
 * | input gate | k = c · k′, or k = c | dk′ = c dk, dc = k′ dk (summed over keys where c has none) |
 * | complement | c = −expm1(g) | dg += −e^g dc |
 * | product | g = max(Δ A, −104) | dΔ += A dg, dA = Σ Δ dg, where Δ A ≥ −104 |
 * | normaliser | o = n / d: z + ε, max(z, ε) or max(|z|, 2^−m) | dn = dO / d, dz = −dO · o / d · ∂d/∂z |
 * | stabilised gates | f′ = σ(f̃) 2^…, i′ = e^ĩ 2^−m (stabilise.ts; m is a constant to all) | df̃ = σ(−f̃) dlog f′, dĩ = i′ di′ |
 * | skip | o += D x | dx += D dO, dD = Σ dO · x |
 * | bonus | o += (q · u k) v | du = Σ q k (dO · v) |
 *
 * @module
 */
import { queryScale } from "../../models/affine.ts";
import type { Fault } from "../faults.ts";
import type { Gpu } from "../gpu.ts";
import type { Plan } from "../plan.ts";
import type { Tensor } from "../tensor.ts";
import { type Named, Work } from "../_work.ts";
import { canonicalOf, canonicalTensors, modelExtent } from "./_canonical.ts";
import { addChained, type CanonicalGradients, type ModelExtent, ownGradients } from "./_backward_chain.ts";
import { type ChunkBackwardTuning, planChunkBackward } from "./backward.ts";
import { planWalkGradients } from "../walk/gradients.ts";
import { walkDecay, walkSegments } from "./_walked.ts";
import { canonicalColumns, type ChunkModel, gateShape } from "./family.ts";
import { planChunkForward } from "./forward.ts";
import { finalCotangent, mantissasOf, roomOf, throughPreactivations, writeInitialCotangent } from "./_mantissas.ts";
import { divisor, slope } from "./_shared_exponent.ts";

export interface ChunkGradientTuning extends ChunkBackwardTuning {
  readonly fault?: Fault;
  /**
   * Whether gradients are walked through where they can be, those of gates as sums over later tokens: as exact as what is summed,
   * not as the gradient where that is small (walk/gradients.ts).
   */
  readonly walks?: boolean;
}

/**
 * Whether a backward pass can be walked through: without states, a normaliser or a bonus. Of a head's decay there is no gradient
 * then.
 */
function walkable(
  { decay, normaliser, stabilised, reads, bonus }: ChunkModel,
  { dg, ...states }: { readonly [name in "initial" | "dFinal" | "dInitial" | "dg"]: Tensor | undefined },
  { T, K }: ModelExtent,
): boolean {
  return normaliser === undefined && stabilised === undefined && reads !== "pre" && bonus === undefined &&
    Object.values(states).every((state) => state === undefined) && (decay.per !== "head" || dg === undefined) &&
    (decay.form !== "factor" || decay.per === "head") && T > 0 && K % 4 === 0;
}

/** Tensors of a model's backward pass, f32. */
export interface ChunkModelGradientTensors {
  /** The model's own inputs, by name: `[B, T, H, …]` and `[H, …]`. */
  readonly inputs: Named;
  /** `[B, T, H, V]`. */
  readonly dOutputs: Tensor;
  /** Where the gradients of inputs go, those that are wanted. */
  readonly gradients: Named;
  /** `[B, H, K, V′]`, and 2 (pairs) where the model has a shared exponent; zero where not given. */
  readonly initial?: Tensor | undefined;
  readonly dFinal?: Tensor | undefined;
  readonly dInitial?: Tensor | undefined;
}

/** Makes the backward pass of a model ready. Rejects with an `InputError` on shapes that do not fit. */
export async function planChunkModelBackward(
  gpu: Gpu,
  entry: ChunkModel,
  { inputs, dOutputs, gradients, initial, dFinal, dInitial }: ChunkModelGradientTensors,
  { walks = false, ...asked }: ChunkGradientTuning = {},
): Promise<Plan> {
  // Cotangents of mantissas reach over as many powers of two as exponents do: too many for split halves.
  const tuning: ChunkGradientTuning = entry.stabilised === undefined
    ? asked
    : { ...asked, mode: "f32", hardware: false };
  // The forward pass that is run again is walked through where nothing is asked for, as it was before.
  const forward = asked.mode === undefined && asked.hardware === undefined ? asked : tuning;
  const extent = modelExtent(entry, inputs);
  const { B, T, H, K, V } = extent;
  const columns = canonicalColumns(entry, V);
  const scale = entry.scaled ? queryScale(K) : 1;
  const work = new Work(gpu);
  try {
    const mantissas = await mantissasOf(work, entry, { inputs, initial }, [B, H, K, columns]);
    const canonical = await canonicalOf(work, entry, mantissas.inputs, extent);
    const tensors = {
      ...canonicalTensors(entry, mantissas.inputs, canonical),
      ...(mantissas.initial === undefined ? {} : { initial: mantissas.initial }),
    };
    const exponents = mantissas.shared?.exponents;
    const rows = entry.normaliser === undefined
      ? { dO: dOutputs, free: undefined }
      : await unnormalised(work, entry, { ...tensors, d_o: dOutputs, exponents }, scale, extent, forward);
    const end = await finalCotangent(work, mantissas, dFinal);
    const start = roomOf(work, mantissas, "dInitial", dInitial);
    const gates = gateShape(entry.decay, extent);
    const own = ownGradients(entry);
    const result = (name: keyof CanonicalGradients, shape: readonly number[]): Tensor =>
      gradients[own[name] ?? ""] ?? work.room(name, shape);
    const results = {
      dq: result("dq", [B, T, H, K]),
      dk: result("dk", [B, T, H, K]),
      dv: rows.free ?? result("dv", [B, T, H, columns]),
      ...(gates === undefined ? {} : { dg: result("dg", gates) }),
    };
    const given = { initial, dFinal, dInitial, dg: gradients[own.dg ?? ""] };
    const plan = walks && walkable(entry, given, extent)
      ? await planWalkGradients(gpu, {
        ...tensors,
        dO: rows.dO,
        ...results,
        dg: entry.decay.per === "head" ? undefined : results.dg,
      }, {
        decay: walkDecay(entry.decay),
        form: entry.decay.form ?? "log",
        scale,
        walk: { segments: walkSegments(gpu, results.dv, asked.segments) },
      })
      : await planChunkBackward(gpu, {
        ...tensors,
        dO: rows.dO,
        ...results,
        ...(end === undefined ? {} : { dFinal: end }),
        ...(start === undefined ? {} : { dInitial: start }),
      }, { ...tuning, decay: entry.decay, scale });
    work.plan(plan);
    const chained = { ...mantissas.inputs, d_o: dOutputs };
    await addChained(work, entry, chained, { ...canonical, ...results }, extent, gradients);
    await throughPreactivations(work, entry, inputs, mantissas, gradients);
    await writeInitialCotangent(work, mantissas, start, { initial, dInitial });
    const touched = [...Object.values(inputs), ...Object.values(gradients), dOutputs, initial, dFinal, dInitial];
    return work.finish({
      name: `${entry.model.name} in chunks, backward`,
      variant: plan.variant,
      bytes: touched.reduce((sum, tensor) => sum + (tensor?.bytes ?? 0), 0),
      operations: plan.operations,
    });
  } catch (error) {
    work.release();
    throw error;
  }
}

/** The cotangents of numerators and divisor from another forward pass; `free` is of their shape, and needed no more. */
async function unnormalised(
  work: Work,
  { normaliser, decay }: ChunkModel,
  { d_o, exponents, ...tensors }: {
    readonly q: Tensor;
    readonly k: Tensor;
    readonly v: Tensor;
    readonly g?: Tensor;
    readonly initial?: Tensor;
    readonly d_o: Tensor;
    readonly exponents: Tensor | undefined;
  },
  scale: number,
  { B, T, H, V }: ModelExtent,
  { mode, hardware, segments }: ChunkBackwardTuning,
): Promise<{ readonly dO: Tensor; readonly free: Tensor }> {
  const o = work.room("numerators and divisor", [B, T, H, V + 1]);
  work.plan(
    await planChunkForward(work.gpu, { ...tensors, o }, {
      decay,
      scale,
      ...(mode === undefined ? {} : { mode }),
      ...(hardware === undefined ? {} : { hardware }),
      ...(segments === undefined ? {} : { segments }),
    }),
  );
  const dO = await work.map(
    "cotangents of numerators and divisor",
    [B, T, H, V + 1],
    { raw_of: o, d_of: d_o, ...(exponents === undefined ? {} : { exponent_of: exponents }) },
    "value",
    {
      before: /* wgsl */ `
  let row = id / ${V + 1}u;
  let column = id % ${V + 1}u;
  let z = raw_of[row * ${V + 1}u + ${V}u];
  let divisor = ${divisor(normaliser!, "z", "row")};
  var value = 0.0;
  if (column < ${V}u) {
    value = d_of[row * ${V}u + column] / divisor;
  } else {
    for (var c = 0u; c < ${V}u; c++) { value -= d_of[row * ${V}u + c] * (raw_of[row * ${V + 1}u + c] / divisor); }
    value = value / divisor * ${slope(normaliser!, "z", "row")};
  }`,
    },
  );
  return { dO, free: o };
}
