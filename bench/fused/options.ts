/**
 * Arguments of `dualscan bench fused`.
 *
 * @module
 */
import { wholeNumber } from "../../cli/arguments.ts";
import type { GpuPolicy } from "../../kernels/device.ts";
import { benchOptions, gpuOption } from "../arguments.ts";
import type { CaseChoice } from "./cases.ts";
import { parsedShape } from "./shape.ts";

export const fusedHelp: string =
  `dualscan bench fused [word…]   times the fused kernels, each after its result was held to f64

  word…            a line's whole name, or words of several, such as: gla   "gla chunk"   backward
  --shape EXTENTS  only shapes with these extents, such as T=4096; all axes of a line: that shape, B=1,T=512,H=2,K=64,V=64
  --variant NAME   words of a tuning's name, or several separated by semicolons; without, each line's default
  --sweep          every tuning of every line
  --quick          small shapes and shorter times, as on a software adapter
  --budget SECONDS begin nothing after so long, and say what was left out
  --gpu MODE       auto (default: DUALSCAN_GPU, else auto): a GPU if there is one; off; require
  --experimental   Dawn's toggles for f16, matrix units and exact timestamps
  --peers FILE     results of bench/peers.py, to put beside ours
  --json           one JSON object per result on stdout instead of a table
  --out FILE       append those lines, and why something was not timed, to FILE as they come
  --save FILE      append results to FILE; a bare name lies in bench/results/
  --list           lines, types, shapes and tunings
  --help           this text

A block per line and shape: bytes that have to move at least and the time a copy of them takes; floating-point operations.
Then per tuning: median milliseconds on the device and their quartiles, submission to end on the host's clock, share of the
rate of a copy and of a matrix product measured in the same run, the largest error over the rms of the truth and what is
allowed, the tuning's name. A wrong result is not timed: exit status 1. A tuning that the device cannot run is
reported and left out.`;

/** What was asked for. */
export interface FusedArguments extends CaseChoice {
  readonly quick: boolean;
  /** Seconds; Infinity without. */
  readonly budget: number;
  readonly gpu: GpuPolicy;
  readonly experimental: boolean;
  readonly peers: string | undefined;
  readonly json: boolean;
  readonly out: string | undefined;
  readonly save: string | undefined;
  readonly list: boolean;
  readonly help: boolean;
}

/** Parses strictly; every mistake is an `InputError` of one line. */
export function fusedArguments(args: readonly string[]): FusedArguments {
  const given = benchOptions("bench fused", args, {
    shape: { type: "string" },
    variant: { type: "string" },
    sweep: { type: "boolean" },
    quick: { type: "boolean" },
    budget: { type: "string" },
    gpu: { type: "string" },
    experimental: { type: "boolean" },
    peers: { type: "string" },
    json: { type: "boolean" },
    out: { type: "string" },
    save: { type: "string" },
    list: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  });
  const [shape, budget] = [given.text("shape"), given.text("budget")];
  return {
    words: given.words,
    shape: shape === undefined ? undefined : parsedShape(shape),
    variants: given.text("variant")?.split(";").map((name) => name.trim()) ?? [],
    sweep: given.flag("sweep"),
    quick: given.flag("quick"),
    budget: budget === undefined ? Infinity : wholeNumber("--budget", budget, 1),
    gpu: gpuOption(given),
    experimental: given.flag("experimental"),
    peers: given.text("peers"),
    json: given.flag("json"),
    out: given.text("out"),
    save: given.text("save"),
    list: given.flag("list"),
    help: given.flag("help"),
  };
}
