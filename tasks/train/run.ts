/**
 * A training run: the loop with its log, its checkpoints, its end, and the evaluation that follows.
 *
 * @module
 */
import { join } from "node:path";
import type { TrainingSession } from "../../models/networks/training.ts";
import type { Task } from "../task.ts";
import { saveCheckpoint } from "./checkpoint.ts";
import { evaluate, type Evaluation } from "./evaluate.ts";
import { appendLog, cutLog, type EvaluationLine, type LogLine, type StepLine } from "./log.ts";
import { trainingSteps } from "./loop.ts";
import { chunkOf } from "./networks.ts";
import { type Position, start, totalSteps } from "./plan.ts";
import type { ModelSizes, Setup } from "./setup.ts";

export interface RunOptions {
  /** Where to go on; the session holds the state of that step. Default: the beginning. */
  readonly position?: Position;
  /** Where log and checkpoints are kept; nothing is without. */
  readonly folder?: string;
  readonly shardBytes?: number;
  /** Steps between checkpoints, of which the first is that of the beginning. Default: a minute. */
  readonly saveEvery?: number;
  /** Asked at every step, the first among them, perhaps twice: whether to stop, at that one or the next. */
  readonly stop?: () => boolean;
  /** `dawn: NVIDIA …` */
  readonly adapter?: string;
  /** What began the run, as it is typed. */
  readonly command?: string;
  readonly onLine?: (line: LogLine) => void;
  /** After every step, also those that make no line. */
  readonly onStep?: (line: StepLine, position: Position) => void;
}

export interface RunResult {
  /** Whether the plan was carried out to its end. */
  readonly finished: boolean;
  readonly step: number;
  /** On the test split, if finished. */
  readonly evaluations: readonly Evaluation[];
}

const MINUTE = 60_000;
/** Lines of a log, about: all steps of a short run, one in several of a long one. */
const LINES = 2000;

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

/** `d=256 heads=4 layers=4 agg=1 chunk=64`, ` dropout=0.1` where anything is dropped, ` tied` of a tied head. */
const shapeOf = ({ d, heads, layers, aggLayers, chunk, dropout, tied }: ModelSizes): string =>
  [
    `d=${d} heads=${heads} layers=${layers} agg=${aggLayers} chunk=${chunk}`,
    ...(dropout === 0 ? [] : [`dropout=${dropout}`]),
    ...(tied === true ? ["tied"] : []),
  ].join(" ");

/** The log of a run's folder. */
export const logOf = (folder: string): string => join(folder, "log.jsonl");

/**
 * Trains from where the session is. Throws a `DivergedError` at a loss that is no number; the last checkpoint then stays as
 * it is.
 */
export async function runTraining(
  session: TrainingSession,
  task: Task,
  setup: Setup,
  options: RunOptions = {},
): Promise<RunResult> {
  const { plan, seed } = setup;
  const { folder, position: from = start, saveEvery, stop, onLine, onStep } = options;
  const chunk = chunkOf(setup.model);
  const common = {
    task: task.name,
    model: setup.model.name,
    preset: setup.preset,
    seed,
    ...(chunk === undefined ? {} : { chunk }),
  };
  if (folder !== undefined) cutLog(logOf(folder), session.steps);
  const say = (line: LogLine): void => {
    if (folder !== undefined) appendLog(logOf(folder), line);
    onLine?.(line);
  };
  say({
    kind: "begin",
    step: session.steps,
    ...(options.position === undefined ? {} : { goesOn: true }),
    ...common,
    size: session.size,
    batch: plan.batch,
    rate: plan.rate,
    schedule: plan.schedule.kind,
    steps: totalSteps(plan),
    evaluate: setup.evaluate,
    shape: shapeOf(setup.model.sizes),
    data: task.identity,
    ...(setup.products === undefined ? {} : { products: setup.products }),
    ...(setup.begunWith === undefined ? {} : { begunWith: setup.begunWith }),
    ...(task.bytesPerToken === undefined ? {} : { bytesPerToken: task.bytesPerToken }),
    adapter: options.adapter ?? "cpu",
    date: new Date().toISOString(),
    ...(options.command === undefined ? {} : { command: options.command }),
  });
  let position = from;
  let saved = performance.now();
  const save = async (): Promise<void> => {
    if (folder === undefined) return;
    const { steps, arrays } = await session.state();
    saveCheckpoint(
      folder,
      { steps, arrays, setup, task: task.identity, position },
      options.shardBytes === undefined ? {} : { shardBytes: options.shardBytes },
    );
    saved = performance.now();
  };
  const evaluated = (split: EvaluationLine["split"], step: number, found: Evaluation): void =>
    say({ kind: "evaluation", split, step, ...common, ...found });

  // A run that is killed before a minute is over can be resumed too.
  if (options.position === undefined) await save();
  const every = Math.max(1, Math.ceil(totalSteps(plan) / LINES));
  let rates: number[] = [];
  let [length, tokens] = [0, 0];
  let spent = 0;
  const saveDue = (step: number): boolean =>
    saveEvery === undefined ? performance.now() - saved > MINUTE : step % saveEvery === 0;
  const loop = trainingSteps(session, task, plan, {
    seed,
    position,
    ...(chunk === undefined ? {} : { chunk }),
    ahead: (step) => !saveDue(step) && stop?.() !== true,
  });
  for await (const { evaluation, position: next, seconds, settled, ...step } of loop) {
    // The first step of a length and a batch prepares the device for them.
    if (step.length === length && step.tokens === tokens) rates.push(step.tokens / seconds);
    [length, tokens] = [step.length, step.tokens];
    spent += seconds;
    const line: StepLine = {
      kind: "step",
      ...step,
      ms: 1000 * seconds,
      spent,
      tokensPerSecond: rates.length === 0 ? step.tokens / seconds : median(rates),
      peakBytes: session.bytes.peak,
    };
    position = next;
    if (step.step % every === 0) {
      say(line);
      rates = [];
      spent = 0;
    }
    onStep?.(line, position);
    if (evaluation !== undefined) evaluated("validation", step.step, evaluation);
    if (!settled) continue;
    if (saveDue(step.step)) await save();
    if (stop?.() === true) break;
  }
  await save();
  const finished = position.stage >= plan.stages.length;
  if (!finished) return { finished, step: session.steps, evaluations: [] };
  const evaluations: Evaluation[] = [];
  for (const n of setup.evaluate) {
    const found = await evaluate(session, task, {
      seed,
      split: "test",
      length: n,
      sequences: plan.sequences,
      batch: plan.batch,
      ...(chunk === undefined ? {} : { chunk }),
    });
    evaluations.push(found);
    evaluated("test", session.steps, found);
  }
  return { finished, step: session.steps, evaluations };
}
