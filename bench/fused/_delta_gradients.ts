/** The delta rule forward and backward, made ready for timing. */
import { type DeltaBackwardOptions, planDeltaBackward } from "../../kernels/delta/backward.ts";
import { planDeltaForward } from "../../kernels/delta/forward.ts";
import { deltaRule } from "../../kernels/delta/rule.ts";
import type { Gpu } from "../../kernels/device.ts";
import { runPlans } from "../../kernels/plan.ts";
import { type DType, Tensor } from "../../kernels/tensor.ts";
import type { AnyAffineModel } from "../../models/affine.ts";
import { gradientTruth } from "./_delta_gradient_truth.ts";
import { CHUNK, inputsOf, sequenceOf } from "./_delta_inputs.ts";
import { lineError, worstError } from "./errors.ts";
import type { LineError, LineShape, Prepared } from "./line.ts";
import { randomTensor } from "./random.ts";

/** Forward and backward from inputs and the outputs' cotangent; gradients are f32. */
export async function prepareGradients(
  gpu: Gpu,
  model: AnyAffineModel,
  dtype: DType,
  { B = 1, T = 1, H = 1, K = 1, V = 1 }: LineShape,
  options: DeltaBackwardOptions,
): Promise<Prepared> {
  const dims = { B, T, H, K, V };
  const rule = deltaRule(model);
  const { chunk = CHUNK } = options;
  const inputs = await inputsOf(gpu, model, dims, dtype);
  const cotangent = await randomTensor(gpu, [B, T, H, V], { seed: 77, low: -1, high: 1, dtype });
  const empty = (shape: readonly number[], label: string): Tensor => Tensor.empty(gpu, shape, { label });
  const outputs = Tensor.empty(gpu, [B, T, H, V], { dtype, label: "outputs" });
  const finalState = empty([B, H, K, V], "final state");
  const initialState = empty([B, H, K, V], "gradient of the initial state");
  const chunkStates = empty([B, Math.ceil(T / chunk), H, K, V], "states");
  const solved = empty([B, T, H, V], "solved");
  const gradients = Object.fromEntries(
    Object.entries(inputs).map(([name, { shape }]) => [name, empty(shape, `gradient of ${name}`)]),
  );
  const backward = { inputs, outputs: cotangent, chunkStates, solved, gradients, initialState };
  const plans = [
    await planDeltaForward(gpu, model, { inputs, outputs, finalState, chunkStates, solved }, { chunk }),
    await planDeltaBackward(gpu, model, backward, options),
  ];

  async function check(): Promise<LineError> {
    const solvedCotangents = empty(solved.shape, "du");
    const chunkCotangents = empty(chunkStates.shape, "cotangents");
    const more = { ...backward, solvedCotangents, chunkCotangents };
    const again = await planDeltaBackward(gpu, model, more, options);
    try {
      await runPlans(gpu, "cotangents", [again]);
      const numbers = async (tensors: Record<string, Tensor>): Promise<Record<string, Float32Array>> => {
        const entries: [string, Float32Array][] = [];
        for (const [name, tensor] of Object.entries(tensors)) {
          entries.push([name, await sequenceOf(gpu, tensor, B - 1, H - 1)]);
        }
        return Object.fromEntries(entries);
      };
      const got = await numbers(gradients);
      const saved = await numbers({ states: chunkStates, cotangents: chunkCotangents, solved, du: solvedCotangents });
      const { truth, allowed } = gradientTruth({
        rule,
        T,
        K,
        V,
        chunk,
        inputs: await numbers({ ...inputs, do: cotangent }),
        states: saved.states!,
        cotangents: saved.cotangents!,
        solved: saved.solved!,
        du: saved.du!,
        gradients: got,
      });
      return worstError(
        Object.entries(got).map(([name, values]) => {
          const scale = Math.sqrt(truth[name]!.reduce((sum, x) => sum + x * x, 0) / values.length) || 1;
          return { ...lineError(values, truth[name]!, 0), allowed: allowed[name]! / scale };
        }),
      );
    } finally {
      again.release();
      solvedCotangents.destroy();
      chunkCotangents.destroy();
    }
  }

  return {
    plans,
    tokens: B * T * H,
    check,
    release() {
      for (const plan of plans) plan.release();
      const more = [cotangent, outputs, finalState, initialState, chunkStates, solved];
      for (const tensor of [...Object.values(inputs), ...Object.values(gradients), ...more]) tensor.destroy();
    },
  };
}
