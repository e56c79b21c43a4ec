/**
 * Results kept in a file, one JSON object per line, so that runs can be compared and plotted later.
 *
 * @module
 */
import { appendFileSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { InputError } from "../models/error.ts";

/** Where a bare name lies. */
export const RESULTS = "bench/results";

/** Where a file of results lies: a bare name in {@link RESULTS}. */
export function resultPath(name: string): string {
  return /[\\/]/.test(name) ? name : join(RESULTS, name);
}

/**
 * Opens a file for results, found unusable before anything is timed; every result is in it once the call returns. Throws
 * an {@link InputError}.
 */
export function resultFile(path: string): (result: object) => void {
  try {
    mkdirSync(dirname(path), { recursive: true });
    appendFileSync(path, "");
  } catch (error) {
    throw new InputError(
      `Cannot save to ${path}: it must be a file that can be written, got ${(error as Error).message}`,
    );
  }
  return (result) => appendFileSync(path, `${JSON.stringify(result)}\n`);
}
