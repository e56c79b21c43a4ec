/**
 * What every check of a model is given, and how its rows are made.
 *
 * @module
 */
import type { AnyAffineModel, Sizes } from "../../models/affine.ts";
import type { Execution, Fault } from "../../models/execution.ts";
import type { Dims } from "../../models/inputs.ts";
import type { InputSource } from "../../models/source.ts";
import type { Verdict } from "../compare.ts";
import type { Row } from "../report.ts";

/** What to check a model on. */
export interface CheckContext {
  readonly model: AnyAffineModel;
  readonly executions: readonly Execution[];
  /** Ascending, without repeats. */
  readonly lengths: readonly number[];
  readonly seed: number;
  /** A fault in every execution, to see the check fail. */
  readonly plant?: Fault;
  /** Inputs of every row. */
  readonly sources: readonly InputSource[];
  /** Inputs of rows at one length, the longest: real text. */
  readonly realSources: readonly InputSource[];
  /** Sizes of exact runs: B = H = 1. */
  readonly exactSizes: Sizes;
  /** Sizes of accelerated executions: B = H = 2 (H = 1 without heads). */
  readonly largeSizes: Sizes;
  /** The lengths that an execution is run at, where not all. */
  readonly fewerLengths?: (execution: Execution) => readonly number[] | undefined;
}

/** The longest length a dense matrix action is run at in dyadics: its mantissas grow with every product. */
export const DENSE_EXACT = 512;
/** The longest length whose truth is exact; beyond, it is f64 (reference.ts). */
export const CERTIFIED = 1024;
/** Where resumption, controls and gradients cross two chunk boundaries. */
export const CROSSING = 129;
/** The lengths of gradient rows, among those asked for. */
export const GRADIENT_LENGTHS: readonly number[] = [0, 1, 2, 3, 65, 129];

/** The extent of an exact run. */
export function exactDims({ exactSizes }: CheckContext, T: number): Dims {
  return { B: 1, T, H: 1, sizes: exactSizes };
}

/** The extent of a run of an accelerated execution. */
export function largeDims({ model, largeSizes }: CheckContext, T: number): Dims {
  return { B: 2, T, H: model.heads ? 2 : 1, sizes: largeSizes };
}

/** The longest of the lengths asked for. */
export function longest({ lengths }: CheckContext): number {
  return Math.max(0, ...lengths);
}

/** The lengths that an execution is run at. */
export function lengthsOf({ lengths, fewerLengths }: CheckContext, execution: Execution): readonly number[] {
  const some = fewerLengths?.(execution);
  return some === undefined ? lengths : lengths.filter((T) => some.includes(T));
}

/** A row with what is not said set to "not measured"; a failure gets the command that runs it again. */
export function rowOf(
  { model, seed, plant }: CheckContext,
  row:
    & Omit<Row, "model" | "seed" | "maxUlp" | "bound" | "ratio" | "liveElements" | "combines" | "depth" | "replay">
    & Partial<Row>,
): Row {
  const replay = `dualscan check --model ${model.name} --lengths ${row.length} --seed ${seed}` +
    (plant === undefined ? "" : ` --plant ${plant}`);
  return {
    model: model.name,
    seed,
    maxUlp: null,
    bound: null,
    ratio: null,
    liveElements: null,
    combines: null,
    depth: null,
    ...row,
    ...(row.ok ? {} : { replay }),
  };
}

/** The measurements of a verdict as fields of a row. A bound too wide to see a fault of 2^−10 is a failure of its own. */
export function verdictFields(
  verdict: Verdict,
): Pick<Row, "ok" | "maxUlp" | "bound" | "ratio" | "firstBad" | "detail"> {
  const { ok, maxUlp, boundUlp, ratio, first, planted } = verdict;
  const vacuous = planted === "missed";
  return {
    ok: ok && !vacuous,
    maxUlp,
    bound: boundUlp,
    ratio,
    ...(first === undefined ? {} : { firstBad: first }),
    ...(first !== undefined
      ? { detail: describe(first) }
      : vacuous
      ? { detail: "the derived bound is too wide to see a relative fault of 2^-10" }
      : {}),
  };
}

function describe({ index, got, want, ulps, allowed }: NonNullable<Verdict["first"]>): string {
  return `first bad index ${index}: got ${got}, truth ${want}, ${ulps.toPrecision(3)} ulp, allowed ${
    allowed.toPrecision(3)
  }`;
}
