/**
 * A model traced once: the expressions of its lane element, its read-out and its activated fields, with the symbols
 * `k` and `v` for the entry of the state (for a matrix action `i`, `j` and `v`).
 *
 * @module
 */
import type { Index } from "./arith.ts";
import { type ActionName, type Elements, elementTuple, type MatrixElement, type Tuple } from "./action.ts";
import type { AnyAffineModel, Axes, Fields, Sizes } from "./affine.ts";
import { inputEntries } from "./inputs.ts";
import { type Expr, symbolic, type SymbolicAlgebra } from "./symbolic.ts";
import { allSizes } from "./token.ts";

/** The stages of a model as expressions. */
export interface TracedModel {
  readonly model: AnyAffineModel;
  readonly algebra: SymbolicAlgebra;
  /** `raw`: loads are raw inputs and `gates` is part of every expression; `activated`: loads are activated fields. */
  readonly from: "raw" | "activated";
  /** Names and axes of what is loaded. */
  readonly loads: Fields;
  /** The element of lane (k, v), for every action but `matrix`. */
  readonly element?: Tuple<Expr>;
  /** `E(i, j)` and `F(i, v)`, for a matrix action. */
  readonly matrix?: { readonly E: Expr; readonly F: Expr };
  /** The output at column v. */
  readonly read: Expr;
}

/** The symbols of a traced lane. */
export const k: Index = { symbol: "k" };
export const v: Index = { symbol: "v" };
export const i: Index = { symbol: "i" };
export const j: Index = { symbol: "j" };

function loader(A: SymbolicAlgebra, name: string, axes: Axes): unknown {
  if (axes.length === 0) return A.load(name, []);
  return axes.length === 1 ? (a: Index) => A.load(name, [a]) : (a: Index, b: Index) => A.load(name, [a, b]);
}

/** Traces a model for the given sizes (loop bounds are numbers; lanes stay symbolic). */
export function traceModel(model: AnyAffineModel, sizes: Sizes, from: "raw" | "activated" = "raw"): TracedModel {
  const A = symbolic();
  const full = allSizes(sizes);
  const loads: Fields = from === "activated"
    ? model.fields as Fields
    : Object.fromEntries(inputEntries(model).map(([name, spec]) => [name, spec.axes]));
  const loaded = Object.fromEntries(Object.entries(loads).map(([name, axes]) => [name, loader(A, name, axes)]));
  const token = from === "activated" ? loaded : model.gates(A, loaded, full);
  const lifted: unknown = model.lift(A, token, k, v, full);
  const state = (k: Index, v: Index, component: 0 | 1 = 0): Expr => A.state(k, v, component);
  const read = model.read(A, state, token, v, full) as Expr;
  const common = { model, algebra: A, from, loads, read };
  if (model.action === "matrix") {
    const { E, F } = lifted as MatrixElement<Expr>;
    return { ...common, matrix: { E: E(i, j), F: F(i, v) } };
  }
  const action = model.action as Exclude<ActionName, "matrix">;
  return { ...common, element: elementTuple(action, lifted as Elements<Expr>[typeof action]) };
}
