/**
 * The negative control: a recurrence that is not affine, and an aggregator that is not associative, must be told from
 * those that are. Both differences are measured in f64 and proved in intervals: a model is rejected only if the
 * enclosures of the two sides are apart, so that no threshold decides.
 *
 * @module
 */
import type { Aggregator } from "../../models/aggregator.ts";
import { aggregatorLeaves, aggregatorOperator } from "../../models/aggregator.ts";
import { type AnyAffineModel, type Sizes, stateColumns, stateRows } from "../../models/affine.ts";
import type { Analytic } from "../../models/arith.ts";
import { tokensOf } from "../../models/execution.ts";
import { gru, gruAggregator } from "../../models/gru.ts";
import { prepare, sampleInputs, stateWidth } from "../../models/inputs.ts";
import { f64 } from "../../models/number.ts";
import { type LaneState, scanStates } from "../../models/run.ts";
import { blelloch, foldInclusive } from "../../scan/mod.ts";
import { interval } from "../interval.ts";
import type { Row } from "../report.ts";
import { stepStates } from "../run.ts";
import { definedPrefixes } from "../tree.ts";
import { atLeastText, type Distance, FOLD, groupingOf, intervalDistance } from "./grouping.ts";

/** How far the two forms of a claimed duality are apart. */
export interface Defect {
  /** The largest difference, in f64. */
  readonly measured: number;
  /** The largest difference proved; 0 where the forms may be equal. */
  readonly proved: number;
  /** The largest difference not excluded: how near to blind the proof was. */
  readonly possible: number;
  readonly rejected: boolean;
}

const SIZES: Sizes = { K: 3, V: 2, D: 3, N: 2 };
/** Tokens: intervals widen with every step. */
const TOKENS = 8;

function defect(measured: number, { proved, possible }: Distance): Defect {
  return { measured, proved, possible, rejected: proved > 0 };
}

function largest(x: readonly number[], y: readonly number[]): number {
  return x.reduce((most, value, i) => Math.max(most, Math.abs(value - y[i]!)), 0);
}

/** The values of all states, one after another: a scaled pair's is s·2^m. */
function valuesOf<N>(A: Analytic<N>, model: AnyAffineModel, states: readonly LaneState<N>[]): N[] {
  return states.flatMap((lanes) =>
    lanes.flatMap((lane) => model.action === "scaled" ? [A.scale2(lane[0]!, lane[1]!)] : lane)
  );
}

/** The states by `lift` and the tree, and by `step`, from a state that is not zero. */
function bothForms<N>(A: Analytic<N>, model: AnyAffineModel, seed: number): readonly [scan: N[], step: N[]] {
  const dims = { B: 1, T: TOKENS, H: 1, sizes: SIZES };
  const tokens = tokensOf(A, prepare(model, dims, sampleInputs(model, dims, "random", seed, TOKENS)), 0, 0);
  const initial = Array.from(
    { length: stateRows(model, SIZES) * stateColumns(model, SIZES) },
    (_, lane) => [A.of(lane % 2 === 0 ? 0.5 : -0.75), ...(stateWidth(model) === 2 ? [A.of(0)] : [])],
  );
  return [
    valuesOf(A, model, scanStates(A, model, SIZES, tokens, blelloch, initial)),
    valuesOf(A, model, stepStates(A, model, SIZES, tokens, initial)),
  ];
}

/** max |lift scan − step| over the states of 8 seeded tokens: an affine model has none, whatever its gates. */
export function affineDefect(model: AnyAffineModel, seed: number): Defect {
  return defect(
    largest(...bothForms(f64, model, seed)),
    intervalDistance(...bothForms(interval, model, seed)),
  );
}

/** max |tree − fold| over the prefixes of 8 seeded leaves: an associative aggregator has none. */
export function treeDefect(definition: Aggregator, seed: number): Defect {
  const op = aggregatorOperator(f64, definition);
  const xs = aggregatorLeaves(definition, FOLD, seed);
  return defect(
    largest(definedPrefixes(op, xs).flat(), foldInclusive(op, xs).flat()),
    groupingOf(definition, seed).fold(),
  );
}

function defectRow(
  execution: string,
  length: number,
  seed: number,
  difference: string,
  { measured, proved, rejected }: Defect,
): Row {
  const found = `max |${difference}| ${measured.toPrecision(3)} (certified ≥ ${rejected ? atLeastText(proved) : 0})`;
  return {
    model: "gru",
    check: "control",
    execution,
    inputs: "random",
    length,
    seed,
    ok: rejected,
    maxUlp: null,
    bound: null,
    ratio: null,
    liveElements: null,
    combines: null,
    depth: null,
    detail: rejected ? `rejected: ${found}` : `NOT rejected: ${found}: the harness is blind to what is not affine`,
    ...(rejected ? {} : { replay: `dualscan check --seed ${seed}` }),
  };
}

/** How many rows {@link gruControlRows} returns. */
export const gruControlCount: number = 2;

/** A GRU as an affine model, linearised at state 0, and a GRU cell as an aggregator: both must be rejected. */
export function gruControlRows(seed: number): Row[] {
  return [
    defectRow("linearised lift against step", TOKENS, seed, "lift scan − step", affineDefect(gru, seed)),
    defectRow("cell as aggregator", FOLD, seed, "tree − fold", treeDefect(gruAggregator(3), seed)),
  ];
}
