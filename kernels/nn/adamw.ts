/**
 * One step of AdamW (Loshchilov and Hutter, arXiv 1711.05101), its gradient clipped by the norm of all gradients:
 *
 * `g ← g · min(1, clip / norm)`, `m ← β1 m + (1 − β1) g`, `v ← β2 v + (1 − β2) g²`,
 * `p ← p − rate · (m / (1 − β1^t) / (√(v / (1 − β2^t)) + ε) + decay · p)`.
 *
 * Where the loss or the norm is not finite, nothing is changed. Learning rate and step are read when the plan runs.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { OptimiserOptions } from "../../models/networks/training.ts";
import { BufferUsage, type Dispatch, type Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import { f32Profile } from "../profile.ts";
import { assertShape, type Tensor } from "../tensor.ts";
import { assemble, compileShader, dispatchItems, entryPerItem, type Shader, storage } from "../wgsl.ts";
import { finite } from "./_finite.ts";

export interface AdamWTensors {
  readonly parameters: readonly Tensor[];
  /** Of the parameters' shapes, in their order, as are the moments. */
  readonly gradients: readonly Tensor[];
  /** First moments, zero before the first step. */
  readonly first: readonly Tensor[];
  /** Second moments, zero before the first step. */
  readonly second: readonly Tensor[];
  /** `[1]`, of planGradientNorm. */
  readonly norm: Tensor;
  /** `[1]`; default: none to be checked. */
  readonly loss?: Tensor;
  /** A uniform buffer of four words: steps taken before (u32), a word, the learning rate (f32), a word. */
  readonly knobs: GPUBuffer;
}

export interface PlanAdamWOptions extends OptimiserOptions {
  /** Which parameters decay; default: all. */
  readonly decays?: readonly boolean[];
}

const shader: Shader = assemble("adamw", {
  bindings: [
    { name: "knobs", access: "uniform", type: "vec4u" },
    // As bits: β1, 1 − β1, β2, 1 − β2; ln β1, ln β2, ε, decay; clip. Then the numbers of the tensor.
    { name: "settings", access: "uniform", type: "array<vec4u, 3>" },
    storage("norm", "u32"),
    storage("loss", "u32"),
    storage("gradient", "f32"),
    storage("parameter", "f32", "read_write"),
    storage("first", "f32", "read_write"),
    storage("second", "f32", "read_write"),
  ],
  source: f32Profile.prelude + finite + entryPerItem(
    "settings[2].y",
    /* wgsl */ `
  if (!finite(norm[0]) || !finite(loss[0])) { return; }
  let length = bitcast<f32>(norm[0]);
  let clip = bitcast<f32>(settings[2].x);
  let rate = bitcast<f32>(knobs.z);
  let step = f32(knobs.x + 1u);
  let beta = bitcast<vec4f>(settings[0]);
  // ln β1, ln β2, ε, decay.
  let more = bitcast<vec4f>(settings[1]);
  var g = gradient[id];
  if (length > clip) { g *= clip / length; }
  let m = beta.x * first[id] + beta.y * g;
  let v = beta.z * second[id] + beta.w * g * g;
  let root = sqrt(v / -ds_expm1(step * more.y)) + more.z;
  first[id] = m;
  second[id] = v;
  let p = parameter[id];
  parameter[id] = p - rate * (m / -ds_expm1(step * more.x) / root + more.w * p);`,
  ),
});

/** Makes a step ready, a dispatch for every parameter. Throws an {@link InputError} on tensors or options that do not fit. */
export async function planAdamW(gpu: Gpu, tensors: AdamWTensors, options: PlanAdamWOptions = {}): Promise<Plan> {
  const { parameters, gradients, first, second, norm, loss, knobs } = tensors;
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01, clip = 1, decays } = options;
  for (const [name, value] of Object.entries({ beta1, beta2 })) {
    if (!(value > 0 && value < 1)) {
      throw new InputError(`Cannot step AdamW: ${name} must be between 0 and 1, got ${value}`);
    }
  }
  for (const [name, value] of Object.entries({ epsilon, clip })) {
    if (!(value > 0)) throw new InputError(`Cannot step AdamW: ${name} must be > 0, got ${value}`);
  }
  if (!(weightDecay >= 0)) throw new InputError(`Cannot step AdamW: weightDecay must be ≥ 0, got ${weightDecay}`);
  for (const [name, list] of Object.entries({ gradients, first, second, ...(decays ? { decays } : {}) })) {
    if (list.length !== parameters.length) {
      throw new InputError(`Cannot step AdamW: ${name} must be ${parameters.length}, got ${list.length}`);
    }
  }
  assertShape("norm", norm, [1]);
  const kernel = await compileShader(gpu, shader);
  const scratch: GPUBuffer[] = [];
  const dispatches: Dispatch[] = [];
  try {
    for (const [i, parameter] of parameters.entries()) {
      const of = { gradient: gradients[i]!, first: first[i]!, second: second[i]! };
      for (const [name, tensor] of Object.entries({ ...of, parameter })) {
        assertShape(`${name} ${i}`, tensor, parameter.shape);
        if (tensor.dtype !== "f32") throw new InputError(`Cannot step AdamW: ${name} ${i} must be f32, got f16`);
      }
      if (parameter.length === 0) continue;
      const decay = decays?.[i] ?? true ? weightDecay : 0;
      // Beyond the largest f32 there is nothing to clip.
      const most = Math.min(clip, 3.4028234663852886e38);
      const settings = new Float32Array(12);
      settings.set([beta1, 1 - beta1, beta2, 1 - beta2, Math.log(beta1), Math.log(beta2), epsilon, decay, most]);
      new Uint32Array(settings.buffer)[9] = parameter.length;
      const usage = BufferUsage.UNIFORM | BufferUsage.COPY_DST;
      scratch.push(gpu.upload(settings, { label: "adamw settings", usage }));
      dispatches.push(dispatchItems(
        kernel,
        {
          ...{ knobs, settings: scratch.at(-1)!, norm: norm.buffer, loss: (loss ?? norm).buffer },
          ...{ gradient: of.gradient.buffer, parameter: parameter.buffer },
          ...{ first: of.first.buffer, second: of.second.buffer },
        },
        parameter.length,
      ));
    }
  } catch (error) {
    scratch.forEach((buffer) => buffer.destroy());
    throw error;
  }
  const length = parameters.reduce((sum, parameter) => sum + parameter.length, 0);
  return planOf({
    name: "adamw",
    variant: `${dispatches.length} parameters`,
    dispatches,
    bytes: 4 * 7 * length,
    operations: 16 * length,
    scratch,
  });
}
