/**
 * The definition of an affine model: a recurrence `S_t = E_t ▷ S_{t−1} + F_t`, written down once.
 *
 * Every stage sees numbers only through an algebra (see arith.ts):
 *
 * - `gates`  raw inputs → activated fields (softplus, exp, sigmoid, scale, discretisation): over an Analytic;
 * - `step`   exactly the paper's recurrence, on the whole state: over a ScaledRing (nearly always only its Ring), so
 *   that nothing in it rounds in the oracle — this is the definition;
 * - `lift`   the element `(E_t, F_t)` of the scan's monoid, entry by entry: over a ScaledRing;
 * - `read`   one value of the output from one column of the state: over a Field.
 *
 * `step` and `lift` are independent statements of the same recurrence; the harness proves that they agree.
 * The state of every model is `[rows, columns]` per batch and head; element-wise models have one row (or one per
 * mode) and the channels as columns.
 *
 * @module
 */
import type { Analytic, Field, Index, Ring, ScaledRing } from "./arith.ts";
import type { ActionName, Elements, States } from "./action.ts";
import type { Domain } from "./domain.ts";

/** K: key, V: value, D: channel, N: mode of a channel. */
export type Axis = "K" | "V" | "D" | "N";

/** The size of every axis a model uses. */
export type Sizes = { readonly [A in Axis]?: number };

/** The axes of one field, at most two; none for a scalar per token and head. */
export type Axes = readonly [] | readonly [Axis] | readonly [Axis, Axis];

/** One raw input. */
export interface InputSpec<A extends Axes = Axes> {
  /** Shape per token and head. */
  readonly axes: A;
  /** What values are allowed; also what seeded inputs of each class are drawn from. */
  readonly domain: Domain;
  /** `parameter`: `[H, ...axes]`, the same at every token. Default: `token`, `[B, T, H, ...axes]`. */
  readonly per?: "token" | "parameter";
  /**
   * In a model of n micro-steps a token, an input is given for `every` micro-step (`[B, T·n, H, …]`, the default),
   * or once a token and used at the `first` or the `last` one; elsewhere it is 0.
   */
  readonly micro?: "every" | "first" | "last";
  /** The value of a parameter that is not given, per head and position. */
  readonly initial?: (head: number, i: number, j: number) => number;
}

/** A field as a stage that may be traced sees it: a value, or a function of one or two indices. */
export type Accessor<N, A extends Axes> = A extends readonly [] ? N
  : A extends readonly [Axis] ? (i: Index) => N
  : (i: Index, j: Index) => N;

/** A field as `step` sees it: a value, a vector or a matrix. */
export type Dense<N, A extends Axes> = A extends readonly [] ? N
  : A extends readonly [Axis] ? readonly N[]
  : readonly (readonly N[])[];

/** The activated fields of a model, by name. */
export type Fields = { readonly [name: string]: Axes };
/** The raw inputs of a model, by name. */
export type InputSpecs = { readonly [name: string]: InputSpec };

/** The raw inputs of one token, as `gates` sees them. */
export type Raw<N, I extends InputSpecs> = { readonly [P in keyof I]: Accessor<N, I[P]["axes"]> };
/** The activated fields of one token, as `lift` and `read` see them. */
export type Token<N, F extends Fields> = { readonly [P in keyof F]: Accessor<N, F[P]> };
/** The activated fields of one token, as `step` sees them. */
export type DenseToken<N, F extends Fields> = { readonly [P in keyof F]: Dense<N, F[P]> };

/** The state as a read-out sees it: entry `[k, v]`; `component` 1 is the imaginary part, or the shared exponent. */
export type StateAccessor<N> = (k: Index, v: Index, component?: 0 | 1) => N;

/** Where a model comes from. */
export interface Paper {
  readonly title: string;
  /** arXiv number. */
  readonly arxiv: string;
  /** The equation, section or algorithm that `step` states. */
  readonly where: string;
}

/** An affine model. Build one with {@link affineModel}, which infers the type parameters. */
export interface AffineModel<
  I extends InputSpecs = InputSpecs,
  F extends Fields = Fields,
  A extends ActionName = ActionName,
> {
  /** Lower case, words joined by `-`; what `--model` takes. */
  readonly name: string;
  readonly paper: Paper;
  readonly action: A;
  /** Whether inputs have a head axis: `[B, T, H, …]`, or `[B, T, …]` for element-wise models. */
  readonly heads: boolean;
  /** The axes of the state. One axis: a vector state, one row. */
  readonly state: readonly [Axis] | readonly [Axis, Axis];
  /** One more column behind the last, for the normaliser: its "value" is 1. */
  readonly normaliser?: boolean;
  /** Micro-steps a token (DeltaProduct's n_h). Default 1. */
  readonly microSteps?: number;
  /** The axis of the output; its length is the state's columns without the normaliser. */
  readonly inputs: I;
  /** The activated fields and their axes. */
  readonly fields: F;
  /** Fields that hold integer exponents (see `ScaledRing.scale2`): no rounding, and 0 over a finite ring. */
  readonly exponents?: readonly (keyof F & string)[];
  /** `pre`: token t reads the state before its own update. Default `post`. */
  readonly reads?: "pre" | "post";
  gates<N>(A: Analytic<N>, x: Raw<N, I>, sizes: Required<Sizes>): Token<N, F>;
  step<N>(A: ScaledRing<N>, S: States<N>[A], x: DenseToken<N, F>, sizes: Required<Sizes>): States<N>[A];
  lift<N>(A: ScaledRing<N>, x: Token<N, F>, k: Index, v: Index, sizes: Required<Sizes>): Elements<N>[A];
  read<N>(A: Field<N>, S: StateAccessor<N>, x: Token<N, F>, v: Index, sizes: Required<Sizes>): N;
}

/** Any affine model, its types erased: what the harness, the executions and the kernels work on. */
// deno-lint-ignore no-explicit-any -- the erased type must accept every specialisation, in both variances
export type AnyAffineModel = AffineModel<any, any, any>;

/** Declares a model; the types of `gates`, `step`, `lift` and `read` follow from `inputs`, `fields` and `action`. */
export function affineModel<
  const I extends InputSpecs,
  const F extends Fields,
  const A extends ActionName,
>(definition: AffineModel<I, F, A>): AffineModel<I, F, A> {
  return definition;
}

/** `x(i)` for i < n, and 1 for the normaliser's column. */
export function withOne<N>(A: Ring<N>, x: (i: Index) => N, n: number): (i: Index) => N {
  return (i) => A.below(i, n, x, () => A.of(1));
}

/** The field's usual scale of a query, K^−1/2, as an f32 number: exact in every algebra. */
export function queryScale(K: number): number {
  return Math.fround(1 / Math.sqrt(K));
}

/** Rows of a model's state. */
export function stateRows(model: AnyAffineModel, sizes: Sizes): number {
  return model.state.length === 2 ? sizes[model.state[0] as Axis] ?? 1 : 1;
}

/** Columns of the output: the state's columns without the normaliser. */
export function outputColumns(model: AnyAffineModel, sizes: Sizes): number {
  return sizes[model.state[model.state.length - 1] as Axis] ?? 1;
}

/** Columns of a model's state. */
export function stateColumns(model: AnyAffineModel, sizes: Sizes): number {
  return outputColumns(model, sizes) + (model.normaliser === true ? 1 : 0);
}
