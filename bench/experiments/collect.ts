/**
 * Results of a run, from its log.
 *
 * @module
 */
import type { EvaluationLine } from "../../tasks/train/log.ts";
import { grouped } from "../grouped.ts";
import { quantile } from "../measure.ts";
import type { LoggedRun } from "./logged_run.ts";
import type { CostLine, ResultLine, RunFacts } from "./result.ts";

function facts({ begin }: LoggedRun): RunFacts {
  const { task, model, preset, chunk, shape, size, seed, rate, batch, products, begunWith, adapter, date } = begin;
  return {
    task,
    model,
    preset,
    ...(chunk === undefined ? {} : { chunk }),
    shape,
    size,
    seed,
    rate,
    batch,
    ...(products === undefined ? {} : { products }),
    ...(begunWith === undefined ? {} : { begunWith }),
    adapter,
    date,
  };
}

/** The last evaluation on the test split at every length, of the network as it is now. */
function tests({ evaluations, step }: LoggedRun): readonly EvaluationLine[] {
  const own = evaluations.filter((line) => line.split === "test" && line.step === step);
  return [...new Map(own.map((line) => [line.length, line])).values()];
}

/** Why a run is not finished, in words; undefined if it is. */
export function unfinished(run: LoggedRun): string | undefined {
  const lengths = new Set(tests(run).map(({ length }) => length));
  if (lengths.size === 0) return `step ${run.step} of at most ${run.begin.steps}`;
  const missing = run.evaluate.filter((length) => !lengths.has(length));
  return missing.length === 0 ? undefined : `no evaluation at ${missing.join(", ")} tokens`;
}

/** Tokens and seconds of all steps. What a kill left without a line is taken for like the rest. */
function spent({ steps, step }: LoggedRun): { readonly tokens: number; readonly seconds: number } {
  const sum = (of: (line: LoggedRun["steps"][number]) => number): number =>
    steps.reduce((total, line) => total + of(line), 0);
  const known = sum(({ since }) => since);
  const all = known === 0 ? 0 : step / known;
  return {
    tokens: Math.round(all * sum(({ since, tokens }) => since * tokens)),
    seconds: all * sum(({ spent }) => spent),
  };
}

/**
 * A line for every test evaluation. Of an unfinished run those there are, else the last evaluation on the validation split,
 * all marked; none if there is neither.
 */
export function resultsOf(run: LoggedRun): readonly ResultLine[] {
  const validation = run.evaluations.findLast(({ split }) => split === "validation");
  if (validation === undefined) return [];
  const { begin, steps, step } = run;
  const { tokens, seconds } = spent(run);
  const tested = tests(run);
  return (tested.length === 0 ? [validation] : tested).map((line): ResultLine => {
    const { length, sequences, loss, insideLoss, error } = line;
    return {
      kind: "result",
      ...facts(run),
      length,
      sequences,
      loss,
      ...(insideLoss === undefined ? {} : { insideLoss }),
      error,
      validationLoss: validation.loss,
      schedule: begin.schedule,
      steps: step,
      planned: begin.steps,
      trainedTo: Math.max(validation.length, ...steps.map(({ length }) => length)),
      tokens,
      trainSeconds: Number(seconds.toPrecision(6)),
      data: begin.data,
      ...(begin.bytesPerToken === undefined ? {} : { bytesPerToken: begin.bytesPerToken }),
      ...(begin.command === undefined ? {} : { command: begin.command }),
      ...(unfinished(run) === undefined ? {} : { finished: false }),
    };
  });
}

/** A line for every length that was trained on, and batch at it, of steps after the first, which prepares the device. */
export function costsOf(run: LoggedRun): readonly CostLine[] {
  const timed = run.steps.filter(({ first }) => !first);
  const lengths = [...grouped(timed, ({ length, tokens }) => `${length} ${tokens}`).values()];
  return lengths.map((of): CostLine => {
    const { length, tokens } = of[0]!;
    const sequences = tokens / length;
    const msPerStep = quantile(of.map(({ ms }) => ms), 0.5);
    return {
      kind: "cost",
      ...facts(run),
      length,
      ...(sequences === run.begin.batch ? {} : { stageBatch: sequences }),
      msPerStep,
      tokensPerSecond: 1000 * tokens / msPerStep,
      peakBytes: Math.max(...of.map(({ peakBytes }) => peakBytes)),
      samples: of.length,
    };
  }).sort((a, b) => a.length - b.length);
}
