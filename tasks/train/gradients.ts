/**
 * The gradients of a run's first batch with its initial parameters, as a file that another implementation can be held to
 * (bench/torch_psm.py).
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { NamedArrays, TokenBatch, TrainingSession } from "../../models/networks/training.ts";
import type { Task } from "../task.ts";
import type { StoredArray, StoredArrays } from "./safetensors.ts";
import { batchIn, lengthAt } from "./plan.ts";
import type { Setup } from "./setup.ts";

/** β₁ with which the first moment after one step is half the gradient, exactly. */
const HALF = 0.5;

/** The setup under which one step at rate 0 shows the gradient: nothing is clipped, nothing changes. */
export function revealing(setup: Setup): Setup {
  return {
    ...setup,
    model: { ...setup.model, sizes: { ...setup.model.sizes, dropout: 0 } },
    optimiser: { ...setup.optimiser, beta1: HALF, clip: 1e30 },
  };
}

/** What is in the file. */
export interface GradientFile {
  readonly arrays: StoredArrays;
  readonly metadata: { readonly [key: string]: string };
}

const ids = (values: ArrayLike<number>, { B, n }: TokenBatch): StoredArray => ({
  shape: [B, n],
  data: Uint32Array.from(values),
});

function renamed(arrays: NamedArrays, from: string, to: string, factor: number): StoredArrays {
  return Object.fromEntries(
    Object.entries(arrays).filter(([name]) => name.startsWith(`${from}.`)).map(([name, { shape, data }]) => [
      `${to}.${name.slice(from.length + 1)}`,
      { shape, data: data.map((x) => factor * x) },
    ]),
  );
}

/** Parameters, first batch, gradients and loss; the session must be of {@link revealing}, at its beginning. */
export async function firstGradients(session: TrainingSession, task: Task, setup: Setup): Promise<GradientFile> {
  const { plan, seed, model } = setup;
  const stage = plan.stages.at(-1)!;
  const [B, n] = [batchIn(plan, stage), lengthAt(stage, seed, 0)];
  const batch = task.batch({ seed, split: "train", index: 0, B, n });
  const { loss, gradientNorm } = await session.step(batch, 0);
  if (!Number.isFinite(gradientNorm)) throw new InputError(`Cannot write gradients: they must be finite, got ${loss}`);
  const { arrays } = await session.state();
  return {
    arrays: {
      ...renamed(arrays, "parameter", "parameter", 1),
      ...renamed(arrays, "first", "gradient", 1 / (1 - HALF)),
      tokens: ids(batch.tokens, batch),
      targets: ids(batch.targets, batch),
      weights: { shape: [B, n], data: batch.weights },
    },
    metadata: {
      network: model.name,
      sizes: JSON.stringify({ ...model.sizes, vocabulary: task.vocabulary }),
      loss: String(loss),
      gradientNorm: String(gradientNorm),
    },
  };
}
