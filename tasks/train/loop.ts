/**
 * The training loop. After every step it hands over where it is; whoever takes that, if it is settled, may stop there, save
 * the session's state and the position, and later go on as if nothing had been: batches, lengths and rates depend on the
 * number of the step alone.
 *
 * If it may, it runs ahead: a step is called before the result of the one before is known, so that the host prepares a step
 * while the device computes. Not where an evaluation comes between them, which may end the stage.
 *
 * @module
 */
import type { StepResult, TrainingSession } from "../../models/networks/training.ts";
import type { Task } from "../task.ts";
import { evaluate, type Evaluation } from "./evaluate.ts";
import { advanced, batchIn, evaluationDue, lengthAt, type Position, totalSteps, type TrainingPlan } from "./plan.ts";
import { rateAt } from "./schedule.ts";

/** One step, and what followed from it. */
export interface TrainingStep {
  /** Steps taken, this one included. */
  readonly step: number;
  readonly stage: number;
  readonly length: number;
  readonly rate: number;
  /** Before the step. */
  readonly loss: number;
  readonly gradientNorm: number;
  /** Tokens of the batch. */
  readonly tokens: number;
  /**
   * Seconds from the end of the step before to the end of this one: what a user waits for a step. After an evaluation, or
   * anything else that let the device come to rest, from the step's own beginning.
   */
  readonly seconds: number;
  /** On the validation split, at the stage's longest length, if one was due. */
  readonly evaluation?: Evaluation;
  /** Where the run goes on. */
  readonly position: Position;
  /** Whether the session is where this step left it: no later one is on its way. */
  readonly settled: boolean;
}

/** A step whose loss or gradient was no number. The session is as it was before that step. */
export class DivergedError extends Error {
  override readonly name = "DivergedError";
}

export interface LoopOptions {
  readonly seed: number;
  /** Where the session's state was saved. */
  readonly position: Position;
  /** Tokens of the network's chunks, for the evaluation. */
  readonly chunk?: number;
  /**
   * Asked while step number `step` (counted from 1) is on its way: whether the one behind it may be called already. One who
   * wants to save or stop says no, and does so at the next settled step. Default: never.
   */
  readonly ahead?: (step: number) => boolean;
}

/** A step that was called. */
interface Called {
  /** Steps taken once it is, this one included. */
  readonly step: number;
  readonly length: number;
  readonly rate: number;
  readonly tokens: number;
  readonly began: number;
  readonly ended: Promise<StepResult & { readonly at: number }>;
}

/**
 * Steps from a position to the plan's end. Throws a {@link DivergedError} at a step that could not be taken. When it ends, or
 * is left, no step is on its way.
 */
export async function* trainingSteps(
  session: TrainingSession,
  task: Task,
  plan: TrainingPlan,
  { seed, position: from, chunk, ahead = () => false }: LoopOptions,
): AsyncGenerator<TrainingStep> {
  const total = totalSteps(plan);
  let position = from;
  let called = session.steps;
  const call = (options: { readonly ahead: boolean }): Called => {
    const began = performance.now();
    const index = called++;
    const stage = plan.stages[position.stage]!;
    const length = lengthAt(stage, seed, index);
    const rate = (stage.share ?? 1) * rateAt(plan.schedule, plan.rate, index, total);
    const { asked = 1 } = stage;
    const batch = task.batch({ seed, split: "train", index, B: batchIn(plan, stage), n: length, asked });
    const ended = session.step(batch, rate, { ...options, dropout: stage.dropout ?? true }).then((result) => ({
      ...result,
      at: performance.now(),
    }));
    // Whoever waits hears of it.
    ended.catch(() => {});
    return { step: index + 1, length, rate, tokens: batch.tokens.length, began, ended };
  };
  let next: Called | undefined;
  let last = -Infinity;
  try {
    while (position.stage < plan.stages.length) {
      const { step, length, rate, tokens, began, ended }: Called = next ?? call({ ahead: false });
      const due = evaluationDue(plan, position, step);
      next = !due && ahead(step) ? call({ ahead: true }) : undefined;
      const { loss, gradientNorm, at } = await ended;
      if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
        throw new DivergedError(
          `Stopped before step ${step}: loss and gradient must be finite, got ${loss} and ${gradientNorm} at rate ${rate}`,
        );
      }
      const seconds = (at - Math.max(began, last)) / 1000;
      last = at;
      const stage = plan.stages[position.stage]!;
      const evaluation = due
        ? await evaluate(session, task, {
          seed,
          split: "validation",
          length: stage.to,
          sequences: plan.sequences,
          batch: batchIn(plan, stage),
          ...(chunk === undefined ? {} : { chunk }),
        })
        : undefined;
      const reached = position.stage;
      position = advanced(plan, position, step, evaluation?.loss);
      yield {
        step,
        stage: reached,
        length,
        rate,
        loss,
        gradientNorm,
        tokens,
        seconds,
        ...(evaluation === undefined ? {} : { evaluation }),
        position,
        settled: next === undefined,
      };
    }
  } finally {
    await next?.ended.catch(() => {});
  }
}
