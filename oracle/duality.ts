/**
 * checkDuality: takes a model through every execution and judges it — the harness, for the kit's models and for a
 * user's own.
 *
 * @module
 */
import type { AnyAffineModel, Sizes } from "../models/affine.ts";
import type { Execution, Fault } from "../models/execution.ts";
import { scanned, withRelativeFault } from "../models/execution.ts";
import { InputError } from "../models/error.ts";
import { type InputSource, seededSources } from "../models/source.ts";
import { blelloch, chunked } from "../scan/mod.ts";
import { accuracyControlRows, accuracyRows, judged, plantable, resumeRows } from "./checks/accuracy.ts";
import { type CheckContext, lengthsOf } from "./checks/context.ts";
import {
  associativityRows,
  exactControlRows,
  exactLengths,
  exactResumeRows,
  exactRows,
  exactSchedules,
  finiteRingRows,
} from "./checks/exact.ts";
import { gradientControlRows, gradientLengths, gradientRows } from "./checks/gradients.ts";
import { largeGraded, largeGradientRows } from "./checks/large_gradients.ts";
import { memoryRows } from "./checks/memory.ts";
import { checkedOptions } from "./options.ts";
import { type Report, reportOf, type Row } from "./report.ts";
import { recurrent } from "./run.ts";

/** The lengths of a check: empty, single, and around every power of two that a chunk or workgroup may have. */
export const defaultLengths: readonly number[] = [0, 1, 2, 3, 63, 64, 65, 127, 128, 129, 1000, 1024, 4095, 4096];

/** Sizes of exact runs, and of runs on a device. */
export const exactSizes: Sizes = { K: 4, V: 3, D: 3, N: 4 };
export const largeSizes: Sizes = { K: 16, V: 24, D: 40, N: 16 };

/** How to check. */
export interface CheckOptions {
  /** Sequence lengths; default {@link defaultLengths}. */
  readonly lengths?: readonly number[];
  /** Seed of all inputs; default 1. */
  readonly seed?: number;
  /** Inputs of every row; default the three seeded classes. */
  readonly sources?: readonly InputSource[];
  /** Inputs of one row per execution at the longest length: real text. */
  readonly realSources?: readonly InputSource[];
  readonly exactSizes?: Sizes;
  readonly largeSizes?: Sizes;
  /** Of these lengths, the ones that an execution is run at; undefined for all of them. */
  readonly fewerLengths?: (execution: Execution) => readonly number[] | undefined;
  /** Plants a fault in every execution and operator, to see every kind of row fail. */
  readonly plant?: Fault;
  /** Called with every row as it is found. */
  readonly onRow?: (row: Row) => void;
}

/** The executions that need no device: recurrent, tree and chunks in f32. */
export function cpuExecutions(): Execution[] {
  return [recurrent(), scanned(blelloch), scanned(chunked(64))];
}

function contextOf(model: AnyAffineModel, all: readonly Execution[], options: CheckOptions): CheckContext {
  const executions = all.filter(({ supports }) => supports?.(model) ?? true);
  const names = executions.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new InputError(`Cannot check ${model.name}: executions need names of their own, got two of ${twice}`);
  }
  const { lengths, seed } = checkedOptions(model.name, options, defaultLengths);
  return {
    model,
    executions: options.plant === undefined
      ? executions
      : executions.map((execution) => planted(execution, options.plant!)),
    ...(options.plant === undefined ? {} : { plant: options.plant }),
    lengths,
    seed,
    sources: options.sources ?? seededSources,
    realSources: options.realSources ?? [],
    exactSizes: options.exactSizes ?? exactSizes,
    largeSizes: options.largeSizes ?? largeSizes,
    ...(options.fewerLengths === undefined ? {} : { fewerLengths: options.fewerLengths }),
  };
}

/** An execution with a fault, keeping its name; where it cannot have that one, its results are off by 2^−10. */
function planted(execution: Execution, fault: Fault): Execution {
  const faulty = execution.planted?.(fault) ?? withRelativeFault(execution);
  const { planted, residues, gradients } = execution;
  return {
    ...faulty,
    name: execution.name,
    ...(planted === undefined ? {} : { planted }),
    ...(gradients === undefined ? {} : { gradients }),
    ...(residues === undefined ? {} : {
      residues: async (...args) => (await residues(...args)).map((x) => (x + 1) % 65521),
    }),
  };
}

/** How many rows a check must yield, counted from what was asked for, so that none can go missing. */
export function expectedRows(
  model: AnyAffineModel,
  all: readonly Execution[],
  options: CheckOptions = {},
): number {
  const context = contextOf(model, all, options);
  const { executions } = context;
  const sources = context.sources.length;
  const lengths = context.lengths.length;
  const run = executions.filter((execution) => judged(context, execution));
  const fast = run.filter(({ accelerated }) => accelerated === true);
  const graded = executions.filter(({ gradients }) => gradients !== undefined);
  const total = (of: readonly Execution[], count: (execution: Execution) => number): number =>
    of.reduce((sum, execution) => sum + count(execution), 0);
  const exactFaults = model.action === "identity" ? 1 : 2;
  return sources + // associativity
    exactSchedules.length * (exactLengths(context).length * sources + lengths) + // exact, finite ring
    executions.filter(({ residues }) => residues !== undefined).length * lengths + // finite ring on devices
    sources * (1 + run.length) + // resume
    sources * total([...run, ...fast], (execution) => lengthsOf(context, execution).length) + // accuracy
    context.realSources.length * (fast.length === 0 ? run.length : fast.length) +
    sources * total(graded, (execution) => gradientLengths(context, execution).length) + // gradient
    (sources === 0 ? 0 : largeGraded(context).length) +
    3 + // memory, and its control
    exactSchedules.length * exactFaults + 2 * graded.length + // control
    total(
      run.filter(({ planted }) => planted !== undefined),
      (execution) => plantable(context, execution).length,
    );
}

/** The rows of a check, one by one. */
export async function* dualityRows(
  model: AnyAffineModel,
  executions: readonly Execution[],
  options: CheckOptions = {},
): AsyncGenerator<Row> {
  const context = contextOf(model, executions, options);
  yield* associativityRows(context);
  yield* exactRows(context);
  yield* finiteRingRows(context);
  yield* exactResumeRows(context);
  yield* accuracyRows(context);
  yield* resumeRows(context);
  yield* gradientRows(context);
  yield* largeGradientRows(context);
  yield* memoryRows(context);
  yield* exactControlRows(context);
  yield* accuracyControlRows(context);
  yield* gradientControlRows(context);
}

/**
 * Takes one model through every execution and returns the report: lift and combine against step exactly, executions and
 * gradients against the oracle within derived bounds, resumption, streaming memory, and the controls of all of these.
 *
 * The executions default to those of the CPU; add `gpuExecution(gpu)` of the kernels to have the GPU's and its gradients.
 * Throws an {@link InputError} on unusable options.
 */
export async function checkDuality(
  model: AnyAffineModel,
  executions: readonly Execution[] = cpuExecutions(),
  options: CheckOptions = {},
): Promise<Report> {
  const rows: Row[] = [];
  for await (const row of dualityRows(model, executions, options)) {
    rows.push(row);
    options.onRow?.(row);
  }
  return reportOf(rows, expectedRows(model, executions, options));
}
