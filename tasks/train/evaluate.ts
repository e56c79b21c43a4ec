/**
 * How well a network predicts, at one length.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { TrainingSession } from "../../models/networks/training.ts";
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
  for (let index = 0; index < count; index++) {
    const { targets, weights, tokens } = task.batch({ seed, split, index, B, n });
    const { best, losses } = await session.predict({ B, n, tokens, targets, weights });
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
