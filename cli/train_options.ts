/**
 * The options of `dualscan train`.
 *
 * @module
 */
import { parsedLengths } from "../bench/errors/lengths.ts";
import { type GpuPolicy, gpuPolicy } from "../kernels/device.ts";
import { InputError } from "../models/error.ts";
import { CONTROL, modelNames } from "../tasks/train/networks.ts";
import { defaultPresets, type Preset, presets } from "../tasks/train/presets.ts";
import { totalSteps, type TrainingPlan } from "../tasks/train/plan.ts";
import { type Schedule, scheduleKinds } from "../tasks/train/schedule.ts";
import { type ProductMode, productModes, type Setup, type TaskName, taskNames } from "../tasks/train/setup.ts";
import { type TokeniserName, tokeniserNames } from "../tasks/tokenisers.ts";
import { oneOf, parse, type Parsed, wholeNumber } from "./arguments.ts";

export const trainHelp: string = `dualscan train TASK   trains a network, keeps checkpoints, and evaluates it
dualscan train --resume DIR

  TASK                 ${taskNames.join(", ")}
  --preset NAME        the setting (default: the task's small one; --preset list prints all)
  --model NAME         another network of the setting's width and blocks: t-psm, gpt2, sliding-window, mamba, gla …
                       (--model list prints all; ${CONTROL} is the control without memory, on the CPU)
  --layers N           blocks (of a Transformer-PSM those of Inf)
  --steps N            steps in all, shared equally by the stages
  --batch N            sequences of a step, in every stage, also those whose setting has another number
  --length N           train at this length alone, in place of the setting's
  --from N             begin at this length: leave out stages of shorter sequences
  --begin-with DIR     begin with the parameters of that run: of the same network, but that its chunks may be shorter; its
                       task may be another of as many tokens
  --dropout X          rate of dropout, from 0 to below 1, in the stages that have any
  --rate X             peak of the learning rate
  --schedule KIND      ${scheduleKinds.join(", ")}
  --products MODE      matrix products that are not small: f32; split (f32 as two halves) or f16 on matrix units, where
                       there are any (default: split)
  --seed N             of parameters, data and dropout (default: 1)
  --evaluate LENGTHS   lengths of the test split to report on: 18,36 or 64…512
  --text PATH          text: a UTF-8 file or folder (default: the text that comes with the package)
  --tokens KIND        text: ${tokeniserNames.join(" or ")}
  --modulus N          modular: what is added modulo N (default: 5)
  --out DIR            keep checkpoints and log.jsonl there; a folder without a run
  --shard-mib N        checkpoints in files of at most N MiB
  --save-every N       steps between checkpoints (default: a minute); the beginning is kept in any case
  --minutes M          stop after M minutes, with a checkpoint to go on from
  --resume DIR         go on exactly as if nothing had been; only --minutes, --evaluate, --save-every, --shard-mib,
                       --json and --gpu may be given with it
  --gradients FILE     only write parameters, first batch and its gradients to FILE, for bench/torch_psm.py
  --profile            only say where a step of the last stage takes its time, on the device and on the host
  --gpu auto|off|require
                       default: DUALSCAN_GPU, or auto
  --json               the log's lines on stdout, nothing else
  --help

Exit status: 0 trained, or stopped by --minutes; 1 the loss was no number, or a setting's stated quality was not reached; 2
unusable arguments or input.`;

/** What a run keeps and when it stops; none of it changes what is learnt. */
export interface TrainKeeping {
  readonly shardBytes: number | undefined;
  readonly saveEvery: number | undefined;
  readonly minutes: number | undefined;
  readonly gpu: GpuPolicy;
  readonly json: boolean;
}

/** What was asked for. */
export type TrainArguments =
  | { readonly kind: "text"; readonly text: string }
  | {
    readonly kind: "new";
    readonly setup: Setup;
    /** The run to begin with. */
    readonly beginWith: string | undefined;
    readonly folder: string | undefined;
    readonly gradients: string | undefined;
    readonly profile: boolean;
    readonly keeping: TrainKeeping;
  }
  | {
    readonly kind: "resume";
    readonly folder: string;
    readonly evaluate: readonly number[] | undefined;
    readonly keeping: TrainKeeping;
  };

const MIB = 2 ** 20;
const whileResuming: readonly string[] = ["resume", "minutes", "evaluate", "save-every", "shard-mib", "json", "gpu"];

/** A number > 0. */
function positive(what: string, text: string): number {
  const value = /^[\d.]+(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
  if (!(value > 0) || !Number.isFinite(value)) {
    throw new InputError(`Cannot use ${what}: it must be a number > 0, got ${text === "" ? "nothing" : text}`);
  }
  return value;
}

/** A number from 0 to below 1. */
function share(what: string, text: string): number {
  const value = /^[\d.]+(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : NaN;
  if (!(value >= 0 && value < 1)) {
    throw new InputError(`Cannot use ${what}: it must be a number from 0 to below 1, got ${text}`);
  }
  return value;
}

/** The task before the options, if one is there. */
function split(args: readonly string[]): readonly [string | undefined, readonly string[]] {
  const [first, ...rest] = args;
  return first === undefined || first.startsWith("-") ? [undefined, args] : [first, rest];
}

/** Parses the arguments that follow `train`. Throws an {@link InputError}. */
export function trainArguments(args: readonly string[]): TrainArguments {
  const [word, options] = split(args);
  const parsed = parse("train", options, {
    preset: { type: "string" },
    model: { type: "string" },
    layers: { type: "string" },
    steps: { type: "string" },
    batch: { type: "string" },
    length: { type: "string" },
    from: { type: "string" },
    "begin-with": { type: "string" },
    dropout: { type: "string" },
    rate: { type: "string" },
    schedule: { type: "string" },
    products: { type: "string" },
    seed: { type: "string" },
    evaluate: { type: "string" },
    text: { type: "string" },
    tokens: { type: "string" },
    modulus: { type: "string" },
    out: { type: "string" },
    "shard-mib": { type: "string" },
    "save-every": { type: "string" },
    minutes: { type: "string" },
    resume: { type: "string" },
    gradients: { type: "string" },
    profile: { type: "boolean" },
    gpu: { type: "string" },
    json: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  });
  const { values } = parsed;
  if (values["help"] === true || word === "help") return { kind: "text", text: trainHelp };
  const text = reader(parsed);
  if (text("preset") === "list") {
    return { kind: "text", text: presets.map(({ name, about }) => `${name.padEnd(16)} ${about}`).join("\n") };
  }
  if (text("model") === "list") return { kind: "text", text: modelNames.join("\n") };
  const keeping = keepingOf(parsed);
  const evaluate = text("evaluate") === undefined ? undefined : parsedLengths(text("evaluate")!, "--evaluate");
  const folder = text("resume");
  if (folder !== undefined) {
    const other = word === undefined
      ? Object.keys(values).find((name) => !whileResuming.includes(name))
      : `the task ${word}`;
    if (other !== undefined) {
      throw new InputError(
        `Cannot resume ${folder}: what is learnt is fixed by its checkpoint, got ${
          other.startsWith("the task") ? other : `--${other}`
        }`,
      );
    }
    return { kind: "resume", folder, evaluate, keeping };
  }
  if (word === undefined) {
    throw new InputError(`Cannot train: it takes a task (${taskNames.join(", ")}) or --resume DIR, got nothing`);
  }
  if (keeping.minutes !== undefined && text("out") === undefined) {
    throw new InputError("Cannot use --minutes: what was learnt until then must be kept by --out DIR, got none");
  }
  const alone = ["begin-with", "gradients", "out"].find((name) =>
    values["profile"] === true && values[name] !== undefined
  );
  if (alone !== undefined) {
    throw new InputError(
      `Cannot use --profile: ${
        alone === "begin-with"
          ? "a step takes its time whatever the parameters are"
          : "nothing is kept of what it trains"
      }, got --${alone}`,
    );
  }
  const task = oneOf<TaskName>("the task", word, taskNames);
  return {
    kind: "new",
    setup: setupOf(task, text, evaluate),
    beginWith: text("begin-with"),
    folder: text("out"),
    gradients: text("gradients"),
    profile: values["profile"] === true,
    keeping,
  };
}

type Reader = (name: string) => string | undefined;

/** An option's text; an empty one is refused. */
function reader({ values }: Parsed): Reader {
  return (name) => {
    const value = values[name];
    if (value === "") throw new InputError(`Cannot use --${name}: it must have a value, got nothing`);
    return typeof value === "string" ? value : undefined;
  };
}

function keepingOf(parsed: Parsed): TrainKeeping {
  const text = reader(parsed);
  const [shard, every, minutes, gpu] = ["shard-mib", "save-every", "minutes", "gpu"].map(text);
  return {
    shardBytes: shard === undefined ? undefined : MIB * wholeNumber("--shard-mib", shard, 1, 1024),
    saveEvery: every === undefined ? undefined : wholeNumber("--save-every", every, 1),
    minutes: minutes === undefined ? undefined : positive("--minutes", minutes),
    gpu: gpu === undefined ? gpuPolicy() : oneOf("--gpu", gpu, ["auto", "off", "require"]),
    json: parsed.values["json"] === true,
  };
}

function presetOf(task: TaskName, name: string | undefined): Preset {
  const fitting = presets.filter((preset) => preset.task.name === task);
  const wanted = name ?? defaultPresets[task];
  const found = fitting.find((preset) => preset.name === wanted);
  if (found !== undefined) return found;
  throw new InputError(
    `Cannot train ${task}: its presets are ${fitting.map((preset) => preset.name).join(", ")}, got ${wanted}`,
  );
}

/** The same steps, all of one length. */
function atLength(plan: TrainingPlan, length: number): TrainingPlan {
  return { ...plan, stages: [{ from: length, to: length, steps: totalSteps(plan) }] };
}

/** The stages of sequences of at least so many tokens. */
function beginningAt(plan: TrainingPlan, from: number): TrainingPlan {
  const stages = plan.stages.filter(({ to }) => to >= from);
  if (stages.length > 0) return { ...plan, stages };
  throw new InputError(
    `Cannot use --from: it must be at most the longest length, ${
      Math.max(...plan.stages.map(({ to }) => to))
    }, got ${from}`,
  );
}

/** Batches of so many sequences in every stage: what is asked for is what a step has. */
function inBatchesOf({ stages, ...plan }: TrainingPlan, batch: number): TrainingPlan {
  return { ...plan, batch, stages: stages.map(({ batch: _batch, ...stage }) => stage) };
}

/** Options that belong to one task. */
const ownOptions: { readonly [option: string]: TaskName } = { text: "text", tokens: "text", modulus: "modular" };

function setupOf(task: TaskName, text: Reader, evaluate: readonly number[] | undefined): Setup {
  const { name, about: _about, quality: _quality, ...preset } = presetOf(task, text("preset"));
  for (const [option, owner] of Object.entries(ownOptions)) {
    if (text(option) !== undefined && owner !== task) {
      throw new InputError(`Cannot use --${option}: it belongs to the task ${owner}, got ${task}`);
    }
  }
  const [model, layers, dropout, steps, batch, length, from, rate, schedule, products, seed, path, tokens, modulus] = [
    "model",
    "layers",
    "dropout",
    "steps",
    "batch",
    "length",
    "from",
    "rate",
    "schedule",
    "products",
    "seed",
    "text",
    "tokens",
    "modulus",
  ].map(text);
  const asked = length === undefined ? preset.plan : atLength(preset.plan, wholeNumber("--length", length, 1));
  const later = from === undefined ? asked : beginningAt(asked, wholeNumber("--from", from, 1));
  const plan = batch === undefined ? later : inBatchesOf(later, wholeNumber("--batch", batch, 1));
  const each = steps === undefined
    ? undefined
    : Math.floor(wholeNumber("--steps", steps, plan.stages.length) / plan.stages.length);
  return {
    ...preset,
    preset: name,
    task: {
      ...preset.task,
      ...(path === undefined ? {} : { path }),
      ...(tokens === undefined ? {} : { tokens: oneOf<TokeniserName>("--tokens", tokens, tokeniserNames) }),
      ...(modulus === undefined ? {} : { modulus: wholeNumber("--modulus", modulus, 2, 256) }),
    },
    model: {
      name: model === undefined ? preset.model.name : oneOf("--model", model, modelNames),
      sizes: {
        ...preset.model.sizes,
        ...(layers === undefined ? {} : { layers: wholeNumber("--layers", layers, 1) }),
        ...(dropout === undefined ? {} : { dropout: share("--dropout", dropout) }),
      },
    },
    plan: {
      ...plan,
      stages: each === undefined ? plan.stages : plan.stages.map((stage) => ({ ...stage, steps: each })),
      rate: rate === undefined ? plan.rate : positive("--rate", rate),
      schedule: {
        ...plan.schedule,
        ...(schedule === undefined ? {} : { kind: oneOf<Schedule["kind"]>("--schedule", schedule, scheduleKinds) }),
      },
    },
    ...(products === undefined ? {} : { products: oneOf<ProductMode>("--products", products, productModes) }),
    seed: seed === undefined ? 1 : wholeNumber("--seed", seed, 0, 2 ** 32 - 1),
    evaluate: evaluate ?? preset.evaluate,
  };
}
