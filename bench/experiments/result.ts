/**
 * Results of training runs as they are kept: one JSON object a line.
 *
 * @module
 */
import { checkFields, type Fields } from "./fields.ts";

/** What every line says of its run. */
export interface RunFacts {
  readonly task: string;
  readonly model: string;
  readonly preset: string;
  /** Tokens of a chunk, of a network in chunks. */
  readonly chunk?: number;
  /** The setting's sizes: `d=256 heads=4 layers=4 agg=1 chunk=64`. */
  readonly shape: string;
  /** Numbers in all parameters. */
  readonly size: number;
  readonly seed: number;
  readonly rate: number;
  readonly batch: number;
  /** How matrix products that are not small are computed, where the setting says. */
  readonly products?: string;
  /** The run whose parameters it began with, and its steps: `mqar-c32-l512 after 4000 steps`. */
  readonly begunWith?: string;
  readonly adapter: string;
  /** When the run began. */
  readonly date: string;
}

/** What a trained network predicts at one length. */
export interface ResultLine extends RunFacts {
  readonly kind: "result";
  readonly length: number;
  readonly sequences: number;
  /** In nats a token. */
  readonly loss: number;
  /** Without the first token of every chunk. */
  readonly insideLoss?: number;
  /** Share of predictions that are wrong. */
  readonly error: number;
  /** Of the last evaluation on the validation split, by which a rate is chosen. */
  readonly validationLoss: number;
  readonly schedule: string;
  /** Steps taken, and planned at most. */
  readonly steps: number;
  readonly planned: number;
  /** The longest sequence of training. */
  readonly trainedTo: number;
  /** Tokens trained on, and the seconds that all steps took. */
  readonly tokens: number;
  readonly trainSeconds: number;
  readonly data: string;
  /** Of a text: bytes that a token stands for, on average. */
  readonly bytesPerToken?: number;
  readonly command?: string;
  /** Absent of a finished run. Otherwise `loss` and `error` may be those of the validation split. */
  readonly finished?: false;
}

/** What a step of training costs at one length. */
export interface CostLine extends RunFacts {
  readonly kind: "cost";
  readonly length: number;
  /** Sequences of these steps, where the stage had a number of its own. */
  readonly stageBatch?: number;
  /** Median over the steps of this length. */
  readonly msPerStep: number;
  readonly tokensPerSecond: number;
  /** Bytes on the device at most until then. */
  readonly peakBytes: number;
  /** Steps that were timed. */
  readonly samples: number;
}

const texts = ["task", "model", "preset", "shape", "adapter", "date"] as const;
const numbers = ["size", "seed", "rate", "batch", "length"] as const;

/** The line if it is a result's. Throws an `InputError`, `what` first, if it lacks a field. */
export function resultLine(what: string, object: Fields): ResultLine | undefined {
  if (object["kind"] !== "result") return undefined;
  const own = ["sequences", "loss", "error", "validationLoss", "steps", "planned", "trainedTo", "tokens"];
  checkFields(what, object, { texts: [...texts, "schedule", "data"], numbers: [...numbers, ...own] });
  return object as unknown as ResultLine;
}

/** The line if it is a cost's. Throws an `InputError`, `what` first, if it lacks a field. */
export function costLine(what: string, object: Fields): CostLine | undefined {
  if (object["kind"] !== "cost") return undefined;
  checkFields(what, object, { texts, numbers: [...numbers, "msPerStep", "tokensPerSecond", "peakBytes"] });
  return object as unknown as CostLine;
}

/** What tells a run from all others. */
export function runKey({ task, model, preset, chunk, seed, rate, batch, date }: Omit<RunFacts, "shape">): string {
  return JSON.stringify([task, model, preset, chunk ?? null, seed, rate, batch, date]);
}
