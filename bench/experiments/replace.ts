/**
 * Results put into a file, in the place of older ones of the same runs.
 *
 * @module
 */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { InputError } from "../../models/error.ts";
import { jsonLines } from "../fused/peer.ts";
import { type CostLine, costLine, type ResultLine, resultLine, runKey } from "./result.ts";

const keyOf = (line: ResultLine | CostLine): string => `${line.kind} ${runKey(line)}`;

/**
 * Puts lines into a file. Lines that it has of the same runs and kind go; all others stay as they are. The file is replaced
 * whole. Throws an {@link InputError} if it is no file of JSON objects, and then leaves it as it is.
 */
export function replaceLines(path: string, lines: readonly (ResultLine | CostLine)[]): void {
  const runs = new Set(lines.map(keyOf));
  const own = (object: { readonly [key: string]: unknown }): boolean => {
    const what = `Cannot save to ${path}: a line of it`;
    const line = resultLine(what, object) ?? costLine(what, object);
    return line !== undefined && runs.has(keyOf(line));
  };
  const there = existsSync(path) ? jsonLines(path) : [];
  // The texts, so that numbers stay as they were written.
  const texts = there.length === 0 ? [] : readFileSync(path, "utf8").split("\n").filter((text) => text.trim() !== "");
  const before = texts.filter((_, n) => !own(there[n]!));
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(`${path}.saving`, [...before, ...lines.map((line) => JSON.stringify(line)), ""].join("\n"));
    renameSync(`${path}.saving`, path);
  } catch (error) {
    throw new InputError(`Cannot save to ${path}: ${(error as { code?: string }).code ?? "it must be a file"}`);
  }
}
