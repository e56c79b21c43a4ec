/**
 * Checking one model in this process.
 *
 * @module
 */
import { InputError } from "../models/error.ts";
import { fusedExecutions } from "../kernels/fused.ts";
import type { Gpu } from "../kernels/gpu.ts";
import { gpuExecution } from "../kernels/scan.ts";
import type { Execution } from "../models/execution.ts";
import { models } from "../models/mod.ts";
import { textSource } from "../models/source.ts";
import { type CheckOptions, cpuExecutions, dualityRows, expectedRows } from "../oracle/duality.ts";
import type { Row } from "../oracle/report.ts";
import { corpus } from "../tasks/corpus.ts";
import { type CheckArguments, readText, softwareLengths } from "./check_options.ts";

/** What a device runs. */
export interface DeviceExecutions {
  readonly generic: readonly Execution[];
  readonly fused: readonly Execution[];
  /** Whether the fused ones are run at few lengths. */
  readonly few: boolean;
}

/** The executions of a device; none without one. */
export function deviceExecutions(gpu: Gpu | undefined, { kernels, givenLengths }: CheckArguments): DeviceExecutions {
  if (gpu === undefined) return { generic: [], fused: [], few: false };
  const fused = kernels === "generic" ? [] : fusedExecutions(gpu);
  return {
    generic: kernels === "fused" ? [] : [gpuExecution(gpu)],
    fused,
    few: fused.length > 0 && gpu.adapter.software && !givenLengths,
  };
}

/** The library options that the arguments come to. */
export function libraryOptions({ lengths, seed, text, plant }: CheckArguments): CheckOptions {
  const bytes = text === undefined ? corpus() : readText(text);
  return {
    lengths,
    seed,
    realSources: [textSource(bytes)],
    ...(plant === undefined ? {} : { plant }),
  };
}

/** The command that runs a failed row again. */
function replayOf(row: Row, { gpu, kernels, text }: CheckArguments): string | undefined {
  if (row.replay === undefined) return undefined;
  const at = (gpu === gpuDefault ? "" : ` --gpu ${gpu}`) + (kernels === "all" ? "" : ` --kernels ${kernels}`);
  return `npm run -s ${row.replay.replace("dualscan check", "dualscan -- check")}${at}${
    text === undefined ? "" : ` --text ${text}`
  }`;
}

const gpuDefault = "auto";

/** Checks one model; every row is handed on as it is found, and missing rows are an error. */
export async function checkModel(
  name: string,
  { generic, fused, few }: DeviceExecutions,
  args: CheckArguments,
  onRow: (row: Row) => void,
): Promise<void> {
  const model = models.find((candidate) => candidate.name === name);
  if (model === undefined) throw new InputError(`Cannot check ${name}: no such model`);
  const options: CheckOptions = {
    ...libraryOptions(args),
    ...(few ? { fewerLengths: (execution) => fused.includes(execution) ? softwareLengths : undefined } : {}),
  };
  const executions = [...cpuExecutions(), ...generic, ...fused];
  let count = 0;
  for await (const row of dualityRows(model, executions, options)) {
    count++;
    const replay = replayOf(row, args);
    onRow(replay === undefined ? row : { ...row, replay });
  }
  const expected = expectedRows(model, executions, options);
  if (count !== expected) throw new Error(`Cannot vouch for ${name}: ${expected} rows were expected, ${count} came`);
}
