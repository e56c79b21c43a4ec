/**
 * Training runs, read from their logs.
 *
 * @module
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../../models/error.ts";
import type { BeginLine, EvaluationLine, StepLine } from "../../tasks/train/log.ts";
import { reportLines } from "../report/lines.ts";
import { checkFields, type Fields } from "./fields.ts";

/** A run as its log tells it. */
export interface LoggedRun {
  /** The log. */
  readonly path: string;
  /** How it first began. */
  readonly begin: BeginLine;
  /** Lengths it was last asked to report on. */
  readonly evaluate: readonly number[];
  /** Steps taken, as far as is known. */
  readonly step: number;
  /** Each with how many steps it stands for: those since the line before it. */
  readonly steps: readonly (StepLine & { readonly since: number; readonly first: boolean })[];
  readonly evaluations: readonly EvaluationLine[];
}

/** The logs at a path: itself, or every `log.jsonl` below it. Throws an {@link InputError}. */
export function logFiles(path: string): readonly string[] {
  if (!existsSync(path)) throw new InputError(`Cannot collect ${path}: it must be a run's folder or log, got none`);
  if (!statSync(path).isDirectory()) return [path];
  const found = readdirSync(path, { withFileTypes: true }).sort((a, b) => a.name < b.name ? -1 : 1).flatMap((entry) => {
    const inside = join(path, entry.name);
    if (!entry.isDirectory()) return entry.name === "log.jsonl" ? [inside] : [];
    // A checkpoint's folder has none.
    return entry.name.startsWith(".") || entry.name.startsWith("step-") ? [] : deeper(inside);
  });
  if (found.length === 0) throw new InputError(`Cannot collect ${path}: it must hold log.jsonl, got none`);
  return found;
}

/** As {@link logFiles}, of a folder that may hold none. */
function deeper(folder: string): readonly string[] {
  try {
    return logFiles(folder);
  } catch (error) {
    if (error instanceof InputError) return [];
    throw error;
  }
}

const fields = {
  begin: {
    texts: ["task", "model", "preset", "schedule", "shape", "data", "adapter", "date"],
    numbers: ["step", "seed", "size", "batch", "rate", "steps"],
  },
  step: { texts: [], numbers: ["step", "length", "tokens", "ms", "spent", "peakBytes"] },
  evaluation: { texts: ["split"], numbers: ["step", "length", "sequences", "loss", "error"] },
} as const;

/** The runs of a log: one, or several of what `train --json` printed one after the other. Throws an {@link InputError}. */
export function loggedRuns(path: string): readonly LoggedRun[] {
  const objects = reportLines(path).map(({ object }) => object);
  const runs: Fields[][] = [];
  objects.forEach((object, n) => {
    const what = `Cannot collect ${path}: line ${n + 1}`;
    const kind = object["kind"];
    if (kind !== "begin" && kind !== "step" && kind !== "evaluation") {
      throw new InputError(`${what} must begin a run, be a step or an evaluation, got kind ${JSON.stringify(kind)}`);
    }
    checkFields(what, object, fields[kind]);
    if (kind === "begin" && !Array.isArray(object["evaluate"])) {
      throw new InputError(`${what}: evaluate must be lengths, got ${JSON.stringify(object["evaluate"])}`);
    }
    if (kind === "begin" && object["step"] === 0 && object["goesOn"] !== true) runs.push([]);
    const run = runs.at(-1);
    if (run === undefined) throw new InputError(`${what} must begin a run at step 0, got ${JSON.stringify(kind)}`);
    run.push(object);
  });
  if (runs.length === 0) throw new InputError(`Cannot collect ${path}: it must hold a run, got no line`);
  return runs.map((run) => logged(path, run));
}

function logged(path: string, objects: readonly Fields[]): LoggedRun {
  const begins = objects.filter(({ kind }) => kind === "begin") as unknown as readonly BeginLine[];
  const steps: LoggedRun["steps"][number][] = [];
  let before = 0;
  let length = 0;
  for (const object of objects) {
    if (object["kind"] === "evaluation") continue;
    const at = object["step"] as number;
    if (object["kind"] === "begin") length = 0;
    else {
      const line = object as unknown as StepLine;
      steps.push({ ...line, since: at - before, first: line.length !== length });
      length = line.length;
    }
    before = at;
  }
  return {
    path,
    begin: begins[0]!,
    evaluate: begins.at(-1)!.evaluate,
    step: Math.max(...objects.map((object) => object["step"] as number)),
    steps,
    evaluations: objects.filter(({ kind }) => kind === "evaluation") as unknown as readonly EvaluationLine[],
  };
}
