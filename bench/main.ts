/**
 * `dualscan bench`: times the kernels and scans, each only after its result was held to the oracle's derived bound.
 *
 * @module
 */
import process from "node:process";
import { type Gpu, type GpuPolicy, NoAdapterError, openDevice } from "../kernels/device.ts";
import { InputError } from "../models/error.ts";
import { tableHead, tableLine } from "./format.ts";
import { effortOf, type Kernel } from "./kernel.ts";
import { kernels } from "./kernels.ts";
import { benchArguments, benchHelp, chosenKernels } from "./options.ts";
import { runKernels } from "./run.ts";
import { resultFile } from "./save.ts";

/** Where lines go; progress replaces itself. */
export interface BenchOutput {
  out(line: string): void;
  err(line: string): void;
  progress(text: string): void;
}

const terminal: BenchOutput = {
  out: (line) => void process.stdout.write(`${line}\n`),
  err: (line) => void process.stderr.write(`${line}\n`),
  progress(text) {
    if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
  },
};

/**
 * Runs the command on what follows `bench`; resolves to its exit status: 0 all timed, 1 a result was wrong and so not
 * timed, 2 unusable arguments, or no GPU where one is required. `all` and `output` are for tests.
 */
export async function bench(
  args: readonly string[],
  all: readonly Kernel[] = kernels,
  output: BenchOutput = terminal,
): Promise<number> {
  try {
    return await run(args, all, output);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    output.err(error.message);
    return 2;
  }
}

async function run(
  args: readonly string[],
  all: readonly Kernel[],
  { out, err, progress }: BenchOutput,
): Promise<number> {
  const asked = benchArguments(args);
  if (asked.help) {
    out(benchHelp);
    return 0;
  }
  const chosen = chosenKernels(all, asked.words);
  if (asked.list) {
    for (const { name } of chosen) out(name);
    return 0;
  }
  const save = asked.save === undefined ? undefined : resultFile(asked.save);
  const onGpu = chosen.filter(({ device }) => device === "gpu");
  const gpu = onGpu.length === 0 ? undefined : await device(asked.gpu, onGpu, err);
  if (!asked.json) {
    if (gpu !== undefined) out(`device: ${gpu.adapter.description} (${gpu.adapter.provider})`);
    out(tableHead());
  }
  try {
    const right = await runKernels(chosen, effortOf(asked.quick), gpu, {
      onStart: ({ name }) => progress(`${name}: checking and timing`),
      onResult(result) {
        progress("");
        out(asked.json ? JSON.stringify(result) : tableLine(result));
        save?.(result);
      },
      onFailure({ name }, reason) {
        progress("");
        err(`FAILED ${name}, not timed: ${reason.message}`);
      },
    });
    return right ? 0 : 1;
  } finally {
    progress("");
    await gpu?.close();
  }
}

/** A GPU, or in words which kernels were left out, why, and the command that enables them. */
async function device(
  policy: GpuPolicy,
  kernels: readonly Kernel[],
  err: BenchOutput["err"],
): Promise<Gpu | undefined> {
  const left = `not run: ${kernels.map(({ name }) => name).join(", ")}`;
  if (policy === "off") {
    err(`${left}: the GPU is off; enable them with: dualscan bench --gpu auto`);
    return undefined;
  }
  try {
    return await openDevice();
  } catch (error) {
    if (policy === "require" || !(error instanceof NoAdapterError)) throw error;
    err(`${left}: ${error.message}`);
    return undefined;
  }
}
