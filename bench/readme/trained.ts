/**
 * What tables of trained networks have in common.
 *
 * @module
 */
import { type Best, cutOffRuns } from "../experiments/best.ts";
import { type ResultLine, resultLine } from "../experiments/result.ts";
import { networkName } from "../experiments/setting.ts";
import { mean } from "../mean.ts";
import { type Column, count, number, percents } from "./markdown.ts";
import { linesOf } from "./lines.ts";

/** All results of trained networks in a folder. */
export function results(folder: string): readonly ResultLine[] {
  return linesOf(folder, resultLine);
}

/** What stands where there are none. */
export const NOT_MEASURED: string =
  "Not measured yet: `dualscan bench collect RUNS --save FILE`, then `dualscan bench table`.";

/** What the columns {@link trainedColumns} are, as the end of a sentence. */
export const HOW: string =
  "mean ± half the range over seeds; the rate is the one of least validation loss, of so many tried";

export const trainedColumns: readonly Column[] = [
  { name: "network" },
  ...["parameters", "rate", "tried", "seeds", "steps"].map(number),
];

/** Whether a run has not come to its test, and so has its last validation. */
const inValidation = ({ loss, validationLoss }: ResultLine): boolean => loss === validationLoss;

/** The first cells of a row. */
export function trainedCells({ lines, rate, rates, seeds, finished }: Best): readonly string[] {
  const [first] = lines;
  const steps = mean(lines.map((line) => line.steps));
  const of = finished
    ? ""
    : `, unfinished (of ${first!.planned} steps${lines.some(inValidation) ? ", in validation" : ""})`;
  return [`${networkName(first!)}${of}`, count(first!.size), `${rate}`, `${rates}`, `${seeds}`, `${Math.round(steps)}`];
}

/** A paragraph on the runs of networks that were cut off and are in no row; nothing where there are none. */
export function cutOff(networks: readonly (readonly ResultLine[])[]): readonly string[] {
  const runs = networks.flatMap(cutOffRuns).map((line) => {
    const split = inValidation(line) ? ", in validation" : "";
    const wrong = `${percents(line.error)} % wrong at ${line.length} tokens${split}`;
    return `${
      networkName(line)
    } (rate ${line.rate}, seed ${line.seed}) after ${line.steps} of at most ${line.planned} steps, ${wrong}`;
  });
  return runs.length === 0 ? [] : ["", `Cut off while they were trained, and in no row: ${runs.join("; ")}.`];
}

/** All adapters of some lines, in words. */
export function adapters(lines: readonly { readonly adapter: string }[]): string {
  return [...new Set(lines.map(({ adapter }) => adapter))].join("; ");
}

/** A name for a plot's file, unlike those before it. */
export function plotName(words: string, before: readonly string[]): string {
  const stem = `experiment_${words.replace(/\W+/g, "_")}`;
  const names = [stem, ...Array.from(before, (_, n) => `${stem}_${n + 2}`)].map((name) => `${name}.svg`);
  return names.find((name) => !before.includes(name))!;
}

/** A plot, as a README shows it. */
export const shownPlot = (about: string, name: string): string => `![${about}](bench/results/${name})`;
