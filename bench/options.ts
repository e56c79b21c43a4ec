/**
 * Arguments of `dualscan bench`.
 *
 * @module
 */
import type { GpuPolicy } from "../kernels/device.ts";
import { InputError } from "../models/error.ts";
import { benchOptions, gpuOption } from "./arguments.ts";
import type { Kernel } from "./kernel.ts";
import { hasWords } from "./words.ts";

export const benchHelp = `dualscan bench [kernel…]   times kernels, each after its result was held to the oracle's bound
dualscan bench fused [word…] times the fused kernels, in their tunings    dualscan bench compare OURS PEERS
dualscan bench errors [word…] draws error against length                  dualscan bench collect RUNS…
dualscan bench table         makes the README's tables and plots of results
                             (each has a --help of its own)

  kernel…          words of a kernel's name, such as: webgpu   gla   "cpu blelloch"   "webgpu scan s6"
  --gpu MODE       auto (default: DUALSCAN_GPU, else auto): a GPU if there is one; off; require
  --quick          smaller sizes and shorter times
  --json           one JSON object per line on stdout
  --save FILE      append those lines to FILE as well; a bare name lies in bench/results/
  --list           the names of all kernels
  --help           this text

Columns: median time of one call and its quartiles; bytes that have to be moved (inputs once, outputs once); tokens per
second; bytes per second as a share of a plain copy's, measured in the same run; the largest error in ulps of f32 (large
where a sum cancels), and the largest error as a share of the bound derived for that number. On a GPU, scans and
gradients are timed on the device, streams from host to host. A wrong result is not timed: exit status 1.`;

/** What was asked for. */
export interface BenchArguments {
  readonly words: readonly string[];
  readonly gpu: GpuPolicy;
  readonly json: boolean;
  readonly quick: boolean;
  readonly list: boolean;
  readonly help: boolean;
  readonly save: string | undefined;
}

/** Parses strictly; every mistake is an {@link InputError} of one line. */
export function benchArguments(args: readonly string[]): BenchArguments {
  const given = benchOptions("bench", args, {
    gpu: { type: "string" },
    json: { type: "boolean" },
    quick: { type: "boolean" },
    list: { type: "boolean" },
    help: { type: "boolean", short: "h" },
    save: { type: "string" },
  });
  return {
    words: given.words,
    gpu: gpuOption(given),
    json: given.flag("json"),
    quick: given.flag("quick"),
    list: given.flag("list"),
    help: given.flag("help"),
    save: given.text("save"),
  };
}

/** Kernels whose name contains one of the given sequences of words; all of them if none is given. */
export function chosenKernels(all: readonly Kernel[], words: readonly string[]): readonly Kernel[] {
  for (const wanted of words) {
    if (!all.some((kernel) => hasWords(kernel.name, wanted))) {
      throw new InputError(
        `Cannot bench ${wanted || '""'}: it must be words of a kernel's name; the kernels are ${
          all.map(({ name }) => name).join(", ")
        }`,
      );
    }
  }
  return words.length === 0 ? all : all.filter((kernel) => words.some((wanted) => hasWords(kernel.name, wanted)));
}
