/**
 * Derived error bounds of gradients computed by reverse mode (models/gradient.ts): of every input and the initial state.
 *
 * λ obeys an affine recurrence in reverse time with the same gates, `λ_t = local_t + a_{t+1} λ_{t+1}`, so its bound has the
 * form of the states' (bound.ts), with the radius of `local` for that of the input; for a matrix action the norm-wise
 * recurrence `e_t = ν_{t+1} e_{t+1} + ‖local error‖₂` per column serves, with ‖Eᵀ‖₂ = ‖E‖₂ (defect.ts), as it does for
 * the states. The gradient of an entry is then one expression in inputs, states and λ, evaluated over balls with those
 * radii; what it sums over time and batch may be summed in any order (γ_n Σ|terms|).
 *
 * An execution's backward pass may be chunked: per chunk a fold, a carry, an application — a term is added as the later
 * operand at most twice.
 *
 * @module
 */
import type { Accuracy } from "../models/accuracy.ts";
import type { Analytic, SymbolicIndex } from "../models/arith.ts";
import { stateColumns, stateRows } from "../models/affine.ts";
import { readStep } from "../models/backward.ts";
import { tokensOf } from "../models/execution.ts";
import type { GradientOptions } from "../models/execution.ts";
import { evaluator, type Scope } from "../models/evaluate.ts";
import { outputCotangent, p, q, stateCotangents, stateExponent, type TracedGradient } from "../models/gradient.ts";
import { type Batch, inputEntries, microSteps } from "../models/inputs.ts";
import { f64 } from "../models/number.ts";
import type { Expr } from "../models/symbolic.ts";
import { fieldShape, type FieldValues, rawValues } from "../models/token.ts";
import { k, v } from "../models/traced.ts";
import { type Ball, ball, ballAlgebra, gamma } from "./ball.ts";
import { boundSequence, growthOf, laneGates } from "./bound.ts";
import { matrixSteps } from "./defect.ts";

/** Additions a term meets as the later operand in a chunked pass, in either direction of time. */
const LATE = 2;

/** Value and radius of every gradient of one sequence. */
export interface GradientBound {
  /** By input: a ball for every number of its array (B = H = 1). */
  readonly inputs: { readonly [name: string]: readonly Ball[] };
  /** `[rows, columns, width]`; of a scaled state the exponents are exact. */
  readonly initial: readonly Ball[];
}

/** Bounds the gradient of a batch of one sequence. */
export function gradientBound(
  gradient: TracedGradient,
  batch: Batch,
  initialState: ArrayLike<number>,
  cotangents: GradientOptions,
  machine: Accuracy,
): GradientBound {
  const { model, sizes, width, loads, cotangents: parts } = gradient;
  const { steps } = batch;
  const rows = stateRows(model, sizes);
  const columns = stateColumns(model, sizes);
  const lanes = rows * columns;
  const balls = ballAlgebra(machine);
  const shapes = Object.fromEntries(Object.entries(loads).map(([name, axes]) => [name, fieldShape(axes, sizes)]));
  const raw = Array.from({ length: steps }, (_, s) => rawValues(f64, batch, 0, s, 0));
  const scaled = model.action === "scaled";
  const outputsAt = outputRows(batch, cotangents);

  /** Leaves of one step in an algebra: its inputs, a state, and cotangents by name. */
  function scope<N>(
    A: Analytic<N>,
    step: number,
    state: readonly N[],
    seeds: { [name: string]: readonly N[] },
  ): Scope<N> {
    return evaluator(A, {
      load(name, index) {
        const seed = seeds[name];
        if (seed !== undefined) return seed[flat(index as number[], [rows, columns].slice(2 - index.length))]!;
        return A.of(raw[step]![name]![flat(index as number[], shapes[name]!)]!);
      },
      state: (row, column, component) => state[((row as number) * columns + (column as number)) * width + component]!,
    });
  }
  function perLane<N>(at: Scope<N>, exprs: readonly Expr[]): N[] {
    return Array.from({ length: lanes }, (_, lane) => {
      const inner = at.bind(k as SymbolicIndex, Math.floor(lane / columns)).bind(v as SymbolicIndex, lane % columns);
      return exprs.map((expr) => inner.value(expr));
    }).flat();
  }
  /** λ of the state after a step, as loads; a shared exponent is that of the same state. */
  const cotangentLoads = <N>(
    of: (x: number) => N,
    lambda: readonly N[],
    step: number,
  ): { [name: string]: readonly N[] } => ({
    ...Object.fromEntries(
      stateCotangents.slice(0, parts).map((name, part) => [name, lambda.filter((_, n) => n % parts === part)]),
    ),
    [stateExponent]: states[step + 1]!.filter((_, n) => n % width === width - 1).map(of),
  });
  /** A modulus and radius per lane from `parts` numbers each. */
  const modulus = (values: readonly number[], lane: number): number =>
    Math.hypot(...values.slice(lane * parts, (lane + 1) * parts));

  // Forward: true states, and their radii (of values: a scaled lane's is over 2^m).
  const states: (readonly number[])[] = [Array.from(initialState)];
  for (let s = 0; s < steps; s++) states.push(perLane(scope(f64, s, states[s]!, {}), gradient.next));
  const exponentAt = (s: number, lane: number): number => scaled ? states[s]![lane * width + 1]! : 0;
  const laneState = (s: number): number[][] =>
    Array.from({ length: lanes }, (_, lane) => states[s]!.slice(lane * width, (lane + 1) * width));
  const plain = (s: number): number[][] =>
    laneState(s).map((lane) => scaled ? [f64.scale2(lane[0]!, lane[1]!), 0] : lane);
  const tokens = tokensOf(balls, batch, 0, 0);
  const gates = model.action === "matrix" ? undefined : laneGates(model, sizes, tokens, machine);
  const matrices = model.action === "matrix" ? matrixSteps(model, sizes, tokens, machine) : undefined;
  const radii: (readonly number[])[] = [new Array<number>(lanes).fill(0)];
  if (matrices === undefined) {
    const bound = boundSequence(model, sizes, tokens, (s) => plain(s + 1), plain(0), machine, LATE);
    radii.push(...bound.states.map((row) => Array.from(row)));
  } else {
    let error = new Array<number>(columns).fill(0);
    for (let s = 0; s < steps; s++) {
      const local = perLane(scope(balls, s, states[s]!.map((x) => ball(x)), {}), gradient.next);
      error = columnErrors(local, error, matrices[s]!.norm, rows, columns, machine);
      radii.push(Array.from({ length: lanes }, (_, lane) => error[lane % columns]!));
    }
  }
  const stateBalls = (s: number): Ball[] =>
    states[s]!.map((x, n) => {
      const lane = Math.floor(n / width);
      if (scaled && n % 2 === 1) return ball(x);
      return ball(x, radii[s]![lane]! * 2 ** -exponentAt(s, lane));
    });

  // Backward: λ after every step, with radii, and every input's gradient.
  const early = model.reads === "pre" ? 0 : 1;
  const readAt = (s: number): { local: Ball[]; at: Scope<Ball> } | undefined => {
    const output = outputsAt[s];
    if (output === undefined) return undefined;
    const at = scope(balls, s, stateBalls(s + early), { [outputCotangent]: output.map((x) => ball(x)) });
    return { local: perLane(at, gradient.local), at };
  };
  const growth = growthOf(model, machine.unit);
  let lambda: Ball[] = finalCotangent(cotangents, states[steps]!, lanes, width, parts, scaled).map((x) => ball(x));
  const majorant = Array.from(
    { length: lanes },
    (_, lane) => modulus(lambda.map(({ x }) => x), lane) * 2 ** -exponentAt(steps, lane),
  );
  let error = new Array<number>(model.action === "matrix" ? columns : lanes).fill(0);
  const late = (1 + machine.unit) ** LATE - 1;
  const withRadii = (values: readonly number[], s: number): Ball[] =>
    values.map((x, n) => {
      const lane = Math.floor(n / parts);
      const own = model.action === "matrix" ? error[lane % columns]! : error[lane]! + late * majorant[lane]!;
      return ball(x, own * 2 ** exponentAt(s, lane));
    });
  const addLocal = (local: readonly Ball[], s: number): void => {
    const values = lambda.map(({ x }, n) => x + local[n]!.x);
    if (model.action === "matrix") {
      error = error.map((e, column) => {
        let square = 0;
        for (let row = 0; row < rows; row++) {
          const n = row * columns + column;
          square += (local[n]!.r + machine.unit * (Math.abs(values[n]!) + local[n]!.r + e)) ** 2;
        }
        return e + Math.sqrt(square);
      });
    } else {
      for (let lane = 0; lane < lanes; lane++) {
        const unscale = 2 ** -exponentAt(s, lane);
        const r = modulus(local.map(({ r }) => r), lane) * unscale;
        error[lane]! += r;
        majorant[lane]! += modulus(local.map(({ x }) => x), lane) * unscale + r;
      }
    }
    lambda = withRadii(values, s);
  };
  const collected: FieldValues<readonly Ball[]>[] = [];
  for (let s = steps - 1; s >= 0; s--) {
    const read = readAt(s);
    if (early === 1 && read !== undefined) addLocal(read.local, s + 1);
    const here = scope(balls, s, stateBalls(s), cotangentLoads((x) => ball(x), lambda, s));
    collected.push(Object.fromEntries(
      Object.keys(loads).map((name) => {
        const [height = 1, depth = 1] = shapes[name]!;
        const expr = gradient.inputs[name]!;
        return [
          name,
          Array.from({ length: height * depth }, (_, n) => {
            const entry = (at: Scope<Ball>, of: Expr): Ball =>
              at.bind(p, Math.floor(n / depth)).bind(q, n % depth).value(of);
            return [entry(here, expr.update), ...(read === undefined ? [] : [entry(read.at, expr.read)])];
          }),
        ];
      }),
    ));
    const exact = scope(f64, s, states[s]!, cotangentLoads((x) => x, lambda.map(({ x }) => x), s));
    const pulled = perLane(exact, gradient.pull);
    if (matrices !== undefined) {
      const rounding = perLane(
        scope(
          balls,
          s,
          states[s]!.map((x) => ball(x)),
          cotangentLoads((x) => ball(x), lambda.map(({ x }) => ball(x)), s),
        ),
        gradient.pull,
      );
      error = columnErrors(rounding, error, matrices[s]!.norm, rows, columns, machine);
    } else {
      for (let lane = 0; lane < lanes; lane++) {
        const { a, ra } = gates![s]![lane]!;
        error[lane] = a * error[lane]! + (ra + (growth - 1) * (a + ra)) * majorant[lane]! +
          4 * machine.flush * (1 + majorant[lane]!);
        majorant[lane] = (a + ra) * growth * majorant[lane]!;
      }
    }
    lambda = withRadii(pulled, s);
    if (early === 0 && read !== undefined) addLocal(read.local, s);
  }
  collected.reverse();

  const inputs: { [name: string]: Ball[] } = {};
  const n = microSteps(model);
  for (const [name, spec] of inputEntries(model)) {
    const micro = spec.micro === undefined || spec.micro === "every" ? undefined : spec.micro === "first" ? 0 : n - 1;
    const terms = spec.per === "parameter"
      ? collected[0]?.[name]?.map((_, entry) => collected.flatMap((token) => token[name]![entry]!)) ??
        Array.from({ length: shapes[name]!.reduce((x, y) => x * y, 1) }, (): Ball[] => [])
      : collected.filter((_, s) => micro === undefined || s % n === micro).flatMap((token) => token[name]!);
    inputs[name] = terms.map((summands) => summed(summands, machine.unit));
  }
  const initial = parts === width || !scaled
    ? lambda
    : lambda.flatMap((x, lane) => [x, ball(initialState[lane * width + 1]!)]);
  return { inputs, initial };
}

/** A sum of terms in any order. */
function summed(terms: readonly Ball[], unit: number): Ball {
  const r = terms.reduce((sum, term) => sum + term.r, 0);
  const size = terms.reduce((sum, term) => sum + Math.abs(term.x), 0);
  return ball(
    terms.reduce((sum, term) => sum + term.x, 0),
    r + (terms.length < 2 ? 0 : gamma(terms.length - 1, unit) * (size + r)),
  );
}

/** The errors per column after `E x (+ F)`: the step's own roundings, and what was there, through ‖E‖₂ and g·‖E‖_F. */
function columnErrors(
  local: readonly Ball[],
  error: readonly number[],
  norm: number,
  rows: number,
  columns: number,
  machine: Accuracy,
): number[] {
  // Roundings act on computed values, larger than the true ones by at most `error`: ‖E‖_F ≤ √K ‖E‖₂ of it counts again.
  const again = ((1 + machine.unit) ** (rows + 4) - 1) * Math.sqrt(rows) * (1 + norm);
  return error.map((e, column) => {
    let square = 0;
    for (let row = 0; row < rows; row++) square += local[row * columns + column]!.r ** 2;
    return norm * e + Math.sqrt(square) + again * e;
  });
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

function flat(index: readonly number[], shape: readonly number[]): number {
  return index.reduce((at, position, d) => at * (d === 0 ? 1 : shape[d]!) + position, 0);
}
