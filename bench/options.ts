/**
 * Arguments of `dualscan bench`.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type GpuPolicy, gpuPolicy } from "../kernels/device.ts";
import { InputError } from "../models/error.ts";
import type { Kernel } from "./kernel.ts";

export const benchHelp = `dualscan bench [kernel…]   times kernels, each after its result was held to the oracle's bound

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

const options = {
  gpu: { type: "string" },
  json: { type: "boolean" },
  quick: { type: "boolean" },
  list: { type: "boolean" },
  help: { type: "boolean", short: "h" },
  save: { type: "string" },
} as const;

const policies: readonly string[] = ["auto", "off", "require"] satisfies readonly GpuPolicy[];

/** Parses strictly; every mistake is an {@link InputError} of one line. */
export function benchArguments(args: readonly string[]): BenchArguments {
  const { values, positionals } = parsed(args);
  const gpu = values.gpu ?? gpuPolicy();
  if (!policies.includes(gpu)) {
    throw new InputError(`Cannot use --gpu: it must be one of ${policies.join(", ")}, got ${gpu || "nothing"}`);
  }
  if (values.save === "") throw new InputError("Cannot use --save: it must name a file, got nothing");
  return {
    words: positionals,
    gpu: gpu as GpuPolicy,
    json: values.json ?? false,
    quick: values.quick ?? false,
    list: values.list ?? false,
    help: values.help ?? false,
    save: values.save,
  };
}

/** What `parseArgs` makes of the options above. */
interface ParsedArguments {
  readonly values: {
    readonly gpu?: string;
    readonly json?: boolean;
    readonly quick?: boolean;
    readonly list?: boolean;
    readonly help?: boolean;
    readonly save?: string;
  };
  readonly positionals: readonly string[];
}

function parsed(args: readonly string[]): ParsedArguments {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (error) {
    const [reason = ""] = (error as Error).message.split(/[.\n]/);
    const known = Object.keys(options).map((name) => `--${name}`).join(", ");
    throw new InputError(`Cannot run bench: ${reason}; its options are ${known}`);
  }
}

/** Kernels whose name contains one of the given sequences of words; all of them if none is given. */
export function chosenKernels(all: readonly Kernel[], words: readonly string[]): readonly Kernel[] {
  const named = ({ name }: Kernel, wanted: string): boolean => ` ${name} `.includes(` ${wanted} `);
  for (const wanted of words) {
    if (wanted === "" || !all.some((kernel) => named(kernel, wanted))) {
      throw new InputError(
        `Cannot bench ${wanted || '""'}: it must be words of a kernel's name; the kernels are ${
          all.map(({ name }) => name).join(", ")
        }`,
      );
    }
  }
  return words.length === 0 ? all : all.filter((kernel) => words.some((wanted) => named(kernel, wanted)));
}
