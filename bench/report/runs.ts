/**
 * Training runs of a report, from the lines of their logs or from what was collected of them.
 *
 * @module
 */
import type { BeginLine, EvaluationLine, StepLine } from "../../tasks/train/log.ts";
import type { Fields } from "../experiments/fields.ts";
import { costLine, resultLine, type RunFacts, runKey } from "../experiments/result.ts";
import { networkName } from "../experiments/setting.ts";
import { grouped } from "../grouped.ts";
import { quantile } from "../measure.ts";
import type { ReportLine } from "./lines.ts";

/** A run: what it began with, and its lines. */
export interface Run {
  readonly name: string;
  readonly begin:
    & Pick<BeginLine, "task" | "model" | "preset" | "seed" | "size" | "batch" | "adapter">
    // Logs once were without.
    & { readonly rate?: number };
  readonly steps: readonly StepLine[];
  readonly evaluations: readonly EvaluationLine[];
  readonly speeds: readonly Speed[];
}

/** Of training at one length. */
export interface Speed {
  readonly length: number;
  /** Sequences of a batch. */
  readonly batch: number;
  /** Tokens a second. */
  readonly rate: number;
  /** Bytes at most. */
  readonly peak: number;
}

function speedsOf(steps: readonly StepLine[]): readonly Speed[] {
  const lengths = [...grouped(steps, ({ length, tokens }) => `${length} ${tokens}`).values()]
    .sort(([a], [b]) => a!.length - b!.length);
  return lengths.map((some) => ({
    length: some[0]!.length,
    batch: some[0]!.tokens / some[0]!.length,
    rate: quantile(some.map(({ tokensPerSecond }) => tokensPerSecond), 0.5),
    peak: Math.max(...some.map(({ peakBytes }) => peakBytes)),
  }));
}

/** Runs by their logs, each of one folder; and how each began. */
function loggedRuns(lines: readonly ReportLine[]): readonly (Run & { readonly begin: BeginLine })[] {
  return [...grouped(lines, ({ source }) => source)].flatMap(([source, of]) => {
    const objects = of.map(({ object }) => object);
    const begin = objects.find(({ kind }) => kind === "begin") as unknown as BeginLine | undefined;
    if (begin === undefined) return [];
    const kind = <L>(wanted: string): L[] => objects.filter((object) => object["kind"] === wanted) as unknown as L[];
    const steps = kind<StepLine>("step");
    return [{
      name: `${source}: ${begin.model}`,
      begin,
      steps,
      evaluations: kind<EvaluationLine>("evaluation"),
      speeds: speedsOf(steps),
    }];
  });
}

/** Runs by the lines that were collected of them. */
function collectedRuns(lines: readonly ReportLine[]): readonly (Run & { readonly begin: RunFacts })[] {
  const of = <L>(read: (what: string, object: Fields) => L | undefined): L[] =>
    lines.map(({ source, object }) => read(`Cannot report on ${source}`, object)).filter((line) => line !== undefined);
  const costs = grouped(of(costLine), runKey);
  const runs = grouped<RunFacts>([...of(resultLine), ...of(costLine)], runKey);
  const results = grouped(of(resultLine), runKey);
  return [...runs].map(([key, [begin]]) => ({
    name: `${networkName(begin!)}, rate ${begin!.rate}, seed ${begin!.seed} (${begin!.preset})`,
    begin: begin!,
    steps: [],
    evaluations: (results.get(key) ?? []).map((line) => ({
      ...line,
      kind: "evaluation",
      // Of a run that was not finished, what there is.
      split: "test",
      step: line.steps,
    })),
    speeds: (costs.get(key) ?? []).map(({ length, stageBatch, batch, tokensPerSecond, peakBytes }) => ({
      length,
      batch: stageBatch ?? batch,
      rate: tokensPerSecond,
      peak: peakBytes,
    })),
  }));
}

/** All runs; one whose log is there is not taken from what was collected of it again. */
export function runsOf(lines: readonly ReportLine[]): readonly Run[] {
  const logged = loggedRuns(lines);
  const known = new Set(logged.map(({ begin }) => runKey(begin)));
  return [...logged, ...collectedRuns(lines).filter(({ begin }) => !known.has(runKey(begin)))];
}
