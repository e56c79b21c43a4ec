/**
 * What a report is made of: the lines of logs and results, with where each came from.
 *
 * @module
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { InputError } from "../../models/error.ts";

/** One JSON object of a file. */
export interface ReportLine {
  /** A run's folder, or a file of results. */
  readonly source: string;
  readonly object: { readonly [key: string]: unknown };
}

const reason = (error: unknown): string =>
  (error as { code?: string }).code ?? (error as Error).message.split("\n")[0]!;

/** Files of lines at a path: itself, or all of a folder and the folders in it. */
export function lineFiles(path: string): readonly string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path, { withFileTypes: true }).sort((a, b) => a.name < b.name ? -1 : 1).flatMap((entry) => {
      const inside = join(path, entry.name);
      if (entry.isDirectory()) return entry.name.startsWith(".") ? [] : lineFiles(inside);
      return entry.name.endsWith(".jsonl") ? [inside] : [];
    });
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`Cannot report on ${path}: ${reason(error)}`);
  }
}

/** The lines of a file. A last one without its end, which a run is still writing, is passed over. */
export function reportLines(path: string): readonly ReportLine[] {
  let texts: string[];
  try {
    texts = readFileSync(path, "utf8").split("\n");
  } catch (error) {
    throw new InputError(`Cannot report on ${path}: ${reason(error)}`);
  }
  const source = basename(path) === "log.jsonl" ? basename(dirname(path)) : basename(path);
  return texts.flatMap((text, n): ReportLine[] => {
    if (text.trim() === "") return [];
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      if (n === texts.length - 1) return [];
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new InputError(`Cannot report on ${path}: line ${n + 1} must be one JSON object, got ${text.slice(0, 40)}`);
    }
    return [{ source, object: value as ReportLine["object"] }];
  });
}
