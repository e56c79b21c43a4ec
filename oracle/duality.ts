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
import type { CheckContext } from "./checks/context.ts";
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
import { memoryRows } from "./checks/memory.ts";
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
  const lengths = [...new Set(options.lengths ?? defaultLengths)].sort((x, y) => x - y);
  for (const T of lengths) {
    if (!Number.isSafeInteger(T) || T < 0 || T > 2 ** 20) {
      throw new InputError(`Cannot check ${model.name}: a length must be a whole number from 0 to 2^20, got ${T}`);
    }
  }
  if (lengths.length === 0) throw new InputError(`Cannot check ${model.name}: at least one length is needed, got none`);
  const seed = options.seed ?? 1;
  if (!Number.isSafeInteger(seed)) {
    throw new InputError(`Cannot check ${model.name}: the seed must be a whole number, got ${seed}`);
  }
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
  const graded = executions.filter(({ gradients }) => gradients !== undefined).length;
  const exactFaults = model.action === "identity" ? 1 : 2;
  return sources + // associativity
    exactSchedules.length * (exactLengths(context).length * sources + lengths) + // exact, finite ring
    executions.filter(({ residues }) => residues !== undefined).length * lengths + // finite ring on devices
    sources * (1 + run.length) + // resume
    sources * lengths * (run.length + fast.length) + // accuracy
    context.realSources.length * (fast.length === 0 ? run.length : fast.length) +
    graded * sources * gradientLengths(context).length + // gradient
    3 + // memory, and its control
    exactSchedules.length * exactFaults + 2 * graded + // control
    run.filter(({ planted }) => planted !== undefined).reduce(
      (sum, execution) => sum + plantable(context, execution).length,
      0,
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
