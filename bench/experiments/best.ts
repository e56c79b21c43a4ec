/**
 * Of the runs of one network in one setting, those that stand for it.
 *
 * @module
 */
import { grouped } from "../grouped.ts";
import { mean } from "../mean.ts";
import { type ResultLine, runKey } from "./result.ts";

/** Runs of one rate, each of another seed. */
export interface Best {
  readonly rate: number;
  /** How many rates were tried, these runs' included. */
  readonly rates: number;
  readonly seeds: number;
  /** All their lines. */
  readonly lines: readonly ResultLine[];
  readonly finished: boolean;
}

/** Lines of finished runs. */
export function finishedRuns(lines: readonly ResultLine[]): readonly ResultLine[] {
  return lines.filter(({ finished }) => finished !== false);
}

/** Plans that differ by no more than how stages share their steps are one. */
const asLong = ({ planned }: ResultLine, steps: number): boolean => planned >= 0.99 * steps;

/**
 * Of the runs of one network those in no row: unfinished ones, where others are finished, but none that did as much with their seed,
 * rate, batch and schedule. One line of each, of the most tokens.
 */
export function cutOffRuns(lines: readonly ResultLine[]): readonly ResultLine[] {
  const done = finishedRuns(lines);
  if (done.length === 0) return [];
  const setting = ({ seed, rate, batch, schedule }: ResultLine): string =>
    JSON.stringify([seed, rate, batch, schedule]);
  const others = lines.filter((line) =>
    line.finished === false &&
    !done.some((other) =>
      setting(other) === setting(line) && asLong(other, line.planned) && other.trainedTo >= line.trainedTo
    )
  );
  return [...grouped(others, runKey).values()].map((run) => run.reduce((a, b) => b.length > a.length ? b : a));
}

/**
 * The runs of the rate with the least validation loss, a mean over seeds; nothing is chosen by what is reported. Of runs
 * that differ in their plan, those of the most steps, to a hundredth: stages share a number of steps evenly. Of two of one seed,
 * the later one; unfinished runs only where there are no others, and each evaluated at lengths of its own.
 */
export function bestRuns(lines: readonly ResultLine[]): Best {
  const done = finishedRuns(lines);
  const some = done.length > 0 ? done : lines;
  const most = Math.max(...some.map(({ planned }) => planned));
  const settings = grouped(
    some.filter((line) => asLong(line, most)),
    ({ rate, batch, schedule }) => JSON.stringify([rate, batch, schedule]),
  );
  const candidates = [...settings.values()].map((of) => {
    const seeds = [...grouped(of, ({ seed }) => `${seed}`).values()].map((runs) => {
      const last = runs.reduce((a, b) => b.date > a.date ? b : a);
      return runs.filter((line) => runKey(line) === runKey(last));
    });
    return { seeds, loss: mean(seeds.map(([line]) => line!.validationLoss)) };
  });
  const { seeds } = candidates.reduce((a, b) => b.loss < a.loss ? b : a);
  return {
    rate: seeds[0]![0]!.rate,
    rates: new Set(lines.map(({ rate }) => rate)).size,
    seeds: seeds.length,
    lines: seeds.flat(),
    finished: done.length > 0,
  };
}
