/**
 * `dualscan bench`: times the kernels and scans, each only after its result was held to the oracle's derived bound.
 *
 * @module
 */
import { InputError } from "../models/error.ts";
import { tableHead, tableLine } from "./format.ts";
import { effortOf, type Kernel } from "./kernel.ts";
import { kernels } from "./kernels.ts";
import { openGpu } from "./open_gpu.ts";
import { type BenchOutput, terminal } from "./output.ts";
import { benchArguments, benchHelp, chosenKernels } from "./options.ts";
import { runKernels } from "./run.ts";
import { resultFile, resultPath } from "./save.ts";

/** Commands of their own, by the first word; loaded when asked for. */
const commands: { readonly [word: string]: (args: readonly string[], output: BenchOutput) => Promise<number> } = {
  fused: async (args, output) => await (await import("./fused/command.ts")).benchFused(args, output),
  compare: async (args, output) => await (await import("./fused/compare.ts")).benchCompare(args, output),
  errors: async (args, output) => await (await import("./errors/command.ts")).benchErrors(args, output),
  collect: async (args, output) => (await import("./experiments/command.ts")).benchCollect(args, output),
  table: async (args, output) => (await import("./readme.ts")).benchTable(args, output),
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
    const command = commands[args[0] ?? ""];
    return await (command === undefined ? run(args, all, output) : command(args.slice(1), output));
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
  const save = asked.save === undefined ? undefined : resultFile(resultPath(asked.save));
  const onGpu = chosen.filter(({ device }) => device === "gpu");
  const gpu = onGpu.length === 0 ? undefined : await openGpu(asked.gpu, {
    what: onGpu.map(({ name }) => name).join(", "),
    command: "dualscan bench --gpu auto",
  }, err);
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
