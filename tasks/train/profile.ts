/**
 * Where the time of a training step goes, for `dualscan train --profile`.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { StepProfile, TrainingSession } from "../../models/networks/training.ts";
import type { Task } from "../task.ts";
import { batchIn, lengthAt } from "./plan.ts";
import type { Setup } from "./setup.ts";

/** Steps that are timed one behind the other, at least and at most, and for how long there may be more. */
const [LEAST, MOST, SECONDS] = [3, 200, 3];

/** A step of the plan's last stage, timed whole and in parts. */
export interface TimedStep extends StepProfile {
  readonly batch: number;
  /** Tokens of a sequence. */
  readonly length: number;
  /** From the end of one step to that of the next, on the host's clock: the median. */
  readonly millisecondsPerStep: number;
}

/**
 * Trains for some seconds, and then looks where they went. Throws an {@link InputError} where nothing is computed on a
 * device.
 */
export async function timedStep(
  session: TrainingSession,
  task: Task,
  { plan, seed, model }: Setup,
): Promise<TimedStep> {
  if (session.profile === undefined) {
    throw new InputError(`Cannot profile ${model.name}: it must be computed on a GPU, got a CPU`);
  }
  const stage = plan.stages.at(-1)!;
  const [B, n] = [batchIn(plan, stage), lengthAt(stage, seed, 0)];
  const batch = task.batch({ seed, split: "train", index: 0, B, n, asked: stage.asked ?? 1 });
  const step = () => session.step(batch, 0, { ahead: true });
  // Compiles.
  await session.step(batch, 0);
  const times: number[] = [];
  let next = step();
  let last = performance.now();
  const began = last;
  while (times.length < LEAST || times.length < MOST && performance.now() - began < 1000 * SECONDS) {
    const following = step();
    await next;
    next = following;
    const now = performance.now();
    times.push(now - last);
    last = now;
  }
  await next;
  const profile = await session.profile(batch);
  return { ...profile, batch: B, length: n, millisecondsPerStep: times.sort((a, b) => a - b)[times.length >> 1]! };
}
