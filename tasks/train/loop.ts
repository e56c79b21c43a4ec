/**
 * The training loop. After every step it hands over where it is; whoever takes that may stop there, save the session's
 * state and the position, and later go on as if nothing had been: batches, lengths and rates depend on the number of the
 * step alone.
 *
 * @module
 */
import type { TrainingSession } from "../../models/networks/training.ts";
import type { Task } from "../task.ts";
import { evaluate, type Evaluation } from "./evaluate.ts";
import { advanced, evaluationDue, lengthAt, type Position, totalSteps, type TrainingPlan } from "./plan.ts";
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
  /** Seconds that the step took, without its evaluation. */
  readonly seconds: number;
  /** On the validation split, at the stage's longest length, if one was due. */
  readonly evaluation?: Evaluation;
  /** Where the run goes on. */
  readonly position: Position;
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
}

/** Steps from a position to the plan's end. Throws a {@link DivergedError} at a step that could not be taken. */
export async function* trainingSteps(
  session: TrainingSession,
  task: Task,
  plan: TrainingPlan,
  { seed, position: from, chunk }: LoopOptions,
): AsyncGenerator<TrainingStep> {
  const total = totalSteps(plan);
  let position = from;
  while (position.stage < plan.stages.length) {
    const stage = plan.stages[position.stage]!;
    const index = session.steps;
    const length = lengthAt(stage, seed, index);
    const rate = rateAt(plan.schedule, plan.rate, index, total);
    const batch = task.batch({ seed, split: "train", index, B: plan.batch, n: length });
    const began = performance.now();
    const { loss, gradientNorm } = await session.step(batch, rate);
    const seconds = (performance.now() - began) / 1000;
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      throw new DivergedError(
        `Stopped before step ${
          index + 1
        }: loss and gradient must be finite, got ${loss} and ${gradientNorm} at rate ${rate}`,
      );
    }
    const step = index + 1;
    const evaluation = evaluationDue(plan, position, step)
      ? await evaluate(session, task, {
        seed,
        split: "validation",
        length: stage.to,
        sequences: plan.sequences,
        batch: plan.batch,
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
      tokens: batch.tokens.length,
      seconds,
      ...(evaluation === undefined ? {} : { evaluation }),
      position,
    };
  }
}
