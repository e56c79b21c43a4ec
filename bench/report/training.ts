/**
 * Sections on training runs, from the lines of their logs, or from what was collected of them.
 *
 * @module
 */
import type { EvaluationLine } from "../../tasks/train/log.ts";
import { experimentOf } from "../experiments/setting.ts";
import { grouped } from "../grouped.ts";
import type { ReportLine } from "./lines.ts";
import { type Run, runsOf } from "./runs.ts";
import { type NamedCurve, plotted, type Section } from "./section.ts";

/** Most points of a curve. */
const POINTS = 300;

/** Means over equal parts of a long curve. */
function thinned(points: readonly (readonly [number, number])[]): readonly (readonly [number, number])[] {
  const size = Math.ceil(points.length / POINTS);
  if (size <= 1) return points;
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => {
    const part = points.slice(i * size, (i + 1) * size);
    const mean = (axis: 0 | 1): number => part.reduce((sum, point) => sum + point[axis], 0) / part.length;
    return [mean(0), mean(1)] as const;
  });
}

function losses(task: string, runs: readonly Run[]): Section {
  const curves = runs.flatMap(({ name, steps, evaluations }): NamedCurve[] => {
    const validation = evaluations.filter(({ split }) => split === "validation");
    return [
      { name, hue: name, points: thinned(steps.map(({ step, loss }) => [step, loss])) },
      ...(validation.length === 0 ? [] : [{
        name: `${name}, validation`,
        hue: name,
        points: validation.map(({ step, loss }) => [step, loss] as const),
      }]),
    ];
  });
  return plotted(
    `${task}: loss while training`,
    { x: "steps", y: "loss, nats a token", along: "linear", up: "log10" },
    curves,
    {
      head: ["run", "preset", "seed", "parameters", "steps", "last loss", "last validation loss", "adapter"],
      rows: runs.map(({ name, begin, steps, evaluations }) => [
        name,
        begin.preset,
        begin.seed,
        begin.size,
        steps.at(-1)?.step ?? 0,
        steps.at(-1)?.loss ?? "–",
        evaluations.findLast(({ split }) => split === "validation")?.loss ?? "–",
        begin.adapter,
      ]),
    },
  );
}

/** The last evaluation at every length. */
function tested({ evaluations }: Run): readonly EvaluationLine[] {
  const last = new Map(evaluations.filter(({ split }) => split === "test").map((line) => [line.length, line]));
  return [...last.values()].sort((a, b) => a.length - b.length);
}

function errors(task: string, runs: readonly Run[]): Section {
  return plotted(
    `${task}: error against length`,
    { x: "tokens", y: "share of wrong predictions", along: "log2", up: "linear" },
    runs.map((run) => ({
      name: run.name,
      hue: run.name,
      points: tested(run).map(({ length, error }) => [length, error]),
    })),
    {
      head: ["run", "length", "error", "loss", "perplexity", "loss without first tokens of chunks"],
      rows: runs.flatMap((run) =>
        tested(run).map(({ length, error, loss, insideLoss }) => [
          run.name,
          length,
          error,
          loss,
          Math.exp(loss),
          insideLoss ?? "–",
        ])
      ),
    },
  );
}

/** Quality against the chunk, where runs of several chunks and else one setting were tested at the same length. */
function byChunk(task: string, runs: readonly Run[]): Section | undefined {
  const points = runs.flatMap((run) =>
    tested(run).flatMap((line) => {
      const { model, preset, seed, length, chunk } = line;
      const rate = run.begin.rate === undefined ? "" : `, rate ${run.begin.rate}`;
      const curve = `${model} (${experimentOf(preset)}${rate}, seed ${seed}), length ${length}`;
      return chunk === undefined ? [] : [{ ...line, chunk, curve }];
    })
  );
  const curves = [...grouped(points, ({ curve }) => curve)].flatMap(([name, of]) =>
    new Set(of.map(({ chunk }) => chunk)).size < 2
      ? []
      : [{ name, hue: name, of: [...of].sort((a, b) => a.chunk - b.chunk) }]
  );
  if (curves.length === 0) return undefined;
  return plotted(
    `${task}: quality against the chunk`,
    { x: "tokens of a chunk", y: "loss, nats a token", along: "log2", up: "linear" },
    curves.map(({ name, hue, of }) => ({ name, hue, points: of.map(({ chunk, loss }) => [chunk, loss]) })),
    {
      head: ["network, length", "chunk", "loss", "perplexity", "error", "seed"],
      rows: curves.flatMap(({ name, of }) =>
        of.map(({ chunk, loss, error, seed }) => [name, chunk, loss, Math.exp(loss), error, seed])
      ),
    },
  );
}

function speeds(task: string, runs: readonly Run[]): Section {
  return plotted(
    `${task}: speed of training`,
    { x: "tokens of a sequence", y: "tokens a second", along: "log2", up: "log10" },
    runs.map(({ name, speeds }) => ({ name, hue: name, points: speeds.map(({ length, rate }) => [length, rate]) })),
    {
      head: ["run", "batch", "length", "tokens a second", "bytes at most"],
      rows: runs.flatMap(({ name, speeds }) =>
        speeds.map(({ batch, length, rate, peak }) => [name, batch, length, rate, peak])
      ),
    },
  );
}

/** Losses, errors, quality by chunk, speeds: of every task. */
export function trainingSections(lines: readonly ReportLine[]): readonly Section[] {
  return [...grouped(runsOf(lines), ({ begin }) => begin.task)].flatMap(([task, runs]) => {
    const some = runs.filter(({ steps }) => steps.length > 0);
    const timed = runs.filter(({ speeds }) => speeds.length > 0);
    const evaluated = runs.filter((run) => tested(run).length > 0);
    return [
      ...(some.length === 0 ? [] : [losses(task, some)]),
      ...(evaluated.length === 0 ? [] : [errors(task, evaluated)]),
      ...[byChunk(task, evaluated)].filter((section) => section !== undefined),
      ...(timed.length === 0 ? [] : [speeds(task, timed)]),
    ];
  });
}
