/**
 * A backward pass in f64: the states and cotangents that error bounds are evaluated at.
 *
 * @module
 */
import { readStep } from "../models/backward.ts";
import type { GradientOptions } from "../models/execution.ts";
import { outputCotangent, type TracedGradient } from "../models/gradient.ts";
import type { Batch } from "../models/inputs.ts";
import { f64 } from "../models/number.ts";
import { type GradientScope, gradientScope } from "./gradient_scope.ts";

/** One sequence, forwards and backwards. */
export interface GradientRun {
  readonly gradient: TracedGradient;
  readonly batch: Batch;
  readonly expressions: GradientScope;
  /** What a read-out adds to for the index of the state it sees: 1, or 0 for a model that reads before its update. */
  readonly early: 0 | 1;
  /** S_0 … S_T, `[rows, columns, width]`. */
  readonly states: readonly (readonly number[])[];
  /** The cotangent of the output read at each step; undefined where nothing is read. */
  readonly outputs: readonly (readonly number[] | undefined)[];
  /** What each read-out gives to λ of the state it saw, `[rows, columns, parts]`. */
  readonly locals: readonly (readonly number[] | undefined)[];
  /** λ_T before any read-out of S_T. */
  readonly final: readonly number[];
  /** λ of the state after each step, as the step sees it. */
  readonly seen: readonly (readonly number[])[];
  /** λ of the initial state. */
  readonly initial: readonly number[];
  /** The shared exponent of state s, 0 without: radii are over 2^m. */
  exponent(state: number, lane: number): number;
}

/** Runs a batch of one sequence. */
export function gradientRun(
  gradient: TracedGradient,
  batch: Batch,
  initialState: ArrayLike<number>,
  cotangents: GradientOptions,
): GradientRun {
  const { model, width, cotangents: parts } = gradient;
  const { steps } = batch;
  const scaled = model.action === "scaled";
  const early = model.reads === "pre" ? 0 : 1;
  const outputs = outputRows(batch, cotangents);
  const expressions = gradientScope(gradient, batch);
  const { lanes, at, perLane, cotangents: loads } = expressions;

  const states: (readonly number[])[] = [Array.from(initialState)];
  for (let s = 0; s < steps; s++) states.push(perLane(at(f64, s, states[s]!, {}), gradient.next));
  const locals = outputs.map((output, s) =>
    output && perLane(at(f64, s, states[s + early]!, { [outputCotangent]: output }), gradient.local)
  );
  const final = finalCotangent(cotangents, states[steps]!, lanes, width, parts, scaled);
  const seen: (readonly number[])[] = [];
  let lambda: readonly number[] = final;
  const add = (local: readonly number[] | undefined): void => {
    if (local !== undefined) lambda = lambda.map((x, n) => x + local[n]!);
  };
  for (let s = steps - 1; s >= 0; s--) {
    if (early === 1) add(locals[s]);
    seen[s] = lambda;
    lambda = perLane(at(f64, s, states[s]!, loads((x) => x, lambda, states[s + 1]!)), gradient.pull);
    if (early === 0) add(locals[s]);
  }
  return {
    gradient,
    batch,
    expressions,
    early,
    states,
    outputs,
    locals,
    final,
    seen,
    initial: lambda,
    exponent: (state, lane) => scaled ? states[state]![lane * width + 1]! : 0,
  };
}

/** λ_T, with respect to the state as the run holds it (a scaled one at its own exponent). */
function finalCotangent(
  { finalState }: GradientOptions,
  state: readonly number[],
  lanes: number,
  width: number,
  parts: number,
  scaled: boolean,
): number[] {
  if (finalState === undefined) return new Array<number>(lanes * parts).fill(0);
  if (!scaled) return Array.from(finalState);
  return Array.from(
    { length: lanes },
    (_, lane) => finalState[lane * width]! * 2 ** (state[lane * width + 1]! - finalState[lane * width + 1]!),
  );
}

/** The cotangent of the output read at each step; undefined where nothing is read. */
function outputRows(batch: Batch, { outputs }: GradientOptions): (number[] | undefined)[] {
  const { model, dims: { T }, steps } = batch;
  const rows: (number[] | undefined)[] = Array.from({ length: steps });
  const columns = T === 0 ? 0 : outputs.length / T;
  for (let t = 0; t < T; t++) {
    rows[readStep(model, t)] = Array.from({ length: columns }, (_, n) => outputs[t * columns + n]!);
  }
  return rows;
}
