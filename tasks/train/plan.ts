/**
 * What a training run does, as plain data: with a seed, all that its trajectory depends on.
 *
 * @module
 */
import { seeded } from "../../models/random.ts";
import type { Schedule } from "./schedule.ts";

/** Steps on sequences of some lengths. A curriculum is stages of growing lengths, each going on from the one before. */
export interface Stage {
  /** Shortest and longest; every batch has one length, drawn uniformly. */
  readonly from: number;
  readonly to: number;
  /** Sequences of a batch; default the plan's. */
  readonly batch?: number;
  /** Most steps. */
  readonly steps: number;
  /** Ends the stage when the validation loss at `to` falls below it. */
  readonly stop?: number;
  /** Share of the schedule's rate; default 1. */
  readonly share?: number;
  /** How often each thing is asked for, of a task that asks (tasks/task.ts); the evaluations ask once. Default 1. */
  readonly asked?: number;
  /** Whether the network's dropout drops anything; default true. */
  readonly dropout?: boolean;
}

export interface TrainingPlan {
  /** Sequences of a batch, in stages that do not say their own. */
  readonly batch: number;
  readonly stages: readonly Stage[];
  /** The schedule's peak. */
  readonly rate: number;
  readonly schedule: Schedule;
  /** Steps between evaluations on the validation split, counted from the stage's first. */
  readonly evaluateEvery: number;
  /** Sequences of an evaluation. */
  readonly sequences: number;
}

/** Where a run is: which stage, and the step that was its first. After the last stage it is done. */
export interface Position {
  readonly stage: number;
  readonly begun: number;
}

export const start: Position = { stage: 0, begun: 0 };

/** Most steps of all stages. */
export function totalSteps({ stages }: TrainingPlan): number {
  return stages.reduce((sum, { steps }) => sum + steps, 0);
}

/** Sequences of a batch in a stage. */
export function batchIn({ batch }: TrainingPlan, stage: Stage): number {
  return stage.batch ?? batch;
}

/** Steps that may follow, at most. */
export function stepsLeft({ stages }: TrainingPlan, { stage, begun }: Position, step: number): number {
  return stages.slice(stage).reduce((sum, { steps }) => sum + steps, 0) - (stage < stages.length ? step - begun : 0);
}

/** The length of batch `step`. */
export function lengthAt({ from, to }: Stage, seed: number, step: number): number {
  return from === to ? from : from + Math.floor(seeded(seed, "length", step)() * (to - from + 1));
}

/** Where a run is after step number `step − 1`; `loss` is that of the evaluation just made, if one was due. */
export function advanced(
  { stages }: TrainingPlan,
  position: Position,
  step: number,
  loss: number | undefined,
): Position {
  const stage = stages[position.stage]!;
  const learnt = stage.stop !== undefined && loss !== undefined && loss < stage.stop;
  return learnt || step - position.begun >= stage.steps ? { stage: position.stage + 1, begun: step } : position;
}

/** Whether an evaluation is due after step number `step − 1`: every so many of the stage's steps, and after its last. */
export function evaluationDue(
  { evaluateEvery, stages }: TrainingPlan,
  { stage, begun }: Position,
  step: number,
): boolean {
  return (step - begun) % evaluateEvery === 0 || step - begun === stages[stage]!.steps;
}
