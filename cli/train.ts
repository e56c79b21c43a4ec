/**
 * `dualscan train`.
 *
 * @module
 */
import { appendFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import process from "node:process";
import { terminal } from "../bench/output.ts";
import type { BenchOutput } from "../bench/output.ts";
import { type Gpu, openDevice } from "../kernels/device.ts";
import { openTraining } from "../kernels/nn/training_session.ts";
import { InputError } from "../models/error.ts";
import type { TrainingSession } from "../models/networks/training.ts";
import type { Task } from "../tasks/task.ts";
import { fileKinds } from "../tasks/text_files.ts";
import { beginning, beginningText, checkBeginning } from "../tasks/train/beginning.ts";
import { type Checkpoint, loadCheckpoint } from "../tasks/train/checkpoint.ts";
import { firstGradients, revealing } from "../tasks/train/gradients.ts";
import type { EvaluationLine, LogLine, StepLine } from "../tasks/train/log.ts";
import { DivergedError } from "../tasks/train/loop.ts";
import { modelNames } from "../tasks/train/networks.ts";
import { timedStep } from "../tasks/train/profile.ts";
import { stepsLeft } from "../tasks/train/plan.ts";
import { presets } from "../tasks/train/presets.ts";
import { type RunResult, runTraining } from "../tasks/train/run.ts";
import { safetensors } from "../tasks/train/safetensors.ts";
import { checkCheckpoint, checkLengths, checkShards, sessionOf } from "../tasks/train/session.ts";
import { type Setup, taskOf } from "../tasks/train/setup.ts";
import { trainCommand } from "./train_command.ts";
import { type TrainArguments, trainArguments, type TrainKeeping } from "./train_options.ts";

/** A run to be made: what, from where. */
interface Job {
  readonly setup: Setup;
  readonly task: Task;
  readonly folder: string | undefined;
  readonly checkpoint: Checkpoint | undefined;
  /** Of a new run: what it begins with. */
  readonly begin: Checkpoint | undefined;
  readonly keeping: TrainKeeping;
  /** What began it, for the log; undefined when it goes on. */
  readonly command: string | undefined;
}

/** Everything that can be found wrong without a GPU. Throws an {@link InputError}. */
async function prepared(
  args: Exclude<TrainArguments, { readonly kind: "text" }>,
  argv: readonly string[],
  output: BenchOutput,
): Promise<Job> {
  const { keeping } = args;
  const checkpoint = args.kind === "resume" ? loadCheckpoint(args.folder) : undefined;
  const beginWith = args.kind === "new" ? args.beginWith : undefined;
  const begin = beginWith === undefined ? undefined : loadCheckpoint(beginWith, "begin with");
  const fixed = args.kind === "resume"
    ? checkpoint!.setup
    : { ...args.setup, ...(begin === undefined ? {} : { begunWith: beginningText(begin) }) };
  const setup = args.kind === "resume" && args.evaluate !== undefined ? { ...fixed, evaluate: args.evaluate } : fixed;
  if (!modelNames.includes(setup.model.name)) {
    throw new InputError(`Cannot train ${setup.model.name}: the models are ${modelNames.join(", ")}`);
  }
  const task = await taskOf(setup.task);
  checkLengths(task, setup);
  if (checkpoint !== undefined) checkCheckpoint({ ...checkpoint, setup }, task, args.folder!);
  if (begin !== undefined) checkBeginning(begin, setup, task, beginWith!);
  if (args.folder !== undefined) checkShards(setup, task, keeping.shardBytes);
  const kinds = setup.task.name === "text" && setup.task.path !== undefined ? fileKinds(setup.task.path) : undefined;
  if (kinds !== undefined) output.err(`${setup.task.path}: all files are read: ${kinds}`);
  if (args.kind === "new" && args.folder !== undefined) emptyFolder(args.folder);
  const command = args.kind === "new" ? trainCommand(argv) : undefined;
  return { setup, task, folder: args.folder, checkpoint, begin, keeping, command };
}

/** Makes a folder for a run; one that holds a run is refused, so that nothing kept is lost. */
function emptyFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new InputError(
      `Cannot keep a run in ${folder}: ${(error as { code?: string }).code ?? "it must be a folder"}`,
    );
  }
  const names = readdirSync(folder);
  const held = names.find((name) => name.startsWith("step-"));
  if (held !== undefined) {
    throw new InputError(
      `Cannot begin a run in ${folder}: it holds one already (${held}); go on with --resume ${folder}`,
    );
  }
  if (names.includes("log.jsonl")) {
    throw new InputError(
      `Cannot begin a run in ${folder}: it must hold none, got the log of one that ended before its first checkpoint (log.jsonl)`,
    );
  }
}

const percent = (share: number): string => `${(100 * share).toPrecision(3)} %`;

/** `3 min`, `40 s` */
function duration(seconds: number): string {
  return seconds >= 5400
    ? `${(seconds / 3600).toFixed(1)} h`
    : seconds >= 90
    ? `${Math.round(seconds / 60)} min`
    : `${Math.round(seconds)} s`;
}

function evaluationText({ split, step, length, loss, error, insideLoss }: EvaluationLine): string {
  const inside = insideLoss === undefined ? "" : `, ${insideLoss.toFixed(4)} without first tokens of chunks`;
  return `${split} at step ${step}, length ${length}: error ${percent(error)}, loss ${loss.toFixed(4)}${inside}`;
}

/** A session that the setup asks for, and the device it is on, if it is on one. */
async function opened(
  setup: Setup,
  task: Task,
  { gpu: policy }: TrainKeeping,
): Promise<{ readonly session: TrainingSession; readonly gpu: Gpu | undefined }> {
  let gpu: Gpu | undefined;
  try {
    const session = await sessionOf(setup, task, async (network, { seed, optimiser, products }) => {
      if (policy === "off") {
        throw new InputError(`Cannot train ${setup.model.name}: it needs a GPU, got --gpu off`);
      }
      gpu = await openDevice();
      return openTraining(gpu, network, { seed, optimiser, ...(products && { mode: products }) });
    });
    return { session, gpu };
  } catch (error) {
    await gpu?.close();
    throw error;
  }
}

/** Runs a job; gives the exit status. */
async function trained(
  { setup, task, folder, checkpoint, begin, keeping, command }: Job,
  output: BenchOutput,
): Promise<number> {
  let interrupted = false;
  const interrupt = (): void => void (interrupted = true);
  process.once("SIGINT", interrupt);
  const { session, gpu } = await opened(setup, task, keeping);
  try {
    if (checkpoint !== undefined) session.load(checkpoint);
    if (begin !== undefined) session.load({ steps: 0, arrays: beginning((await session.state()).arrays, begin) });
    // The clock runs from the first step: a large network's first checkpoint takes a while.
    let began: number | undefined;
    const late = (): boolean =>
      keeping.minutes !== undefined && performance.now() - (began ??= performance.now()) >= 60_000 * keeping.minutes;
    const result = await runTraining(session, task, setup, {
      ...(checkpoint === undefined ? {} : { position: checkpoint.position }),
      ...(folder === undefined ? {} : { folder }),
      ...(keeping.shardBytes === undefined ? {} : { shardBytes: keeping.shardBytes }),
      ...(keeping.saveEvery === undefined ? {} : { saveEvery: keeping.saveEvery }),
      stop: () => interrupted || late(),
      adapter: gpu === undefined ? "cpu" : `${gpu.adapter.description} (${gpu.adapter.provider})`,
      ...(command === undefined ? {} : { command }),
      ...reporting(setup, keeping, output),
    });
    output.progress("");
    return concluded(result, setup, folder, keeping, output);
  } catch (error) {
    output.progress("");
    if (!(error instanceof DivergedError)) throw error;
    output.err(`${error.message}${folder === undefined ? "" : `; ${folder} keeps the last checkpoint`}`);
    return 1;
  } finally {
    process.off("SIGINT", interrupt);
    session.close();
    await gpu?.close();
  }
}

/** Writes the first batch and its gradients. */
async function writeGradients(
  { setup: given, task, begin, keeping }: Job,
  file: string,
  output: BenchOutput,
): Promise<number> {
  const setup = revealing(given);
  const keep = createFile(file);
  const { session, gpu } = await opened(setup, task, keeping);
  try {
    if (begin !== undefined) session.load({ steps: 0, arrays: beginning((await session.state()).arrays, begin) });
    const { arrays, metadata } = await firstGradients(session, task, setup);
    keep(safetensors(arrays, metadata));
    output.out(file);
    return 0;
  } finally {
    session.close();
    await gpu?.close();
  }
}

/** Says where a step's time goes. */
async function profiled({ setup, task, keeping }: Job, output: BenchOutput): Promise<number> {
  const { session, gpu } = await opened(setup, task, keeping);
  try {
    const { kernels, ...step } = await timedStep(session, task, setup);
    const apart = kernels.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    if (keeping.json) {
      const { name: network, sizes } = setup.model;
      const of = { task: setup.task.name, model: network, preset: setup.preset, sizes, products: setup.products };
      const adapter = `${gpu!.adapter.description} (${gpu!.adapter.provider})`;
      const date = new Date().toISOString();
      output.out(JSON.stringify({ kind: "profile", ...of, ...step, apartMilliseconds: apart, adapter, date }));
      for (const kernel of kernels) output.out(JSON.stringify({ kind: "kernels", ...kernel }));
      return 0;
    }
    const { batch, length, millisecondsPerStep, hostMilliseconds, dispatches } = step;
    output.out(
      `${setup.model.name}, ${setup.preset}, ${batch} x ${length} tokens: ${
        milliseconds(millisecondsPerStep)
      } a step; ` +
        `${dispatches} dispatches, which the host encodes in ${milliseconds(hostMilliseconds)}; ` +
        `on the device, kernel by kernel, ${milliseconds(apart)}:`,
    );
    for (const { name, uses, dispatches, milliseconds: taken } of kernels) {
      output.out(
        `${milliseconds(taken).padStart(10)} ${percent(taken / apart).padStart(8)} ${
          `${dispatches}`.padStart(6)
        } dispatches of ${uses} x ${name}`,
      );
    }
    return 0;
  } finally {
    session.close();
    await gpu?.close();
  }
}

const milliseconds = (value: number): string => `${value.toPrecision(3)} ms`;

/** Opens a file that can be written, before any work. */
function createFile(path: string): (parts: readonly Uint8Array[]) => void {
  try {
    appendFileSync(path, "");
  } catch (error) {
    throw new InputError(`Cannot write ${path}: ${(error as { code?: string }).code ?? "it must be a file"}`);
  }
  return (parts) => {
    writeFileSync(path, "");
    for (const part of parts) appendFileSync(path, part);
  };
}

/** What is said while it runs. */
function reporting(setup: Setup, { json }: TrainKeeping, output: BenchOutput): {
  readonly onLine: (line: LogLine) => void;
  readonly onStep: (line: StepLine, position: { readonly stage: number; readonly begun: number }) => void;
} {
  let error = "";
  let seconds = 0;
  let steps = 0;
  return {
    onLine(line) {
      if (line.kind === "evaluation") error = ` error ${percent(line.error)}`;
      if (json) output.out(JSON.stringify(line));
      else if (line.kind === "evaluation" && line.split === "test") output.out(evaluationText(line));
    },
    onStep(line, position) {
      seconds += line.ms / 1000;
      const left = stepsLeft(setup.plan, position, line.step);
      output.progress(
        `step ${line.step} length ${line.length} loss ${line.loss.toFixed(4)}${error} ` +
          `${line.tokensPerSecond.toPrecision(3)} tokens/s, at most ${duration(left * seconds / ++steps)} left`,
      );
    },
  };
}

function concluded(
  { finished, step, evaluations }: RunResult,
  setup: Setup,
  folder: string | undefined,
  { json }: TrainKeeping,
  output: BenchOutput,
): number {
  if (!finished) {
    output.err(
      `stopped after step ${step}${folder === undefined ? "" : `; go on with: dualscan train --resume ${folder}`}`,
    );
    return 0;
  }
  if (!json) {
    output.out(`${setup.model.name} on ${setup.task.name}, preset ${setup.preset}, seed ${setup.seed}: ${step} steps`);
  }
  const preset = presets.find(({ name }) => name === setup.preset);
  const { quality } = preset ?? {};
  const at = evaluations.find(({ length }) => length === quality?.length);
  if (quality === undefined || at === undefined || at.error <= quality.error) return 0;
  output.err(
    `FAILED ${setup.preset} with ${setup.model.name}: error at length ${quality.length} must be ≤ ${
      percent(quality.error)
    }, got ${percent(at.error)}`,
  );
  return 1;
}

/** Runs the command; resolves to its exit status. Throws an {@link InputError} on unusable arguments or input. */
export async function train(argv: readonly string[], output: BenchOutput = terminal): Promise<number> {
  const args = trainArguments(argv);
  if (args.kind === "text") {
    output.out(args.text);
    return 0;
  }
  if (args.kind === "resume" && !existsSync(args.folder)) {
    throw new InputError(`Cannot resume ${args.folder}: it must be a folder with a run, got none`);
  }
  const job = await prepared(args, argv, output);
  if (args.kind === "new" && args.profile) return await profiled(job, output);
  const file = args.kind === "new" ? args.gradients : undefined;
  return file === undefined ? await trained(job, output) : await writeGradients(job, file, output);
}
