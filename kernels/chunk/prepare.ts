/**
 * A model of the family from its own inputs: element-wise kernels that make canonical inputs of them where they are not
 * already, the kernel of the family, and one more for what is done to its outputs. All in one submit.
 *
 * @module
 */
import { queryScale } from "../../models/affine.ts";
import { BufferUsage, type Dispatch, type Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import { f32Profile } from "../profile.ts";
import { assertShape, Tensor } from "../tensor.ts";
import { assemble, type Binding, compileShader, dispatchItems, entryPerItem, storage } from "../wgsl.ts";
import { canonicalColumns, type ChunkModel } from "./family.ts";
import { type ChunkForwardOptions, type ChunkTensors, planChunkForward } from "./forward.ts";
import { divisor, mantissa, pairOf } from "./_shared_exponent.ts";
import { stabilise } from "./stabilise.ts";

/** The tensors of a model. */
export interface ChunkModelTensors {
  /** The model's own inputs, by name: `[B, T, H, …]` and `[H, …]`, f32. */
  readonly inputs: { readonly [name: string]: Tensor };
  /** `[B, T, H, V]`. */
  readonly outputs: Tensor;
  /** `[B, H, K, V′]`, with a shared exponent `[B, H, K, V′, 2]`; zero where not given. */
  readonly initial?: Tensor;
  readonly final?: Tensor;
}

/** Element-wise kernels on the way to the canonical inputs, and the tensors they fill. */
interface Stage {
  readonly dispatches: Dispatch[];
  readonly scratch: GPUBuffer[];
}

/** Adds a kernel of one invocation per number of `target`; `value` is its WGSL, of `id` and the named sources. */
async function addKernel(
  gpu: Gpu,
  stage: Stage,
  label: string,
  target: Tensor,
  sources: { readonly [name: string]: Tensor },
  value: string,
): Promise<void> {
  const count = gpu.upload(new Uint32Array([target.length, 0, 0, 0]), {
    label: `${label} count`,
    usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
  });
  stage.scratch.push(count);
  const bindings: Binding[] = [
    { name: "count", access: "uniform", type: "vec4u" },
    ...Object.keys(sources).map((name) => storage(name, "f32")),
    storage("target_of", "f32", "read_write"),
  ];
  const shader = assemble(label, {
    bindings,
    source: f32Profile.prelude + entryPerItem("count.x", `  target_of[id] = ${value};`),
  });
  const kernel = await compileShader(gpu, shader);
  const buffers = Object.fromEntries(Object.entries(sources).map(([name, { buffer }]) => [name, buffer]));
  stage.dispatches.push(dispatchItems(kernel, { count, ...buffers, target_of: target.buffer }, target.length));
}

/** The canonical inputs of a model, and the kernels that make them. */
async function canonicalInputs(
  gpu: Gpu,
  stage: Stage,
  { k, g, v, normaliser, decay, q, bonus }: ChunkModel,
  inputs: { readonly [name: string]: Tensor },
  { B, T, H, K, V }: { readonly [axis in "B" | "T" | "H" | "K" | "V"]: number },
): Promise<Pick<ChunkTensors, "q" | "k" | "v" | "g" | "u">> {
  const made = (shape: readonly number[], label: string): Tensor => {
    const tensor = Tensor.empty(gpu, shape, { label });
    stage.scratch.push(tensor.buffer);
    return tensor;
  };
  const input = (name: string): Tensor => inputs[name]!;
  let keys: Tensor;
  if (k.factor === undefined) keys = input(k.input!);
  else {
    keys = made([B, T, H, K], "canonical k");
    const wide = input(k.factor.input).shape.length === 4;
    const raw = `factor_of[${wide ? "id" : `id / ${K}u`}]`;
    const factor = k.factor.form === "complement" ? `-ds_expm1(${raw})` : raw;
    const sources = { ...(k.input === undefined ? {} : { key_of: input(k.input) }), factor_of: input(k.factor.input) };
    await addKernel(
      gpu,
      stage,
      "canonical k",
      keys,
      sources,
      k.input === undefined ? factor : `key_of[id] * (${factor})`,
    );
  }
  let values = input(v);
  if (normaliser !== undefined) {
    values = made([B, T, H, V + 1], "canonical v");
    const column = `id % ${V + 1}u`;
    const value = `value_of[min(id / ${V + 1}u * ${V}u + ${column}, ${Math.max(B * T * H * V, 1) - 1}u)]`;
    await addKernel(
      gpu,
      stage,
      "canonical v",
      values,
      { value_of: input(v) },
      `select(${value}, 1.0, ${column} == ${V}u)`,
    );
  }
  let gates = g === undefined ? undefined : input(g.input);
  if (g?.times !== undefined) {
    gates = made([B, T, H], "canonical g");
    const value = `max(raw_of[id] * head_of[id % ${H}u], -104.0)`;
    await addKernel(gpu, stage, "canonical g", gates, { raw_of: input(g.input), head_of: input(g.times) }, value);
  }
  return {
    q: input(q),
    k: keys,
    v: values,
    ...(gates === undefined || decay.kind === "none" ? {} : { g: gates }),
    ...(bonus === undefined ? {} : { u: input(bonus) }),
  };
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
  const { model, normaliser, skip, scaled, decay, stabilised } = entry;
  const [B, T, H, K] = inputs[entry.q]!.shape as [number, number, number, number];
  const V = inputs[entry.v]!.shape[3]!;
  assertShape("outputs", outputs, [B, T, H, V]);
  const columns = canonicalColumns(entry, V);
  const state = [B, H, K, columns];
  const before: Stage = { dispatches: [], scratch: [] };
  const after: Stage = { dispatches: [], scratch: before.scratch };
  const made = (shape: readonly number[], label: string): Tensor => {
    const tensor = Tensor.empty(gpu, shape, { label });
    before.scratch.push(tensor.buffer);
    return tensor;
  };
  const plans: Plan[] = [];
  try {
    let given = inputs;
    let [start, end] = [initial, final];
    const shared = stabilised && await stabilise(gpu, {
      forget: inputs[stabilised.forget]!,
      input: inputs[stabilised.input]!,
      ...(initial === undefined ? {} : { initial }),
    });
    if (shared !== undefined) {
      plans.push(shared.plan);
      given = { ...inputs, [stabilised!.forget]: shared.forget, [stabilised!.input]: shared.input };
      for (const [name, tensor] of [["initial", initial], ["final", final]] as const) {
        if (tensor !== undefined) assertShape(name, tensor, [...state, 2]);
      }
      if (initial !== undefined) {
        start = made(state, "canonical initial");
        const sources = { pairs: initial, exponent_of: shared.first };
        await addKernel(gpu, before, "mantissas of the state", start, sources, mantissa(K * columns));
      }
      if (final !== undefined) end = made(state, "canonical final");
    }
    const tensors = await canonicalInputs(gpu, before, entry, given, { B, T, H, K, V });
    const o = normaliser === undefined && skip === undefined ? outputs : made([B, T, H, columns], "canonical o");
    const plan = await planChunkForward(
      gpu,
      {
        ...tensors,
        o,
        ...(start === undefined ? {} : { initial: start }),
        ...(end === undefined ? {} : { final: end }),
      },
      { ...options, decay, scale: scaled ? queryScale(K) : 1 },
    );
    plans.push(plan);
    if (normaliser !== undefined) {
      const sources = { raw_of: o, ...(shared === undefined ? {} : { exponent_of: shared.exponents }) };
      const row = `id / ${V}u`;
      const at = `${row} * ${V + 1}u`;
      const value = `raw_of[${at} + id % ${V}u] / ${divisor(normaliser, `raw_of[${at} + ${V}u]`, row)}`;
      await addKernel(gpu, after, "normalise", outputs, sources, value);
    } else if (skip !== undefined) {
      const sources = { raw_of: o, value_of: inputs[entry.v]!, head_of: inputs[skip]! };
      const value = `raw_of[id] + head_of[id / ${V}u % ${H}u] * value_of[id]`;
      await addKernel(gpu, after, "skip", outputs, sources, value);
    }
    if (shared !== undefined && final !== undefined) {
      const sources = { raw_of: end!, exponent_of: shared.last };
      await addKernel(gpu, after, "pairs of the state", final, sources, pairOf(K * columns));
    }
    const whole = planOf({
      name: `${model.name} in chunks`,
      variant: plan.variant,
      dispatches: [
        ...shared?.plan.dispatches ?? [],
        ...before.dispatches,
        ...plan.dispatches,
        ...after.dispatches,
      ],
      bytes: [...Object.values(inputs), outputs, initial, final].reduce((sum, tensor) => sum + (tensor?.bytes ?? 0), 0),
      operations: plan.operations,
      scratch: before.scratch,
    });
    return {
      ...whole,
      scratchBytes: plans.reduce((sum, { scratchBytes }) => sum + scratchBytes, whole.scratchBytes),
      release() {
        for (const each of [...plans, whole]) each.release();
      },
    };
  } catch (error) {
    for (const each of plans) each.release();
    for (const buffer of before.scratch) buffer.destroy();
    throw error;
  }
}
