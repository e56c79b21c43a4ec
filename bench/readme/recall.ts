/**
 * Associative recall: the share of wrong answers, by network, the length that it was trained to, and length.
 *
 * @module
 */
import { bestRuns, finishedRuns } from "../experiments/best.ts";
import type { ResultLine } from "../experiments/result.ts";
import { experiments, networks } from "../experiments/setting.ts";
import { grouped } from "../grouped.ts";
import { markdown, NONE, number, percents, spread } from "./markdown.ts";
import type { Made } from "./section.ts";
import { adapters, cutOff, HOW, NOT_MEASURED, results, trainedCells, trainedColumns } from "./trained.ts";

/** Of the runs of a network those that stand in rows: finished ones, where there are any. */
function shown(lines: readonly ResultLine[]): readonly ResultLine[] {
  const done = finishedRuns(lines);
  return done.length === 0 ? lines : done;
}

/** A table of every experiment. */
export function recall(folder: string): Made {
  const own = results(folder).filter(({ task }) => task === "mqar");
  const blocks = experiments(own).map((lines) => {
    const lengths = [...new Set(lines.map(({ length }) => length))].sort((a, b) => a - b);
    const rows = networks(lines).flatMap((of) =>
      [...grouped(shown(of), ({ trainedTo }) => `${trainedTo}`).values()]
        .sort(([a], [b]) => a!.trainedTo - b!.trainedTo)
        .map((trained) => {
          const best = bestRuns(trained);
          return [
            ...trainedCells(best),
            `${trained[0]!.trainedTo}`,
            ...lengths.map((length) => {
              const errors = best.lines.filter((line) => line.length === length).map(({ error }) => error);
              return errors.length === 0 ? NONE : spread(errors, percents);
            }),
          ];
        })
    );
    return [
      `${lines[0]!.data}, on ${
        adapters(lines)
      }. Wrong answers in per cent, by length, of networks trained to some length and tested at each; ${HOW}.`,
      "",
      markdown([...trainedColumns, number("trained to"), ...lengths.map((length) => number(`L = ${length}`))], rows),
      ...cutOff(networks(lines)),
    ].join("\n");
  });
  return { text: blocks.length === 0 ? NOT_MEASURED : blocks.join("\n\n") };
}
