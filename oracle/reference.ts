/**
 * The truth of a run: `gates`, `step`, `read`, sequentially, computed once at the longest length. Models are causal, so
 * every shorter run of the same inputs has a prefix of it.
 *
 * Two precisions. `certified` runs the recurrence exactly, on activations enclosed to 2^−95 (activations.ts). `f64` runs the same
 * text in double precision: its error obeys the same bounds as an f32 run's with u = 2^−53 for 2^−24, so it is some
 * 2^−29 of what an f32 execution is allowed, which the comparison's slack covers. Tests hold the two to each other.
 *
 * @module
 */
import type { Analytic } from "../models/arith.ts";
import { type AnyAffineModel, outputColumns } from "../models/affine.ts";
import { eachToken, lanesOf } from "../models/execution.ts";
import { type Batch, type Dims, type Inputs, microSteps, prepare, prepareState, stateWidth } from "../models/inputs.ts";
import { f64 } from "../models/number.ts";
import { type LaneState, readOut } from "../models/run.ts";
import type { FieldValues } from "../models/token.ts";
import { certified } from "./activations.ts";
import { toNumber } from "./dyadic.ts";
import { stepLanes } from "./run.ts";

/** The truth of one sequence (batch row and head), rounded to f64. */
export interface SequenceTruth {
  readonly initial: LaneState<number>;
  /** After every step, lanes flat (see {@link lanesAt}); a scaled state as value and 0. */
  readonly states: readonly Float64Array[];
  /** After every step, `[columns]`. */
  readonly outputs: readonly (readonly number[])[];
}

/** The truth of a batch, `[B · H]` sequences. */
export interface Reference {
  readonly precision: "certified" | "f64";
  readonly batch: Batch;
  readonly initialState: Float64Array;
  readonly sequences: readonly SequenceTruth[];
}

function sequenceTruth<N>(
  A: Analytic<N>,
  toF64: (x: N) => number,
  batch: Batch,
  tokens: Iterable<FieldValues<N>>,
  initial: LaneState<number>,
): SequenceTruth {
  const { model, dims: { sizes } } = batch;
  const states: Float64Array[] = [];
  const outputs: number[][] = [];
  let state: LaneState<N> = initial.map((lane) => lane.map((x) => A.of(x)));
  for (const token of tokens) {
    const after = stepLanes(A, model, sizes, token, state);
    outputs.push(readOut(A, model, sizes, model.reads === "pre" ? state : after, token).map(toF64));
    states.push(flatLanes(after, toF64));
    state = after;
  }
  return { initial, states, outputs };
}

/** Lanes as one array of numbers. */
function flatLanes<N>(lanes: LaneState<N>, toF64: (x: N) => number): Float64Array {
  const width = lanes[0]?.length ?? 1;
  const flat = new Float64Array(lanes.length * width);
  for (let lane = 0; lane < lanes.length; lane++) {
    for (let c = 0; c < width; c++) flat[lane * width + c] = toF64(lanes[lane]![c]!);
  }
  return flat;
}

/** The lanes of a flat state. */
export function lanesAt(model: AnyAffineModel, flat: ArrayLike<number>): LaneState<number> {
  const width = stateWidth(model);
  const lanes: number[][] = [];
  for (let n = 0; n < flat.length; n += width) lanes.push(width === 1 ? [flat[n]!] : [flat[n]!, flat[n + 1]!]);
  return lanes;
}

/** Runs the judge on checked inputs. */
export function reference(
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  initialState?: ArrayLike<number>,
  precision: "certified" | "f64" = "f64",
): Reference {
  const batch = prepare(model, dims, inputs);
  const start = prepareState(model, dims, initialState);
  const sequences: SequenceTruth[] = [];
  for (let b = 0; b < dims.B; b++) {
    for (let h = 0; h < dims.H; h++) {
      const initial = lanesOf(start, model, dims, b, h);
      sequences.push(
        precision === "f64"
          ? sequenceTruth(f64, (x) => x, batch, eachToken(f64, batch, b, h), initial)
          : sequenceTruth(certified, toNumber, batch, eachToken(certified, batch, b, h), initial),
      );
    }
  }
  return { precision, batch, initialState: start, sequences };
}

/** The outputs `[B, T, H, columns]` that are true for the first T tokens. */
export function trueOutputs({ batch: { model, dims }, sequences }: Reference, T: number): Float64Array {
  const { B, H, sizes } = dims;
  const columns = outputColumns(model, sizes);
  const n = microSteps(model);
  const out = new Float64Array(B * T * H * columns);
  sequences.forEach(({ outputs }, sequence) => {
    const [b, h] = [Math.floor(sequence / H), sequence % H];
    for (let t = 0; t < T; t++) out.set(outputs[(t + 1) * n - 1]!, ((b * T + t) * H + h) * columns);
  });
  return out;
}

/** The values `[B, H, rows, columns, width]` of the state after T tokens; a scaled state as its value, with width 1. */
export function trueState({ batch: { model }, sequences }: Reference, T: number): Float64Array {
  const n = microSteps(model);
  return Float64Array.from(
    sequences.flatMap(({ initial, states }) =>
      stateValues(model, T === 0 ? initial : lanesAt(model, states[T * n - 1]!))
    ),
  );
}

/** The numbers of a state that are compared: a scaled pair as the value s·2^m. */
export function stateValues(model: AnyAffineModel, lanes: LaneState<number>): number[] {
  return lanes.flatMap((lane) => model.action === "scaled" ? [f64.scale2(lane[0]!, lane[1]!)] : [...lane]);
}

/** The same for a state array `[…, width]`. */
export function stateArrayValues(model: AnyAffineModel, state: ArrayLike<number>): Float64Array {
  if (model.action !== "scaled") return Float64Array.from(state);
  return Float64Array.from(
    { length: state.length / 2 },
    (_, lane) => f64.scale2(state[2 * lane]!, state[2 * lane + 1]!),
  );
}
