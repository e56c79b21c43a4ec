/**
 * The options of `dualscan check`.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { InputError } from "../models/error.ts";
import { type Fault, faults } from "../models/execution.ts";
import { models } from "../models/mod.ts";
import { type GpuPolicy, gpuPolicy } from "../kernels/device.ts";
import { defaultLengths } from "../oracle/duality.ts";
import { oneOf, parse, wholeNumber } from "./arguments.ts";

/** Lengths of the fused kernels on a software adapter, unless lengths are asked for. */
export const softwareLengths: readonly number[] = [0, 1, 65, 129];

/** What a GPU runs: the generic kernel, the fused ones, or both. */
export type KernelSet = "generic" | "fused" | "all";
const kernelSets: readonly KernelSet[] = ["generic", "fused", "all"];

export const checkHelp: string =
  `dualscan check — takes every model through every execution and judges it against the exact oracle

  --model NAME[,NAME…]   only these models (default: all; --model list prints their names)
  --lengths N[,N…]       sequence lengths (default: ${defaultLengths.join(",")})
  --seed N               seed of all inputs (default: 1)
  --gpu auto|off|require whether to use a GPU (default: DUALSCAN_GPU, or auto)
  --kernels generic|fused|all
                         which kernels a GPU runs (default: all)
  --text FILE            real input from this file's bytes (default: the text that comes with the package)
  --jobs N               models checked at a time (default: the cores, at most 2)
  --json                 one JSON object per row on stdout, nothing else
  --plant FAULT          plant a fault (${faults.join(", ")}) in every execution, to see the check fail
  --help

Without --lengths, a GPU that computes on the CPU (SwiftShader, lavapipe) runs the fused kernels only at
${softwareLengths.join(", ")}; the first line of the report says so. Other GPUs run all kernels at all lengths.

Exit status: 0 all checks hold, 1 a check failed, 2 unusable arguments or input.`;

/** What was asked for. */
export interface CheckArguments {
  readonly help: boolean;
  readonly list: boolean;
  readonly names: readonly string[];
  readonly lengths: readonly number[];
  /** Whether lengths were asked for. */
  readonly givenLengths: boolean;
  readonly seed: number;
  readonly gpu: GpuPolicy;
  readonly kernels: KernelSet;
  readonly text: string | undefined;
  readonly jobs: number;
  readonly json: boolean;
  readonly plant: Fault | undefined;
}

/** Longest length of a check. Every exact prefix is held at once; longer runs stream (see the tests). */
const LONGEST = 2 ** 16;

/** Parses the arguments that follow `check`. Throws an {@link InputError}. */
export function checkArguments(args: readonly string[]): CheckArguments {
  const { values } = parse("check", args, {
    model: { type: "string", multiple: true },
    lengths: { type: "string" },
    seed: { type: "string" },
    gpu: { type: "string" },
    kernels: { type: "string" },
    text: { type: "string" },
    jobs: { type: "string" },
    json: { type: "boolean" },
    plant: { type: "string" },
    help: { type: "boolean", short: "h" },
  });
  const given = (values["model"] as string[] | undefined)?.flatMap((names) => names.split(","));
  const all = models.map(({ name }) => name);
  const list = given?.includes("list") === true;
  for (const name of list ? [] : given ?? []) {
    if (!all.includes(name)) {
      throw new InputError(`Cannot check ${name || "a model without a name"}: the models are ${all.join(", ")}`);
    }
  }
  const lengths = values["lengths"] as string | undefined;
  return {
    help: values["help"] === true,
    list,
    names: given === undefined ? all : all.filter((name) => given.includes(name)),
    lengths: lengths?.split(",").map((text) => wholeNumber("--lengths", text.trim(), 0, LONGEST)) ?? defaultLengths,
    givenLengths: lengths !== undefined,
    seed: values["seed"] === undefined ? 1 : wholeNumber("--seed", values["seed"] as string, 0),
    gpu: values["gpu"] === undefined
      ? gpuPolicy()
      : oneOf("--gpu", values["gpu"] as string, ["auto", "off", "require"]),
    kernels: values["kernels"] === undefined ? "all" : oneOf("--kernels", values["kernels"] as string, kernelSets),
    text: values["text"] as string | undefined,
    jobs: values["jobs"] === undefined
      ? Math.max(1, Math.min(2, availableParallelism()))
      : wholeNumber("--jobs", values["jobs"] as string, 1, 64),
    json: values["json"] === true,
    plant: values["plant"] === undefined ? undefined : oneOf("--plant", values["plant"] as string, faults),
  };
}

/** The bytes of a text file. Throws an {@link InputError} that says why it cannot be read. */
export function readText(path: string): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const code = (error as { code?: string }).code ?? (error as Error).message.split("\n")[0];
    throw new InputError(`Cannot read --text ${path}: ${code}`);
  }
  if (bytes.length === 0) throw new InputError(`Cannot use --text ${path}: it must hold at least one byte, got 0`);
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new InputError(`Cannot use --text ${path}: it must be UTF-8 text, got other bytes`);
  }
  return bytes;
}
