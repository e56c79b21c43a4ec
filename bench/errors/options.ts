/**
 * Arguments of `dualscan bench errors`.
 *
 * @module
 */
import { oneOf, wholeNumber } from "../../cli/arguments.ts";
import type { GpuPolicy } from "../../kernels/device.ts";
import { seededSources } from "../../models/source.ts";
import { benchOptions, gpuOption } from "../arguments.ts";
import type { Pass } from "./curve.ts";
import { parsedLengths } from "./lengths.ts";

const classes = seededSources.map(({ name }) => name);

export const errorsHelp: string =
  `dualscan bench errors [word…]  error against length of the fused kernels, forward and gradients, against f64

  word…            words of a family's name, such as: chunk   "element-wise scan"
  --model NAME     only these models, separated by commas
  --lengths L      64…2^20, 64-4096, or 64,1000 (default: 64…4096)
  --pass PASS      forward or gradients (default: both)
  --inputs CLASS   ${classes.join(", ")}, or several separated by commas (default: all three)
  --size N         K, V, D and N of the models (default: 16); element-wise channels, keys and values alike
  --heads N        heads of models that have them (default: 2)
  --budget SECONDS begin no curve after so long, and say what was left out
  --gpu MODE       auto (default: DUALSCAN_GPU, else auto): a GPU if there is one; off; require
  --experimental   Dawn's toggles for f16, matrix units and exact timestamps
  --json           one JSON object per point on stdout instead of a table
  --out FILE       append those to FILE as they come, and draw plots beside it: errors_FAMILY_PASS.svg
  --draw FILE      only draw the plots of such a file, beside it
  --help           this text

An error is the largest |x − truth| over the rms of the truth, of one column of one head. Inputs of a length are the first of
those of the longest. The truth is the model's own recurrence in f64, on the CPU: long gradients take long.`;

/** What was asked for. */
export interface ErrorsArguments {
  readonly words: readonly string[];
  readonly models: readonly string[];
  readonly lengths: readonly number[];
  readonly passes: readonly Pass[];
  readonly inputs: readonly string[];
  readonly size: number;
  readonly heads: number;
  /** Seconds; Infinity without. */
  readonly budget: number;
  readonly gpu: GpuPolicy;
  readonly experimental: boolean;
  readonly json: boolean;
  readonly out: string | undefined;
  readonly draw: string | undefined;
  readonly help: boolean;
}

/** Parses strictly; every mistake is an `InputError` of one line. */
export function errorsArguments(args: readonly string[]): ErrorsArguments {
  const given = benchOptions("bench errors", args, {
    model: { type: "string" },
    lengths: { type: "string" },
    pass: { type: "string" },
    inputs: { type: "string" },
    size: { type: "string" },
    heads: { type: "string" },
    budget: { type: "string" },
    gpu: { type: "string" },
    experimental: { type: "boolean" },
    json: { type: "boolean" },
    out: { type: "string" },
    draw: { type: "string" },
    help: { type: "boolean", short: "h" },
  });
  const list = (name: string): readonly string[] => given.text(name)?.split(",").map((part) => part.trim()) ?? [];
  const number = (name: string, otherwise: number): number => {
    const text = given.text(name);
    return text === undefined ? otherwise : wholeNumber(`--${name}`, text, 1);
  };
  const pass = given.text("pass");
  const inputs = list("inputs").map((name) => oneOf("--inputs", name, classes));
  return {
    words: given.words,
    models: list("model"),
    lengths: parsedLengths(given.text("lengths") ?? "64…4096"),
    passes: pass === undefined ? ["forward", "gradients"] : [oneOf<Pass>("--pass", pass, ["forward", "gradients"])],
    inputs: inputs.length === 0 ? classes : inputs,
    size: number("size", 16),
    heads: number("heads", 2),
    budget: number("budget", Infinity),
    gpu: gpuOption(given),
    experimental: given.flag("experimental"),
    json: given.flag("json"),
    out: given.text("out"),
    draw: given.text("draw"),
    help: given.flag("help"),
  };
}
