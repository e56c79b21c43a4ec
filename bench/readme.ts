/**
 * `dualscan bench table`: the README's table of our times beside those of peers, made of the results in bench/results/.
 *
 * @module
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../models/error.ts";
import { benchOptions, exactWords } from "./arguments.ts";
import { milliseconds } from "./format.ts";
import { jsonLines } from "./fused/peer.ts";
import { error } from "./fused/table.ts";
import { grouped } from "./grouped.ts";
import type { BenchOutput } from "./output.ts";
import { RESULTS } from "./save.ts";

const START = "<!-- bench table: start -->";
const END = "<!-- bench table: end -->";

const help = `dualscan bench table   rewrites the README's table of times, from bench/results/*.jsonl

  --check          change nothing; exit status 1 if the table is out of date
  --help           this text

A line of a result file counts if it has a peer's time (\`dualscan bench compare --save\`); of several of one kernel, shape,
type and peer, the last by date.`;

/** What a line of the table is made of. */
export interface TableEntry {
  readonly kernel: string;
  readonly shape: string;
  readonly dtype: string;
  readonly adapter: string;
  readonly ms: number;
  readonly peer: string;
  readonly peerMs: number;
  readonly peerDtype?: string;
  readonly ratio: number;
  readonly maxError: number;
  readonly peerMaxError?: number;
  readonly date: string;
}

const texts = ["kernel", "shape", "dtype", "adapter", "peer", "date"];
const numbers = ["ms", "peerMs", "ratio", "maxError"];

/** The entries of all files in a folder: the last of each kind, kernels in the order in which they first come. */
export function tableEntries(folder: string): readonly TableEntry[] {
  const files = readdirSync(folder).filter((name) => name.endsWith(".jsonl")).sort();
  const entries = files.flatMap((name) => {
    const path = join(folder, name);
    return jsonLines(path).filter((object) => object["peer"] !== undefined && object["error"] === undefined).map(
      (object) => {
        const bad = texts.find((key) => typeof object[key] !== "string") ??
          numbers.find((key) => typeof object[key] !== "number");
        if (bad !== undefined) {
          throw new InputError(
            `Cannot make a table of ${path}: a result with a peer must have ${bad}, got ${JSON.stringify(object[bad])}`,
          );
        }
        return object as unknown as TableEntry;
      },
    );
  });
  const kinds = grouped(entries, ({ kernel, shape, dtype, peer }) => JSON.stringify([kernel, shape, dtype, peer]));
  return [...kinds.values()].map((kind) => kind.reduce((last, entry) => entry.date >= last.date ? entry : last));
}

const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

/** The table as Markdown: a block per adapter. */
export function markdownTable(entries: readonly TableEntry[]): string {
  if (entries.length === 0) return "No results yet: `dualscan bench compare … --save`.";
  return [...grouped(entries, ({ adapter }) => adapter)].map(([adapter, own]) =>
    [
      `On ${adapter}; medians in milliseconds, ours by the device's clock; ratio: ours over theirs; errors: largest over the`,
      "rms of the truth, against f64.",
      "",
      row(["kernel", "shape", "ours", "peer", "ratio", "our error", "its error"]),
      row(["---", "---", "---:", "---:", "---:", "---:", "---:"]),
      ...own.map((entry) =>
        row([
          entry.kernel,
          entry.shape,
          `${entry.dtype} ${milliseconds(entry.ms)}`,
          `${entry.peer}, ${entry.peerDtype ?? entry.dtype} ${milliseconds(entry.peerMs)}`,
          entry.ratio < 1 ? `**${entry.ratio.toFixed(2)}**` : entry.ratio.toFixed(2),
          error(entry.maxError),
          entry.peerMaxError === undefined ? "–" : error(entry.peerMaxError),
        ])
      ),
    ].join("\n")
  ).join("\n\n");
}

/** The text with what stands between the two marks replaced. Throws an {@link InputError} if they are not there. */
export function withTable(text: string, table: string): string {
  const [start, end] = [text.indexOf(START), text.indexOf(END)];
  if (start < 0 || end < start) {
    throw new InputError(`Cannot write the table: README.md must hold ${START} and then ${END}`);
  }
  return `${text.slice(0, start + START.length)}\n${table}\n${text.slice(end)}`;
}

/** Runs the command on what follows `bench table`; resolves to its exit status. Throws an {@link InputError}. */
export function benchTable(
  args: readonly string[],
  { out, err }: BenchOutput,
  { readme = "README.md", results = RESULTS }: { readonly readme?: string; readonly results?: string } = {},
): number {
  const given = benchOptions("bench table", args, {
    check: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  });
  if (given.flag("help")) {
    out(help);
    return 0;
  }
  exactWords("bench table", given.words, []);
  const text = readFileSync(readme, "utf8");
  const wanted = withTable(text, markdownTable(tableEntries(results)));
  if (given.flag("check")) {
    if (wanted === text) return 0;
    err(`${readme} is out of date: bring it up to date with: dualscan bench table`);
    return 1;
  }
  if (wanted !== text) writeFileSync(readme, wanted);
  return 0;
}
