/**
 * The gradient of a model, traced: the stages of one token of the backward pass, as expressions. The CPU (backward.ts)
 * and the GPU (kernels/backward.ts) run the same ones.
 *
 * With S_t = next(S_{t−1}, x_t), o_t = read(S_t, x_t) (S_{t−1} for a model that reads before its update) and the
 * cotangents dO_t of the outputs, dS of the final state:
 *
 *     λ_t = local_t + pull(λ_{t+1})          local: what the read-outs of S_t give to it;  pull: λ ↦ E_{t+1}ᵀ λ
 *     ∂L/∂x_t = update(λ_t, S_{t−1}, x_t) + read(dO_t, S, x_t)
 *
 * All are derived from `lift` and `read` by reverse mode; a model states none of it.
 *
 * A state kept with a shared exponent, S = s·2^m, has one cotangent, of s; m is a constant to it. So λ is ∂L/∂S · 2^m
 * at the m of the state it belongs to. Which m a state has is the schedule's affair (a combined element carries the exponent
 * of a product, single steps do not), so λ_t comes with the m_t of the forward pass ({@link stateExponent})
 * and is first brought to the exponent that `next` has.
 *
 * @module
 */
import type { Index, SymbolicIndex } from "./arith.ts";
import { type ActionName, type LaneAction, laneActions, type Tuple } from "./action.ts";
import { type Contribution, contributions, type Range, type Seed, substitute } from "./adjoint.ts";
import {
  type AnyAffineModel,
  type Axes,
  type Fields,
  outputColumns,
  type Sizes,
  stateColumns,
  stateRows,
} from "./affine.ts";
import { evaluator } from "./evaluate.ts";
import { gather } from "./gather.ts";
import { stateWidth } from "./inputs.ts";
import type { Expr, SymbolicAlgebra } from "./symbolic.ts";
import { fieldShape } from "./token.ts";
import { i, j, k, traceModel, v } from "./traced.ts";

/** The gradient of one raw input at one token, in the indices {@link p} and {@link q} of its entry. */
export interface InputGradient {
  readonly axes: Axes;
  /** Through the update of the state: loads of inputs, {@link stateCotangents}, {@link stateExponent}; `state` is S_{t−1}. */
  readonly update: Expr;
  /** Through the read-out: loads of inputs and {@link outputCotangent}; `state` is what the read-out saw. */
  readonly read: Expr;
}

/** A traced model with its gradient. Loads are raw inputs (`[…axes]`) and cotangents. */
export interface TracedGradient {
  readonly model: AnyAffineModel;
  readonly sizes: Sizes;
  readonly algebra: SymbolicAlgebra;
  /** Names and axes of the raw inputs. */
  readonly loads: Fields;
  /** Numbers per entry of the state. */
  readonly width: 1 | 2;
  /** Cotangents per entry of the state: 2 for a complex state, else 1. */
  readonly cotangents: 1 | 2;
  /** The element of lane `[k, v]`; undefined for a matrix action. */
  readonly element: Tuple<Expr> | undefined;
  /** Entry `[k, v]` of the next state, by component. */
  readonly next: readonly Expr[];
  /** The output at column `v`. */
  readonly read: Expr;
  /** Entry `[k, v]` of what a read-out gives to the cotangent of the state it saw, by component. */
  readonly local: readonly Expr[];
  /** Entry `[k, v]` of Eᵀλ, by component, from λ ({@link stateCotangents}); `state` is S_{t−1}. */
  readonly pull: readonly Expr[];
  /**
   * The same of one lane as the factor of a lane action, {@link backAction}: λ ↦ a λ, or conj(a) λ for a complex state.
   * Undefined for a matrix action.
   */
  readonly factor: Tuple<Expr> | undefined;
  /** By name. */
  readonly inputs: { readonly [name: string]: InputGradient };
}

/** The cotangent of the output at column v is loaded under this name: `[v]`. */
export const outputCotangent = "d_output";
/** The cotangent λ of the state is loaded under these names, one for each component: `[k, v]`. */
export const stateCotangents: readonly [string, string] = ["d_state_0", "d_state_1"];

/** The exponent of the state after the token, as the forward pass holds it, for a shared exponent: `[k, v]`. */
export const stateExponent = "d_exponent";

/** The indices of an input's entry. */
export const p: SymbolicIndex = { symbol: "p" };
export const q: SymbolicIndex = { symbol: "q" };

/** The lane action that carries λ backwards: `(factor, local)` of each token, the last first. */
export function backAction({ cotangents }: TracedGradient): LaneAction {
  return cotangents === 2 ? laneActions.complex : laneActions.scalar;
}

const at = (index: Index): SymbolicIndex => index as SymbolicIndex;

/** Entry [k, v] of the next state, by component, from the current one. */
function transition(model: AnyAffineModel, sizes: Sizes, traced: ReturnType<typeof traceModel>): readonly Expr[] {
  const A = traced.algebra;
  if (traced.matrix !== undefined) {
    const { E, F } = traced.matrix;
    const row = [at(i), at(k)] as const;
    return [A.add(
      A.sum(stateRows(model, sizes), (n) => A.mul(substitute(A, E, [row, [at(j), at(n)]]), A.state(n, v, 0))),
      substitute(A, F, [row]),
    )];
  }
  const action = laneActions[model.action as Exclude<ActionName, "matrix">];
  const state = Array.from({ length: action.stateWidth }, (_, component) => A.state(k, v, component as 0 | 1));
  return action.apply<Expr>(A, traced.element!, state);
}

/** Traces a model and its gradient for the given sizes. */
export function traceGradient(model: AnyAffineModel, sizes: Sizes): TracedGradient {
  const traced = traceModel(model, sizes, "raw");
  const A = traced.algebra;
  const next = transition(model, sizes, traced);
  const width = stateWidth(model);
  const cotangents = model.action === "complex" ? 2 : 1;
  const rows: Range = { index: at(k), n: stateRows(model, sizes) };
  const columns: Range = { index: at(v), n: stateColumns(model, sizes) };
  const outputs: Range = { index: at(v), n: outputColumns(model, sizes) };
  const own = (lambda: Expr): Expr =>
    model.action === "scaled" ? A.scale2(lambda, A.sub(next[1]!, A.load(stateExponent, [k, v]))) : lambda;
  const seeds: Seed[] = next.slice(0, cotangents).map((output, component) => ({
    output,
    adjoint: own(A.load(stateCotangents[component]!, [k, v])),
  }));
  const ofUpdate = contributions(A, seeds);
  const ofRead = contributions(A, [{ output: traced.read, adjoint: A.load(outputCotangent, [v]) }]);
  const stateGradient = (from: readonly Contribution[], lanes: readonly Range[]): Expr[] =>
    Array.from({ length: cotangents }, (_, component) =>
      gather(A, from, lanes, {
        matches: (leaf) => leaf.op === "state" && leaf.component === component,
        entry: [rows, columns],
      }));
  const pull = stateGradient(ofUpdate, [rows, columns]);
  // At λ = 1 the map λ ↦ conj(a) λ gives its factor.
  const one = (field: string, index: readonly Index[]): Expr =>
    field === stateCotangents[0] ? A.of(1) : field === stateCotangents[1] ? A.of(0) : A.load(field, index);
  const factor = traced.element === undefined
    ? undefined
    : pull.map((expr) => evaluator<Expr>(A, { load: one, state: A.state }).value(expr));
  const inputs = Object.fromEntries(
    Object.entries(traced.loads).map(([name, axes]) => {
      const target = {
        matches: (leaf: Contribution["leaf"]): boolean => leaf.op === "load" && leaf.field === name,
        entry: fieldShape(axes, sizes).map((n, d) => ({ index: d === 0 ? p : q, n })),
      };
      const gradient: InputGradient = {
        axes,
        update: gather(A, ofUpdate, [rows, columns], target),
        read: gather(A, ofRead, [outputs], target),
      };
      return [name, gradient];
    }),
  );
  return {
    model,
    sizes,
    algebra: A,
    loads: traced.loads,
    width,
    cotangents,
    element: traced.element,
    next,
    read: traced.read,
    local: stateGradient(ofRead, [outputs]),
    pull,
    factor,
    inputs,
  };
}
