/**
 * The lines of results that sections on experiments are made of.
 *
 * @module
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Fields } from "../experiments/fields.ts";
import { jsonLines } from "../fused/peer.ts";

/** Where peers' results lie, in the folder of ours. */
const PEERS = "peers";

/** An object of a file, and how an error that it causes begins. */
export interface FoundLine {
  readonly what: string;
  readonly object: Fields;
}

/** All objects of the files in a folder of results and in its folder of peers'. Throws an `InputError` in one line. */
export function foundLines(results: string): readonly FoundLine[] {
  return [results, join(results, PEERS)].filter((folder) => existsSync(folder)).flatMap((folder) =>
    readdirSync(folder).filter((name) => name.endsWith(".jsonl")).sort().flatMap((name) => {
      const path = join(folder, name);
      return jsonLines(path).map((object) => ({ what: `Cannot make a table of ${path}`, object }));
    })
  );
}

/** Those that `read` takes. */
export function linesOf<L>(results: string, read: (what: string, object: Fields) => L | undefined): readonly L[] {
  return foundLines(results).map(({ what, object }) => read(what, object)).filter((line) => line !== undefined);
}

/** Of lines of one key, the last by date; keys in the order in which they first come. */
export function latest<L extends { readonly date: string }>(
  lines: readonly L[],
  key: (line: L) => string,
): readonly L[] {
  const last = new Map<string, L>();
  for (const line of lines) {
    const before = last.get(key(line));
    if (before === undefined || line.date >= before.date) last.set(key(line), line);
  }
  return [...last.values()];
}
