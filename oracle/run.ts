/**
 * The judge's run: `step`, token after token, in any algebra. Nothing here knows of elements, scans or GPUs.
 *
 * @module
 */
import type { Complex, Matrix, ScaledRing } from "../models/arith.ts";
import { collect, type Execution, type Precision, single, withRelativeFault } from "../models/execution.ts";
import { type AnyAffineModel, type Sizes, stateColumns, stateRows } from "../models/affine.ts";
import type { LaneState } from "../models/run.ts";
import { allSizes, type FieldValues, tokenArrays } from "../models/token.ts";

/** A state as `step` takes it, from lanes: real, complex, or the value `s·2^m` of a scaled pair. */
export function stepState<N>(A: ScaledRing<N>, model: AnyAffineModel, sizes: Sizes, lanes: LaneState<N>): unknown {
  const columns = stateColumns(model, sizes);
  const entry = (lane: readonly N[]): N | Complex<N> =>
    model.action === "complex"
      ? { re: lane[0]!, im: lane[1]! }
      : model.action === "scaled"
      ? A.scale2(lane[0]!, lane[1]!)
      : lane[0]!;
  const state: (N | Complex<N>)[][] = [];
  for (let k = 0; k < stateRows(model, sizes); k++) {
    const row: (N | Complex<N>)[] = [];
    for (let v = 0; v < columns; v++) row.push(entry(lanes[k * columns + v]!));
    state.push(row);
  }
  return state;
}

/** The lanes of a state that `step` returned; a scaled one with exponent 0. */
export function lanesOfStep<N>(A: ScaledRing<N>, model: AnyAffineModel, state: unknown): LaneState<N> {
  const lanes: (readonly N[])[] = [];
  const zero = A.of(0);
  for (const row of state as Matrix<N | Complex<N>>) {
    for (const entry of row) {
      if (model.action === "complex") {
        const { re, im } = entry as Complex<N>;
        lanes.push([re, im]);
      } else if (model.action === "scaled") {
        lanes.push([entry as N, zero]);
      } else {
        lanes.push([entry as N]);
      }
    }
  }
  return lanes;
}

/** One step from lanes to lanes. */
export function stepLanes<N>(
  A: ScaledRing<N>,
  model: AnyAffineModel,
  sizes: Sizes,
  token: FieldValues<N>,
  lanes: LaneState<N>,
): LaneState<N> {
  const state = stepState(A, model, sizes, lanes);
  return lanesOfStep(A, model, model.step(A, state, tokenArrays(model, sizes, token), allSizes(sizes)));
}

/** The state after every step, from `initial`: the definition that every execution is held to. */
export function stepStates<N>(
  A: ScaledRing<N>,
  model: AnyAffineModel,
  sizes: Sizes,
  tokens: readonly FieldValues<N>[],
  initial: LaneState<N>,
): LaneState<N>[] {
  const states: LaneState<N>[] = [];
  let state = initial;
  for (const token of tokens) {
    state = stepLanes(A, model, sizes, token, state);
    states.push(state);
  }
  return states;
}

/** The recurrent form, token after token by `step`: inference. */
export function recurrent(precision: Precision = single): Execution {
  const execution: Execution = {
    name: `recurrent ${precision.name}`,
    rounding: {
      unit: precision.unit,
      rightCombines: () => 1,
      accuracy: "rounded",
      denseChunk: () => 1,
    },
    run: (model, dims, inputs, options = {}) =>
      Promise.resolve().then(() =>
        collect(
          precision.algebra,
          model,
          dims,
          inputs,
          options,
          (tokens, initial) => stepStates(precision.algebra, model, dims.sizes, tokens, initial),
        )
      ),
    planted: () => withRelativeFault(execution),
  };
  return execution;
}
