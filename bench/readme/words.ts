/**
 * Words in a group: the share of wrong predictions by length.
 *
 * @module
 */
import { bestRuns } from "../experiments/best.ts";
import type { ResultLine } from "../experiments/result.ts";
import { experimentOf, experiments, networkName, networks } from "../experiments/setting.ts";
import { mean } from "../mean.ts";
import { type Curve, plot } from "../plot.ts";
import { markdown, number, percents, spread } from "./markdown.ts";
import type { Made } from "./section.ts";
import {
  adapters,
  cutOff,
  HOW,
  NOT_MEASURED,
  plotName,
  results,
  shownPlot,
  trainedCells,
  trainedColumns,
} from "./trained.ts";

/** Columns, where anything was measured at them. */
const LENGTHS: readonly number[] = [18, 36, 60, 100, 140, 180, 256, 512, 1024];

/** Tasks that have sections of their own. */
const others: readonly string[] = ["mqar", "text"];

/** Errors at a length, one of each seed. */
const errorsAt = (lines: readonly ResultLine[], length: number): readonly number[] =>
  lines.filter((line) => line.length === length).map(({ error }) => error);

/** A table and a plot of every experiment. */
export function words(folder: string): Made {
  const plots: [string, string][] = [];
  const blocks = experiments(results(folder).filter(({ task }) => !others.includes(task))).map((lines) => {
    const all = networks(lines).map(bestRuns);
    const chosen = all.flatMap((best) => best.lines);
    const measured = [...new Set(chosen.map(({ length }) => length))].sort((a, b) => a - b);
    const columns = LENGTHS.filter((length) => measured.includes(length));
    const lengths = columns.length === 0 ? measured : columns;
    const { preset, data } = lines[0]!;
    const title = `${data} (${experimentOf(preset)})`;
    const curves = all.map((best, colour): Curve => ({
      name: networkName(best.lines[0]!),
      points: measured.map((length) => [length, errorsAt(best.lines, length)] as const)
        .filter(([, errors]) => errors.length > 0).map(([length, errors]) => [length, mean(errors)]),
      colour,
      pattern: 0,
    }));
    const axes = { title: `${title}: error against length`, x: "tokens", y: "share of wrong predictions" };
    const name = plotName(experimentOf(preset), plots.map(([name]) => name));
    plots.push([name, plot(axes, curves, { x: "log2", y: "linear" })]);
    return [
      `${title}, trained on words of at most ${Math.max(...chosen.map(({ trainedTo }) => trainedTo))} tokens, on ${
        adapters(chosen)
      }. Wrong predictions in per cent of all tokens of ${
        Math.min(...chosen.map(({ sequences }) => sequences)).toLocaleString("en-GB")
      } words, by their length; ${HOW}.`,
      "",
      markdown([...trainedColumns, ...lengths.map((length) => number(`${length}`))], [
        ...all.map((best) => [
          ...trainedCells(best),
          ...lengths.map((length) => spread(errorsAt(best.lines, length), percents)),
        ]),
      ]),
      ...cutOff(networks(lines)),
      "",
      shownPlot(`error against length, ${title}`, name),
    ].join("\n");
  });
  return { text: blocks.length === 0 ? NOT_MEASURED : blocks.join("\n\n"), plots };
}
