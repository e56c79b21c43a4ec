/**
 * Running a model's parallel form in any algebra on the CPU: `lift` every token, scan the elements with any schedule,
 * apply the prefixes to the initial state, `read`. The sequential form (`step`) is run by the oracle, not here.
 *
 * One sequence is one batch row and head. Its state is a list of lanes, row-major over `[rows, columns]`, each a tuple
 * of `width` numbers; an element is a list of lane elements, or a pair of matrices for a matrix action.
 *
 * @module
 */
import type { Field, Index, Matrix, ScaledRing } from "./arith.ts";
import { type Elements, elementTuple, laneActions, type MatrixElement, type Tuple } from "./action.ts";
import { type AnyAffineModel, outputColumns, type Sizes, stateColumns, stateRows } from "./affine.ts";
import type { Operator, Schedule } from "../scan/mod.ts";
import { allSizes, type FieldValues, tokenAccessors } from "./token.ts";

/** The state of one sequence: lanes `[rows · columns]`, each of `width` numbers. */
export type LaneState<N> = readonly Tuple<N>[];

/** A dense element `(E, F)`. */
export interface DenseElement<N> {
  readonly E: Matrix<N>;
  readonly F: Matrix<N>;
}

/** One element of a model's monoid. */
export type Element<N> = readonly Tuple<N>[] | DenseElement<N>;

/** The monoid of a model for given sizes, over one algebra. */
export interface ModelMonoid<N> extends Operator<Element<N>> {
  lift(token: FieldValues<N>): Element<N>;
  apply(element: Element<N>, state: LaneState<N>): LaneState<N>;
}

/** The monoid that a model's `lift` and action define. */
export function modelMonoid<N>(A: ScaledRing<N>, model: AnyAffineModel, sizes: Sizes): ModelMonoid<N> {
  return model.action === "matrix" ? denseMonoid(A, model, sizes) : laneMonoid(A, model, sizes);
}

function laneMonoid<N>(A: ScaledRing<N>, model: AnyAffineModel, sizes: Sizes): ModelMonoid<N> {
  const name = model.action as keyof typeof laneActions;
  const action = laneActions[name];
  const rows = stateRows(model, sizes);
  const columns = stateColumns(model, sizes);
  const full = allSizes(sizes);
  type Lanes = readonly Tuple<N>[];
  return {
    lift(values) {
      const token = tokenAccessors(model, sizes, values);
      return Array.from({ length: rows * columns }, (_, lane) => {
        const lifted = model.lift(A, token, Math.floor(lane / columns), lane % columns, full);
        return elementTuple(name, lifted as Elements<N>[typeof name]);
      });
    },
    combine: (x, y) => (y as Lanes).map((later, lane) => action.combine(A, (x as Lanes)[lane]!, later)),
    apply: (x, state) => state.map((s, lane) => action.apply(A, (x as Lanes)[lane]!, s)),
  };
}

function denseMonoid<N>(A: ScaledRing<N>, model: AnyAffineModel, sizes: Sizes): ModelMonoid<N> {
  const rows = stateRows(model, sizes);
  const columns = stateColumns(model, sizes);
  const full = allSizes(sizes);
  const fill = (height: number, width: number, entry: (i: number, j: number) => N): Matrix<N> =>
    Array.from({ length: height }, (_, i) => Array.from({ length: width }, (_, j) => entry(i, j)));
  const product = (X: Matrix<N>, Y: Matrix<N>, width: number): Matrix<N> =>
    fill(rows, width, (i, j) => A.sum(rows, (n) => A.mul(X[i]![n as number]!, Y[n as number]![j]!)));
  return {
    lift(values) {
      const { E, F } = model.lift(A, tokenAccessors(model, sizes, values), 0, 0, full) as MatrixElement<N>;
      return { E: fill(rows, rows, E), F: fill(rows, columns, F) };
    },
    combine(x, y) {
      const { E: E1, F: F1 } = x as DenseElement<N>;
      const { E: E2, F: F2 } = y as DenseElement<N>;
      const moved = product(E2, F1, columns);
      return { E: product(E2, E1, rows), F: fill(rows, columns, (i, v) => A.add(moved[i]![v]!, F2[i]![v]!)) };
    },
    apply(x, state) {
      const { E, F } = x as DenseElement<N>;
      const S = fill(rows, columns, (i, v) => state[i * columns + v]![0]!);
      const moved = product(E, S, columns);
      return state.map((_, lane) => {
        const [i, v] = [Math.floor(lane / columns), lane % columns];
        return [A.add(moved[i]![v]!, F[i]![v]!)];
      });
    },
  };
}

/** The state after every token, from `initial`, by one schedule. */
export function scanStates<N>(
  A: ScaledRing<N>,
  model: AnyAffineModel,
  sizes: Sizes,
  tokens: readonly FieldValues<N>[],
  schedule: Schedule,
  initial: LaneState<N>,
): LaneState<N>[] {
  const monoid = modelMonoid(A, model, sizes);
  const prefixes = schedule.inclusive<Element<N>>(monoid, tokens.map((token) => monoid.lift(token)));
  return prefixes.map((prefix) => monoid.apply(prefix, initial));
}

/** The output row that a token reads from a state: `[columns]`. */
export function readOut<N>(
  A: Field<N>,
  model: AnyAffineModel,
  sizes: Sizes,
  state: LaneState<N>,
  token: FieldValues<N>,
): N[] {
  const columns = stateColumns(model, sizes);
  const accessors = tokenAccessors(model, sizes, token);
  const full = allSizes(sizes);
  const entry = (k: Index, v: Index, component: 0 | 1 = 0): N =>
    state[(k as number) * columns + (v as number)]![component]!;
  return Array.from({ length: outputColumns(model, sizes) }, (_, v) => model.read(A, entry, accessors, v, full) as N);
}

/** The state a token's read-out sees: its own update's, or the one before (`reads: "pre"`). */
export function readState<N>(
  model: AnyAffineModel,
  states: readonly LaneState<N>[],
  initial: LaneState<N>,
  step: number,
): LaneState<N> {
  return model.reads === "pre" ? (step === 0 ? initial : states[step - 1]!) : states[step]!;
}
