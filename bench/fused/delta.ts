/**
 * The delta rule over whole sequences: DeltaNet, Gated DeltaNet, KDA, DeltaProduct with two steps a token, RWKV-7.
 *
 * @module
 */
import type { DeltaBackwardOptions } from "../../kernels/delta/backward.ts";
import { type DeltaOptions, forwardTile, planDeltaForward } from "../../kernels/delta/forward.ts";
import { dotRoundings } from "../../kernels/delta/rounding.ts";
import { deltaRule } from "../../kernels/delta/rule.ts";
import type { Gpu } from "../../kernels/device.ts";
import { runPlans } from "../../kernels/plan.ts";
import { type DType, Tensor } from "../../kernels/tensor.ts";
import type { AnyAffineModel } from "../../models/affine.ts";
import { deltaNet } from "../../models/delta_net.ts";
import { deltaProduct } from "../../models/delta_product.ts";
import { gatedDeltaNet } from "../../models/gated_delta_net.ts";
import { kda } from "../../models/kda.ts";
import { rwkv7 } from "../../models/rwkv7.ts";
import { prepareGradients } from "./_delta_gradients.ts";
import { chunkOf, inputsOf, sequenceOf } from "./_delta_inputs.ts";
import { deltaTruth } from "./_delta_truth.ts";
import { lineError, worstError } from "./errors.ts";
import type { FusedLine, LineError, LineShape, Prepared, Variant } from "./line.ts";

async function prepare(
  gpu: Gpu,
  model: AnyAffineModel,
  dtype: DType,
  { B = 1, T = 1, H = 1, K = 1, V = 1 }: LineShape,
  options: DeltaOptions,
): Promise<Prepared> {
  const dims = { B, T, H, K, V };
  const inputs = await inputsOf(gpu, model, dims, dtype);
  const outputs = Tensor.empty(gpu, [B, T, H, V], { dtype, label: "outputs" });
  const finalState = Tensor.empty(gpu, [B, H, K, V], { label: "final state" });
  const plan = await planDeltaForward(gpu, model, { inputs, outputs, finalState }, options);
  const rule = deltaRule(model);
  const chunk = chunkOf(rule);
  const tile = forwardTile(gpu, model, { inputs, outputs }, { ...options, chunk });

  /** The first and the last sequence, from their own states in a second run of the same arithmetic. */
  async function check(): Promise<LineError> {
    const sampled = [[0, 0], [B - 1, H - 1]] as const;
    const chunkStates = Tensor.empty(gpu, [B, Math.ceil(T / chunk), H, K, V], { label: "states" });
    const again = Tensor.empty(gpu, [B, T, H, V], { dtype, label: "outputs again" });
    const second = await planDeltaForward(gpu, model, { inputs, outputs: again, finalState, chunkStates }, {
      ...options,
      chunk,
    });
    try {
      await runPlans(gpu, "states", [second]);
      const errors: LineError[] = [];
      for (const [b, h] of sampled) {
        const numbers: Record<string, Float32Array> = {};
        for (const [name, tensor] of Object.entries(inputs)) numbers[name] = await sequenceOf(gpu, tensor, b, h);
        const got = await sequenceOf(gpu, outputs, b, h);
        const { truth, allowed } = deltaTruth({
          rule,
          T,
          K,
          V,
          inputs: numbers,
          states: await sequenceOf(gpu, chunkStates, b, h),
          chunk,
          outputs: got,
          dot: dotRoundings(tile),
          stored: dtype === "f16" ? 2 ** -11 : 0,
        });
        const error = lineError(got, truth, 0);
        const scale = Math.sqrt(truth.reduce((sum, x) => sum + x * x, 0) / truth.length) || 1;
        errors.push({ ...error, allowed: allowed / scale });
      }
      return worstError(errors);
    } finally {
      second.release();
      chunkStates.destroy();
      again.destroy();
    }
  }

  return {
    plans: [plan],
    tokens: B * T * H,
    check,
    release() {
      plan.release();
      for (const tensor of [...Object.values(inputs), outputs, finalState]) tensor.destroy();
    },
  };
}

const named = (options: Record<string, unknown>): string =>
  Object.entries(options).map(([name, value]) =>
    `${name} ${typeof value === "object" ? Object.entries(value as object).flat().join(" ") : value}`
  ).join(", ") || "default";

const shapes: readonly LineShape[] = [{ B: 8, T: 4096, H: 16, K: 64, V: 64 }, { B: 4, T: 4096, H: 8, K: 128, V: 128 }];
const small: LineShape = { B: 1, T: 100, H: 2, K: 16, V: 16 };

const tilings: readonly DeltaOptions[] = [
  {},
  ...[32, 64, 256].map((threads) => ({ threads })),
  ...[8, 32].map((block) => ({ block })),
  { rows: 4 },
  { rows: 16 },
  { rows: 16, columns: 2 },
  { rows: 8, columns: 2 },
  { rows: 8, columns: 2, threads: 256 },
  { rows: 16, columns: 2, threads: 64 },
  { rows: 32, columns: 1 },
  { subgroups: false },
  { interleaved: 2 },
  { unroll: 8 },
  { unroll: 4 },
  { unroll: 2 },
];

/** Where a token takes several steps: how long a loop's body is, and a block. */
const microTilings: readonly DeltaOptions[] = [
  { unroll: 8, block: 8 },
  { unroll: 1 },
];

function forwardLine(model: AnyAffineModel, dtype: DType, tilings: readonly DeltaOptions[]): FusedLine {
  return {
    name: `${model.name} chunk forward`,
    dtype,
    shapes,
    small,
    variants: tilings.map((options): Variant => ({
      name: named({ ...options }),
      options: { ...options } as Variant["options"],
    })),
    prepare: (gpu, shape, { options }) => prepare(gpu, model, dtype, shape, options as DeltaOptions),
  };
}

/** Tunings of the local pass (the serial one is as the forward run), as flat options. */
const localTilings: readonly Variant["options"][] = [
  {},
  { threads: 128 },
  { threads: 512 },
  { rows: 8, columns: 1 },
  { rows: 4, columns: 1 },
  { rows: 8, columns: 2 },
  { rows: 4, columns: 4 },
  { chunk: 32 },
  { chunk: 128 },
];

function gradientLine(model: AnyAffineModel, dtype: DType): FusedLine {
  return {
    name: `${model.name} chunk forward+backward`,
    dtype,
    shapes,
    small,
    variants: localTilings.map((options) => ({ name: named(options), options })),
    prepare(gpu, shape, { options: { chunk, ...local } }) {
      const options = { ...(chunk === undefined ? {} : { chunk }), local } as DeltaBackwardOptions;
      return prepareGradients(gpu, model, dtype, shape, options);
    },
  };
}

export const deltaLines: readonly FusedLine[] = [
  ...[deltaNet, gatedDeltaNet, kda].flatMap((model) => [
    forwardLine(model, "f32", tilings),
    forwardLine(model, "f16", tilings),
    gradientLine(model, "f32"),
    gradientLine(model, "f16"),
  ]),
  ...(["f32", "f16"] as const).map((dtype) => forwardLine(deltaProduct, dtype, [...tilings, ...microTilings])),
  ...(["f32", "f16"] as const).map((dtype) => forwardLine(rwkv7, dtype, tilings)),
];
