/**
 * The log of a run, `log.jsonl`: one JSON object a line, appended as training goes.
 *
 * @module
 */
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { InputError } from "../../models/error.ts";

/** The first line of a run, and of every time it went on. */
export interface BeginLine {
  readonly kind: "begin";
  readonly step: number;
  /** Whether it goes on from a checkpoint, that of its beginning perhaps. */
  readonly goesOn?: true;
  readonly task: string;
  readonly model: string;
  readonly preset: string;
  readonly seed: number;
  /** Tokens of a chunk, of a prefix-scannable model. */
  readonly chunk?: number;
  /** Numbers in all parameters. */
  readonly size: number;
  /** Sequences of a batch, in stages that do not say their own. */
  readonly batch: number;
  /** The schedule's peak, and its kind. */
  readonly rate: number;
  readonly schedule: string;
  /** Steps planned, at most. */
  readonly steps: number;
  /** Lengths of the test split that are reported on at the end. */
  readonly evaluate: readonly number[];
  /** The setting's sizes: `d=256 heads=4 layers=4 agg=1 chunk=64`. */
  readonly shape: string;
  /** The task's {@linkcode Task.identity}. */
  readonly data: string;
  /** How matrix products that are not small are computed, where the setting says. */
  readonly products?: string;
  /** The run whose parameters it began with, and its steps. */
  readonly begunWith?: string;
  /** Of a text. */
  readonly bytesPerToken?: number;
  readonly adapter: string;
  readonly date: string;
  /** What began the run, without where it is kept. */
  readonly command?: string;
}

/** One step. */
export interface StepLine {
  readonly kind: "step";
  readonly step: number;
  readonly stage: number;
  readonly length: number;
  readonly loss: number;
  readonly gradientNorm: number;
  readonly rate: number;
  /** Of its batch. */
  readonly tokens: number;
  /**
   * Milliseconds from the end of the step before to the end of this one, as two are on their way at a time; from its own
   * beginning after an evaluation, a checkpoint or at the start of a run.
   */
  readonly ms: number;
  /** Seconds of all steps since the line before, or since training began or went on, this one included. */
  readonly spent: number;
  /** Median over the steps of this length since the last line, of tokens over that time. */
  readonly tokensPerSecond: number;
  /** Bytes on the device at most so far. */
  readonly peakBytes: number;
}

/** What was predicted at one length. */
export interface EvaluationLine {
  readonly kind: "evaluation";
  readonly split: "validation" | "test";
  readonly step: number;
  readonly task: string;
  readonly model: string;
  readonly preset: string;
  readonly seed: number;
  readonly chunk?: number;
  readonly length: number;
  readonly sequences: number;
  readonly loss: number;
  readonly error: number;
  readonly insideLoss?: number;
}

export type LogLine = BeginLine | StepLine | EvaluationLine;

/** The lines of a log. Throws an {@link InputError} at one that is no object; what a kill left of the last is passed over. */
export function readLog(path: string): readonly LogLine[] {
  if (!existsSync(path)) return [];
  const texts = readFileSync(path, "utf8").split("\n");
  const unfinished = texts.pop();
  return texts.filter((text) => text !== "").map((text, n) => {
    try {
      return JSON.parse(text) as LogLine;
    } catch {
      throw new InputError(
        `Cannot read ${path}: line ${n + 1} must be a JSON object, got ${text.slice(0, 40)}${
          unfinished === "" ? "" : " …"
        }`,
      );
    }
  });
}

/** Cuts a log back to what was known at a step, so that going on from there repeats nothing. */
export function cutLog(path: string, step: number): void {
  const kept = readLog(path).filter((line) => line.step <= step);
  const temporary = `${path}.saving`;
  writeFileSync(temporary, kept.map((line) => `${JSON.stringify(line)}\n`).join(""));
  renameSync(temporary, path);
}

export function appendLog(path: string, line: LogLine): void {
  appendFileSync(path, `${JSON.stringify(line)}\n`);
}
