/**
 * Latency of a token of a stream, as its context grows.
 *
 * @module
 */
import { checkFields, type Fields } from "../experiments/fields.ts";
import { milliseconds } from "../format.ts";
import { grouped } from "../grouped.ts";
import type { StreamLine } from "../stream/latency.ts";
import { latest, linesOf } from "./lines.ts";
import { markdown, NONE, number } from "./markdown.ts";
import type { Made } from "./section.ts";

function streamLine(what: string, object: Fields): StreamLine | undefined {
  if (object["kind"] !== "stream") return undefined;
  checkFields(what, object, {
    texts: ["model", "shape", "adapter", "date"],
    numbers: ["tokens", "ms", "slowest", "liveBytes"],
  });
  return object as unknown as StreamLine;
}

/** Marks from here on are shown, one in two of them, and the last. */
const SHORTEST = 256;

function shownMarks(lines: readonly StreamLine[]): readonly number[] {
  const marks = [...new Set(lines.map(({ tokens }) => tokens))].sort((a, b) => a - b);
  const last = marks.at(-1);
  return marks.filter((mark) => mark === last || mark >= SHORTEST && Number.isInteger(Math.log2(mark) / 2));
}

/** One table for every adapter. */
export function stream(folder: string): Made {
  const all = linesOf(folder, streamLine);
  const key = ({ model, shape, tokens, adapter }: StreamLine): string =>
    JSON.stringify([model, shape, tokens, adapter]);
  const blocks = [...grouped(latest(all, key), ({ adapter }) => adapter)].map(([adapter, lines]) => {
    const marks = shownMarks(lines);
    const rows = [...grouped(lines, ({ model, shape }) => JSON.stringify([model, shape])).values()].map((of) => {
      const last = of.reduce((a, b) => b.tokens > a.tokens ? b : a);
      return [
        last.model,
        last.shape,
        ...marks.map((mark) => of.find(({ tokens }) => tokens === mark)).map((line) =>
          line === undefined ? NONE : milliseconds(line.ms)
        ),
        milliseconds(
          Math.max(...of.filter(({ tokens }) => tokens >= SHORTEST).map(({ slowest }) => slowest), last.slowest),
        ),
        (last.liveBytes / 1e6).toFixed(1),
      ];
    });
    return [
      `On ${adapter}. Milliseconds a token, its median since the mark before, from its arrival on the host to its output`,
      `there; slowest: of all after ${SHORTEST / 2} tokens.`,
      "",
      markdown(
        [
          { name: "stream" },
          { name: "shape" },
          ...[...marks.map((mark) => `at ${mark.toLocaleString("en-GB")}`), "slowest", "MB at the end"].map(number),
        ],
        rows,
      ),
    ].join("\n");
  });
  const none = "Not measured yet: `dualscan stream --model NAME --tokens N --out FILE`, then `dualscan bench table`.";
  return { text: blocks.length === 0 ? none : blocks.join("\n\n") };
}
