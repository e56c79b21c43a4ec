/**
 * Fused kernels: our times beside those of peers.
 *
 * @module
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../../models/error.ts";
import { milliseconds } from "../format.ts";
import { jsonLines } from "../fused/peer.ts";
import { error } from "../fused/table.ts";
import { grouped } from "../grouped.ts";
import { isPeerCost } from "./cost.ts";
import { markdown, NONE, number, ratio } from "./markdown.ts";
import type { Made } from "./section.ts";

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
    return jsonLines(path).filter((object) => object["peer"] !== undefined && object["error"] === undefined).filter(
      (object) => !isPeerCost(object),
    ).map(
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

/** The table as Markdown: a block per adapter. */
export function markdownTable(entries: readonly TableEntry[]): string {
  if (entries.length === 0) return "No results yet: `dualscan bench compare … --save`.";
  return [...grouped(entries, ({ adapter }) => adapter)].map(([adapter, own]) =>
    [
      `On ${adapter}; medians in milliseconds, ours by the device's clock; ratio: ours over theirs; errors: largest over the`,
      "rms of the truth, against f64.",
      "",
      markdown(
        [
          { name: "kernel" },
          { name: "shape" },
          ...["ours", "peer", "ratio", "our error", "its error"].map(number),
        ],
        own.map((entry) => [
          entry.kernel,
          entry.shape,
          `${entry.dtype} ${milliseconds(entry.ms)}`,
          `${entry.peer}, ${entry.peerDtype ?? entry.dtype} ${milliseconds(entry.peerMs)}`,
          ratio(entry.ratio),
          error(entry.maxError),
          entry.peerMaxError === undefined ? NONE : error(entry.peerMaxError),
        ]),
      ),
    ].join("\n")
  ).join("\n\n");
}

/** The table of a folder. */
export function fused(folder: string): Made {
  return { text: markdownTable(tableEntries(folder)) };
}
