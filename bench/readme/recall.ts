/**
 * Associative recall: the share of wrong answers, by chunk and length; every length is a training of its own.
 *
 * @module
 */
import { bestRuns } from "../experiments/best.ts";
import { experiments, networkName, networks } from "../experiments/setting.ts";
import { count, markdown, NONE, number, percents, spread } from "./markdown.ts";
import type { Made } from "./section.ts";
import { adapters, HOW, NOT_MEASURED, results } from "./trained.ts";

/** `1e-3`, or `1e-3, 3e-4` where they differ. */
const listed = (values: readonly (string | number)[]): string => [...new Set(values)].join(", ");

/** A table of every experiment. */
export function recall(folder: string): Made {
  const own = results(folder).filter(({ task, length, trainedTo }) => task === "mqar" && length === trainedTo);
  const blocks = experiments(own).map((lines) => {
    const lengths = [...new Set(lines.map(({ length }) => length))].sort((a, b) => a - b);
    const rows = networks(lines).map((of) => {
      const cells = lengths.map((length) => of.filter((line) => line.length === length)).map((at) =>
        at.length === 0 ? undefined : bestRuns(at)
      );
      const there = cells.filter((best) => best !== undefined);
      return [
        networkName(of[0]!),
        listed(there.map(({ lines }) => count(lines[0]!.size))),
        listed(there.map(({ rate }) => rate)),
        listed(there.map(({ rates }) => rates)),
        listed(there.map(({ seeds }) => seeds)),
        ...cells.map((best) =>
          best === undefined
            ? NONE
            : `${spread(best.lines.map(({ error }) => error), percents)}${best.finished ? "" : " (unfinished)"}`
        ),
      ];
    });
    return [
      `${lines[0]!.data}, on ${adapters(lines)}. Wrong answers in per cent, by length, each trained at it; ${HOW}.`,
      "",
      markdown(
        [
          { name: "network" },
          ...["parameters", "rate", "tried", "seeds", ...lengths.map((length) => `L = ${length}`)].map(number),
        ],
        rows,
      ),
    ].join("\n");
  });
  return { text: blocks.length === 0 ? NOT_MEASURED : blocks.join("\n\n") };
}
