/**
 * Text from files: one, or all of a folder.
 *
 * A folder is read whole, with the folders in it, in the order of the paths' UTF-16 units; names that begin with a dot are
 * passed over. Where every file's name says its split (`wiki.train.raw`, `wiki.valid.raw`, `wiki.test.raw`), it is kept to
 * it; otherwise all is one text, the files apart by the tokeniser's separator, split by {@link splitTokens}.
 *
 * @module
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { extname, join } from "node:path";
import { InputError } from "../models/error.ts";
import type { Split } from "./task.ts";
import { type SplitTokens, splitTokens } from "./text.ts";
import { joinTokens, lastCut, tokenise, type Tokeniser, type Tokens } from "./tokenisers.ts";

/** Bytes decoded at a time: a string cannot hold the largest files. */
const PART = 1 << 25;

const reason = (error: unknown): string =>
  (error as { code?: string }).code ?? (error as Error).message.split("\n")[0]!;

/** The files of a path, in order. Throws an {@link InputError} in one line. */
export function textFiles(path: string): readonly string[] {
  try {
    return statSync(path).isDirectory() ? listed(path) : [path];
  } catch (error) {
    throw new InputError(`Cannot read the text ${path}: ${reason(error)}`);
  }
}

/**
 * The kinds of files that a path has, by the ends of their names, if there are several: `2 .json, 2 .txt`. Undefined if there is one:
 * of a folder that holds the same text twice, in two forms, a run would not say so otherwise.
 */
export function fileKinds(path: string): string | undefined {
  const counts = new Map<string, number>();
  for (const file of textFiles(path)) {
    const kind = extname(file) || "without an ending";
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  if (counts.size < 2) return undefined;
  return [...counts].sort(([a], [b]) => a < b ? -1 : 1).map(([kind, count]) => `${count} ${kind}`).join(", ");
}

function listed(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter(({ name }) => !name.startsWith("."))
    .sort((a, b) => a.name < b.name ? -1 : 1)
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? listed(path) : entry.isFile() ? [path] : [];
    });
}

/** The split that a file's name says: one of its parts between dots, dashes or underscores. */
export function namedSplit(path: string): Split | undefined {
  const parts = path.split(/[\\/]/).at(-1)!.toLowerCase().split(/[._-]/);
  if (parts.includes("train")) return "train";
  if (parts.includes("valid") || parts.includes("validation")) return "validation";
  return parts.includes("test") ? "test" : undefined;
}

function fileTokens(tokeniser: Tokeniser, path: string): Tokens {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new InputError(`Cannot read the text ${path}: ${reason(error)}`);
  }
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const parts: ArrayLike<number>[] = [];
  let rest = "";
  try {
    for (let from = 0; from < bytes.length; from += PART) {
      const text = rest + decoder.decode(bytes.subarray(from, from + PART), { stream: true });
      // What follows may belong to the last word.
      const end = from + PART < bytes.length ? lastCut(text) : text.length;
      if (tokeniser.name !== "bytes") parts.push(tokenise(tokeniser, text.slice(0, end)));
      rest = text.slice(end);
    }
    decoder.decode();
  } catch {
    throw new InputError(`Cannot use the text ${path}: it must be UTF-8, got other bytes`);
  }
  return tokeniser.name === "bytes" ? new Uint8Array(bytes) : joinTokens(tokeniser, parts);
}

/** The tokens of a file or folder. Throws an {@link InputError} in one line. */
export function readText(tokeniser: Tokeniser, path: string): SplitTokens {
  const files = textFiles(path);
  const named = files.map(namedSplit);
  const joined = (chosen: readonly string[]): Tokens =>
    joinTokens(
      tokeniser,
      chosen.flatMap((file, n) =>
        n === 0 ? [fileTokens(tokeniser, file)] : [tokeniser.separator, fileTokens(tokeniser, file)]
      ),
    );
  const splits = ["train", "validation", "test"] as const;
  if (named.every((split) => split !== undefined) && splits.every((split) => named.includes(split))) {
    const of = (wanted: Split): Tokens => joined(files.filter((_, n) => named[n] === wanted));
    return { train: of("train"), validation: of("validation"), test: of("test") };
  }
  return splitTokens(joined(files));
}
