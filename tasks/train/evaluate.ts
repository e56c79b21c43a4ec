/**
 * How well a network predicts, at one length.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { Predictions, TokenBatch, TrainingSession } from "../../models/networks/training.ts";
import type { Split, Task } from "../task.ts";

export interface EvaluationOptions {
  readonly seed: number;
  readonly split: Split;
  /** Tokens of a sequence. */
  readonly length: number;
  /** How many of them. */
  readonly sequences: number;
  /** Most sequences at a time. */
  readonly batch: number;
  /** Tokens of a chunk, for {@linkcode Evaluation.insideLoss}. */
  readonly chunk?: number;
}

/** Means over all that was to be predicted. */
export interface Evaluation {
  readonly length: number;
  readonly sequences: number;
  /** In nats. */
  readonly loss: number;
  /** Share of predictions that are wrong. */
  readonly error: number;
  /** The loss without the first token of every chunk, which some report: it is harder than the others. */
  readonly insideLoss?: number;
}

/** Most tokens predicted at a time: long sequences go in smaller batches. */
const TOKENS = 1 << 14;

/** Evaluates on the first sequences of a split. Throws an {@link InputError} where the task has none of this length. */
export async function evaluate(session: TrainingSession, task: Task, options: EvaluationOptions): Promise<Evaluation> {
  const { seed, split, length: n, sequences, batch, chunk } = options;
  const refused = task.refusal(n, split);
  if (refused !== undefined) throw new InputError(`Cannot evaluate ${task.name}: ${refused}`);
  // Whole batches of one size, so that a device prepares for one shape; the last one may go beyond what was asked for.
  const B = Math.max(1, Math.min(batch, sequences, Math.floor(TOKENS / n)));
  const count = Math.ceil(sequences / B);
  let [weight, loss, wrong, insideWeight, inside] = [0, 0, 0, 0, 0];
  const asked = (index: number): { readonly batch: TokenBatch; readonly predictions: Promise<Predictions> } => {
    const batch = task.batch({ seed, split, index, B, n });
    const predictions = session.predict(batch);
    // Whoever waits hears of it.
    predictions.catch(() => {});
    return { batch, predictions };
  };
  let next = asked(0);
  for (let index = 0; index < count; index++) {
    const { batch: { targets, weights }, predictions } = next;
    // The device works on the next ones meanwhile.
    if (index + 1 < count) next = asked(index + 1);
    const { best, losses } = await predictions;
    weights.forEach((w, i) => {
      if (w === 0) return;
      weight += w;
      loss += w * losses[i]!;
      if (best[i] !== targets[i]) wrong += w;
      // The target of position t is the token at t + 1.
      if (chunk === undefined || (i % n + 1) % chunk === 0) return;
      insideWeight += w;
      inside += w * losses[i]!;
    });
  }
  return {
    length: n,
    sequences: count * B,
    loss: loss / weight,
    error: wrong / weight,
    ...(insideWeight > 0 && insideWeight < weight ? { insideLoss: inside / insideWeight } : {}),
  };
}
