/**
 * Radii of states and of their cotangents λ, for matrix actions.
 *
 * A serial pass has `e_t = ν_t e_{t−1} + ‖local error‖₂` per column. A pass of chunks has the walk of chunk_defect.ts from every
 * chunk's start; the errors of its updates, and of the states it ends with, go on through the exact transitions (drift.ts). λ goes through the same walk in reverse, with Eᵀ = D + Nᵀ,
 * from every chunk's end.
 *
 * @module
 */
import type { Accuracy } from "../models/accuracy.ts";
import type { Ball } from "./ball.ts";
import { type ChunkPromise, type ChunkWalk, chunkWalk, placeOf, type StepPlace } from "./chunk_defect.ts";
import type { ChunkStep, ChunkSteps } from "./chunk_step.ts";
import { euclid } from "./defect.ts";
import { type Drift, newDrift } from "./drift.ts";
import type { CotangentRadii } from "./gradient_lanes.ts";

/** The extent of a matrix state, and bounds of ‖E_t‖₂ by step. */
export interface MatrixExtent {
  readonly rows: number;
  readonly columns: number;
  readonly norms: readonly number[];
}

/** The errors per column after `E x (+ F)`: the step's own roundings, and what was there, through ‖E‖₂ and g·‖E‖_F. */
function columnErrors(
  local: readonly Ball[],
  error: Float64Array,
  norm: number,
  { rows, columns }: MatrixExtent,
  machine: Accuracy,
): Float64Array {
  // Roundings act on computed values, larger than the true ones by at most `error`: ‖E‖_F ≤ √K ‖E‖₂ of it counts again.
  const again = ((1 + machine.unit) ** (rows + 4) - 1) * Math.sqrt(rows) * (1 + norm);
  const r = local.map((ball) => ball.r);
  return error.map((e, column) => norm * e + euclid(r, column, rows * columns, columns) + again * e);
}

/** The error of its column, for every entry. */
function spread(error: Float64Array, { rows, columns }: MatrixExtent): Float64Array {
  return Float64Array.from({ length: rows * columns }, (_, lane) => error[lane % columns]!);
}

/** Radii of all states, of a serial pass; `rounded(step)` is the state after a step by balls from the exact one before. */
export function serialStates(
  extent: MatrixExtent,
  rounded: (step: number) => readonly Ball[],
  machine: Accuracy,
): Float64Array[] {
  let error: Float64Array = new Float64Array(extent.columns);
  const radii = [spread(error, extent)];
  extent.norms.forEach((norm, step) => {
    error = columnErrors(rounded(step), error, norm, extent, machine);
    radii.push(spread(error, extent));
  });
  return radii;
}

/** λ of a serial pass. */
export function serialCotangents(extent: MatrixExtent, machine: Accuracy): CotangentRadii {
  const { rows, columns, norms } = extent;
  let error: Float64Array = new Float64Array(columns);
  return {
    radii: () => spread(error, extent),
    add(local, values) {
      error = error.map((e, column) => {
        let square = 0;
        for (let row = 0; row < rows; row++) {
          const n = row * columns + column;
          square += (local[n]!.r + machine.unit * (Math.abs(values[n]!) + local[n]!.r + e)) ** 2;
        }
        return e + Math.sqrt(square);
      });
    },
    pull(step, _seen, rounded) {
      error = columnErrors(rounded(), error, norms[step]!, extent, machine);
    },
  };
}

/** One pass of chunks: a walk through each, and what their errors have become. */
function chunkPass(
  start: ArrayLike<number>,
  V: number,
  peak: { N: number; F: number },
  K: number,
  promise: ChunkPromise,
): {
  readonly walk: () => ChunkWalk;
  readonly drift: Drift;
  /** Entry by entry: what it is rounded by, and what came of errors before. */
  radii(): Float64Array;
  /** Goes through a transition, from the exact state `before`. */
  advance(step: ChunkStep, before: ArrayLike<number>, place: StepPlace): void;
  /** The next chunk starts from what this one ended with, rounded. */
  restart(state: ArrayLike<number>): void;
} {
  const drift = newDrift(K, V);
  let walk = chunkWalk(start, new Float64Array(V), peak, K, promise);
  return {
    walk: () => walk,
    drift,
    radii: () => {
      const errors = drift.entries();
      return walk.entries().map((r, n) => r + errors[n]!);
    },
    advance(step, before, place) {
      drift.move(step.E, step.norm);
      drift.inject(walk.advance(step, before, place));
    },
    restart(state) {
      drift.inject(walk.entries());
      const errors = drift.entries();
      walk = chunkWalk(
        state,
        Float64Array.from({ length: V }, (_, v) => euclid(errors, v, K * V, V)),
        peak,
        K,
        promise,
      );
    },
  };
}

/** Radii of all states, of a pass of chunks; `states` are the exact ones. */
export function chunkedStates(
  { rows, columns }: MatrixExtent,
  { steps, peak: peakOf }: ChunkSteps,
  states: readonly ArrayLike<number>[],
  promise: ChunkPromise,
): Float64Array[] {
  const peak = peakOf(0, steps.length);
  const pass = chunkPass(states[0]!, columns, peak, rows, promise);
  const radii: Float64Array[] = [new Float64Array(rows * columns)];
  steps.forEach((step, s) => {
    const t = s % promise.chunk.steps;
    if (t === 0 && s > 0) pass.restart(states[s]!);
    pass.advance(step, states[s]!, placeOf(t, promise));
    radii.push(pass.radii());
  });
  return radii;
}

/** λ of a pass of chunks, from λ_T; `most` is at least what read-outs give to any entry. */
export function chunkedCotangents(
  { rows, columns }: MatrixExtent,
  { steps, peak }: ChunkSteps,
  final: readonly number[],
  most: number,
  promise: ChunkPromise,
): CotangentRadii {
  const { chunk: { steps: length, inverse = 1 }, logSums } = promise;
  const lanes = rows * columns;
  const reverse = steps.map((step) => transposed(step, rows));
  const high = { N: peak(0, steps.length).N, F: most };
  const sums = logSums?.chunk ?? length;
  const pass = chunkPass(final, columns, high, rows, promise);
  return {
    radii: () => pass.radii(),
    add: (local) => pass.drift.inject(pass.walk().add(local.map(({ x }) => x), local.map(({ r }) => r))),
    pull(step, seen) {
      const t = step % length;
      const last = step === steps.length - 1;
      const sumsStart = last || (t + 1) % sums === 0 || t === length - 1;
      // A decay of λ reaches to the end of its sums: all of them count from the first step back.
      const total = new Float64Array(rows);
      if (sumsStart) {
        for (let s = step - t % sums; s <= step; s++) steps[s]!.decay.forEach((g, k) => total[k]! += g);
      }
      pass.advance({ ...reverse[step]!, decay: total }, seen, {
        sumsStart,
        sumsEnd: t % sums === 0,
        blockStart: last || (t + 1) % inverse === 0,
      });
      if (t !== 0 || step === 0) return;
      const { E } = reverse[step]!;
      const state = Float64Array.from({ length: lanes }, (_, n) => {
        const [p, v] = [Math.floor(n / columns), n % columns];
        let sum = 0;
        for (let k = 0; k < rows; k++) sum += E[p * rows + k]! * seen[k * columns + v]!;
        return sum;
      });
      pass.restart(state);
    },
  };
}

/** A step whose transition is Eᵀ and that adds nothing. */
function transposed(step: ChunkStep, K: number): ChunkStep {
  const turn = (M: Float64Array): Float64Array => M.map((_, n) => M[(n % K) * K + Math.floor(n / K)]!);
  return { ...step, E: turn(step.E), N: turn(step.N), F: new Float64Array(step.F.length) };
}
