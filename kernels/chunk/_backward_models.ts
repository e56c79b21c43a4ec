/**
 * Gradients of the models of the family by their own inputs: canonical inputs before the kernels of backward.ts, and the
 * chain rule through what made them behind. All in one submit; what is kept is read back.
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
import { type AnyAffineModel, queryScale } from "../../models/affine.ts";
import { checkCotangents } from "../../models/backward.ts";
import type { GradientOptions, GradientResult } from "../../models/execution.ts";
import { type Dims, inputEntries, type Inputs, prepare, prepareState } from "../../models/inputs.ts";
import type { Fault } from "../faults.ts";
import type { Gpu } from "../gpu.ts";
import { Tensor } from "../tensor.ts";
import { Work } from "./_backward_work.ts";
import { type ChunkBackwardTuning, planChunkBackward } from "./backward.ts";
import { type Canonical, chained, complement, type ModelExtent, type Named } from "./_backward_chain.ts";
import { canonicalColumns, type ChunkModel, gateShape, requireChunkModel } from "./family.ts";
import { planChunkForward } from "./forward.ts";
import { divisor, slope } from "./_shared_exponent.ts";
import { preactivations, statesOf } from "./_backward_stabilised.ts";

export interface ChunkGradientTuning extends ChunkBackwardTuning {
  readonly fault?: Fault;
}

/**
 * Gradients of Σ dO·o + Σ dS·S_T by every input of a model of the family, and by the initial state; the arguments are those
 * of `Execution.gradients`.
 *
 * @throws {InputError} on a model that the family does not have, and on inputs or cotangents outside the contract.
 */
export async function gradientsOfChunk(
  gpu: Gpu,
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  options: GradientOptions,
  asked: ChunkGradientTuning = {},
): Promise<GradientResult> {
  const entry = requireChunkModel(model);
  // Cotangents of mantissas reach over as many powers of two as exponents do: too many for split halves.
  const tuning: ChunkGradientTuning = entry.stabilised === undefined
    ? asked
    : { ...asked, mode: "f32", hardware: false };
  const batch = prepare(model, dims, inputs);
  const initialState = prepareState(model, dims, options.initialState);
  checkCotangents(model, dims, options);
  const { B, T, H } = dims;
  const extent: ModelExtent = { B, T, H, K: dims.sizes.K!, V: dims.sizes.V! };
  const { K, V } = extent;
  const columns = canonicalColumns(entry, V);
  const work = new Work(gpu);
  try {
    const given: { [name: string]: Tensor } = {};
    for (const [name, spec] of inputEntries(model)) {
      const axes = spec.axes.map((axis) => dims.sizes[axis]!);
      given[name] = work.filled(
        name,
        batch.inputs[name]!,
        spec.per === "parameter" ? [H, ...axes] : [B, T, H, ...axes],
      );
    }
    const state = [B, H, K, columns];
    const { initial, dFinal, own, shared } = await statesOf(work, entry, given, state, {
      initial: options.initialState === undefined ? undefined : initialState,
      dFinal: options.finalState,
    });
    const d_o = work.filled("cotangent of the outputs", options.outputs, [B, T, H, V]);
    const canonical = await canonicalOf(work, entry, own, extent);
    const tensors = {
      q: given[entry.q]!,
      k: canonical.k,
      v: canonical.v,
      ...(canonical.g === undefined ? {} : { g: canonical.g }),
      ...(entry.bonus === undefined ? {} : { u: given[entry.bonus]! }),
      ...(initial === undefined ? {} : { initial }),
    };
    const scale = entry.scaled ? queryScale(K) : 1;
    const dO = entry.normaliser === undefined ? d_o : await unnormalised(
      work,
      entry,
      { ...tensors, d_o, ...(shared === undefined ? {} : { exponents: shared.exponents }) },
      scale,
      extent,
      tuning,
    );
    const gates = gateShape(entry.decay, extent);
    const results = {
      dq: work.room("dq", [B, T, H, K]),
      dk: work.room("dk", [B, T, H, K]),
      dv: work.room("dv", [B, T, H, columns]),
      dInitial: work.room("gradient of the initial state", state),
      ...(gates === undefined ? {} : { dg: work.room("dg", gates) }),
    };
    work.plan(
      await planChunkBackward(
        gpu,
        { ...tensors, dO, ...(dFinal === undefined ? {} : { dFinal }), ...results },
        { ...tuning, decay: entry.decay, scale },
      ),
    );
    const chain = await chained(work, entry, { ...own, d_o }, { ...canonical, ...results }, extent);
    const gradients = shared === undefined ? chain : await preactivations(work, entry, given, own, chain);
    const start = shared?.cotangent === undefined ? results.dInitial : await shared.cotangent(results.dInitial);
    await work.run(`gradients of ${model.name} in chunks`);
    const out: { [name: string]: Float32Array } = {};
    for (const [name] of inputEntries(model)) out[name] = await gradients[name]!.read();
    return { inputs: out, initialState: await start.read() };
  } finally {
    work.release();
  }
}

async function canonicalOf(
  work: Work,
  { k, v, g, normaliser, decay }: ChunkModel,
  given: Named,
  { B, T, H, K, V }: ModelExtent,
): Promise<Canonical> {
  const factor = k.factor && given[k.factor.input]!;
  const raw = factor?.shape.length === 4 ? "factor_of[id]" : `factor_of[id / ${K}u]`;
  const times = k.factor?.form === "complement" ? complement(raw) : raw;
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
    v: normaliser === undefined ? given[v]! : await work.map(
      "canonical v",
      [B, T, H, V + 1],
      { value_of: given[v]! },
      "value",
      `var value = 1.0; if (id % ${V + 1}u < ${V}u) { value = value_of[id / ${V + 1}u * ${V}u + id % ${V + 1}u]; }`,
    ),
    g: decay.kind === "none" ? undefined : g!.times === undefined ? given[g!.input]! : await work.map(
      "canonical g",
      [B, T, H],
      { step_of: given[g!.input]!, head_of: given[g!.times]! },
      `max(step_of[id] * head_of[id % ${H}u], -104.0)`,
    ),
  };
}

/** The cotangents of numerators and divisor, `[B, T, H, V + 1]`, from another forward pass. */
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
    readonly exponents?: Tensor;
  },
  scale: number,
  { B, T, H, V }: ModelExtent,
  { mode, hardware }: ChunkBackwardTuning,
): Promise<Tensor> {
  const o = work.room("numerators and divisor", [B, T, H, V + 1]);
  work.plan(
    await planChunkForward(work.gpu, { ...tensors, o }, {
      decay,
      scale,
      ...(mode === undefined ? {} : { mode }),
      ...(hardware === undefined ? {} : { hardware }),
    }),
  );
  const divides = divisor(normaliser!, "z", "row");
  return await work.map(
    "cotangents of numerators and divisor",
    [B, T, H, V + 1],
    { raw_of: o, d_of: d_o, ...(exponents === undefined ? {} : { exponent_of: exponents }) },
    "value",
    /* wgsl */ `
  let row = id / ${V + 1}u;
  let column = id % ${V + 1}u;
  let z = raw_of[row * ${V + 1}u + ${V}u];
  let divisor = ${divides};
  var value = 0.0;
  if (column < ${V}u) {
    value = d_of[row * ${V}u + column] / divisor;
  } else {
    for (var c = 0u; c < ${V}u; c++) { value -= d_of[row * ${V}u + c] * (raw_of[row * ${V + 1}u + c] / divisor); }
    value = value / divisor * ${slope(normaliser!, "z", "row")};
  }`,
  );
}
