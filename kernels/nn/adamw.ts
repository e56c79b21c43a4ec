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

/** Buffers of a tensor: its gradient, itself and two moments; and those of a dispatch beside them: the norm and the loss. */
const [EACH, BESIDE] = [4, 2];

/** Of so many tensors, one behind the other. */
const shaderOf = (count: number): Shader => {
  const tensors = Array.from({ length: count }, (_, i) => i);
  const one = (i: number): string =>
    /* wgsl */ `if (id < settings[${i + 2}].x) {
    let at = id - start;
    let next = update(gradient_${i}[at], vec3f(parameter_${i}[at], first_${i}[at], second_${i}[at]), settings[${
      i + 2
    }].y);
    parameter_${i}[at] = next.x;
    first_${i}[at] = next.y;
    second_${i}[at] = next.z;
    return;
  }
  start = settings[${i + 2}].x;`;
  return assemble(`adamw of ${count}`, {
    bindings: [
      { name: "knobs", access: "uniform", type: "vec4u" },
      // As bits: β1, 1 − β1, β2, 1 − β2; ln β1, ln β2, ε, clip. Then of each tensor where its numbers end, and its decay.
      { name: "settings", access: "uniform", type: `array<vec4u, ${2 + count}>` },
      storage("norm", "u32"),
      storage("loss", "u32"),
      ...tensors.flatMap((i) => [
        storage(`gradient_${i}`, "f32"),
        ...["parameter", "first", "second"].map((name) => storage(`${name}_${i}`, "f32", "read_write")),
      ]),
    ],
    source: f32Profile.prelude + finite + /* wgsl */ `
fn update(gradient: f32, given: vec3f, decay: u32) -> vec3f {
  let length = bitcast<f32>(norm[0]);
  let rate = bitcast<f32>(knobs.z);
  let step = f32(knobs.x + 1u);
  let beta = bitcast<vec4f>(settings[0]);
  // ln β1, ln β2, ε, clip.
  let more = bitcast<vec4f>(settings[1]);
  var g = gradient;
  if (length > more.w) { g *= more.w / length; }
  let m = beta.x * given.y + beta.y * g;
  let v = beta.z * given.z + beta.w * g * g;
  let root = sqrt(v / -ds_expm1(step * more.y)) + more.z;
  return vec3f(given.x - rate * (m / -ds_expm1(step * more.x) / root + bitcast<f32>(decay) * given.x), m, v);
}
` + entryPerItem(
        `settings[${count + 1}].x`,
        /* wgsl */ `
  if (!finite(norm[0]) || !finite(loss[0])) { return; }
  var start = 0u;
  ${tensors.map(one).join("\n  ")}`,
      ),
  });
};

/**
 * Makes a step ready, a dispatch for as many parameters as the device can bind. Throws an {@link InputError} on tensors or
 * options that do not fit.
 */
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
  const all = parameters.map((parameter, i) => {
    const of = { gradient: gradients[i]!, first: first[i]!, second: second[i]! };
    for (const [name, tensor] of Object.entries({ ...of, parameter })) {
      assertShape(`${name} ${i}`, tensor, parameter.shape);
      if (tensor.dtype !== "f32") throw new InputError(`Cannot step AdamW: ${name} ${i} must be f32, got f16`);
    }
    return { ...of, parameter, decay: decays?.[i] ?? true ? weightDecay : 0 };
  }).filter(({ parameter }) => parameter.length > 0);
  // Beyond the largest f32 there is nothing to clip.
  const most = Math.min(clip, 3.4028234663852886e38);
  const together = Math.max(1, Math.floor((gpu.limits.maxStorageBuffersPerShaderStage - BESIDE) / EACH));
  const scratch: GPUBuffer[] = [];
  const dispatches: Dispatch[] = [];
  try {
    for (let from = 0; from < all.length; from += together) {
      const some = all.slice(from, from + together);
      const settings = new Float32Array(8 + 4 * some.length);
      settings.set([beta1, 1 - beta1, beta2, 1 - beta2, Math.log(beta1), Math.log(beta2), epsilon, most]);
      let end = 0;
      some.forEach(({ parameter, decay }, i) => {
        end += parameter.length;
        new Uint32Array(settings.buffer)[8 + 4 * i] = end;
        settings[9 + 4 * i] = decay;
      });
      const usage = BufferUsage.UNIFORM | BufferUsage.COPY_DST;
      scratch.push(gpu.upload(settings, { label: "adamw settings", usage }));
      const buffers = { knobs, settings: scratch.at(-1)!, norm: norm.buffer, loss: (loss ?? norm).buffer };
      const named = some.flatMap((of, i) =>
        (["gradient", "parameter", "first", "second"] as const).map((name) => [`${name}_${i}`, of[name].buffer])
      );
      const kernel = await compileShader(gpu, shaderOf(some.length));
      dispatches.push(dispatchItems(kernel, { ...buffers, ...Object.fromEntries(named) }, end));
    }
  } catch (error) {
    scratch.forEach((buffer) => buffer.destroy());
    throw error;
  }
  const length = parameters.reduce((sum, parameter) => sum + parameter.length, 0);
  return planOf({
    name: "adamw",
    variant: `${all.length} parameters, ${together} together`,
    dispatches,
    bytes: 4 * 7 * length,
    operations: 16 * length,
    scratch,
  });
}
