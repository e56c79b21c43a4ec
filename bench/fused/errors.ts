/**
 * The error of a bench line's result against f64.
 *
 * @module
 */
import { POISON32 } from "../../oracle/ulp.ts";
import type { LineError } from "./line.ts";

/**
 * Errors over the root mean square of the truth (over 1 where all of it is zero). A number that is not finite, or that
 * nothing was written over ({@link POISON32}), counts as an infinite error. Throws a TypeError on unequal lengths.
 */
export function lineError(got: Float32Array, truth: Float64Array, allowed: number): LineError {
  if (got.length !== truth.length) {
    throw new TypeError(`Cannot compare: ${truth.length} numbers are true, got ${got.length}`);
  }
  let squares = 0;
  let errors = 0;
  let max = 0;
  let peak = 0;
  for (let i = 0; i < got.length; i++) {
    const x = got[i]!;
    const error = Number.isFinite(x) && x !== POISON32 ? Math.abs(x - truth[i]!) : Infinity;
    // A truth that is not a number can be no truth.
    max = error <= max ? max : Number.isNaN(error) ? Infinity : error;
    errors += error * error;
    squares += truth[i]! * truth[i]!;
    peak = Math.max(peak, Math.abs(truth[i]!));
  }
  const scale = squares > 0 ? Math.sqrt(squares / got.length) : 1;
  const rms = Math.sqrt(errors / Math.max(got.length, 1)) / scale;
  return { max: max / scale, rms: Number.isNaN(rms) ? Infinity : rms, allowed, peak: peak / scale };
}

/**
 * The same where every number may be off by so much and no more (`radii`, absolute): one beyond its own bound counts as an
 * infinite error, however small it is beside the others.
 */
export function boundedError(got: Float32Array, truth: Float64Array, radii: ArrayLike<number>): LineError {
  const judged = got.map((x, i) => Math.abs(x - truth[i]!) <= radii[i]! ? x : NaN);
  let shows = Infinity;
  let largest = 0;
  for (let i = 0; i < truth.length; i++) {
    largest = Math.max(largest, radii[i]!);
    // The result may already be off by a radius the other way.
    if (truth[i] !== 0) shows = Math.min(shows, 2 * radii[i]! / Math.abs(truth[i]!));
  }
  const squares = truth.reduce((sum, x) => sum + x * x, 0);
  const scale = squares > 0 ? Math.sqrt(squares / truth.length) : 1;
  return { ...lineError(judged, truth, largest / scale), shows };
}

/** The worst of several results of one line, each judged for itself; a fault shows where it does in one of them. */
export function worstError(errors: readonly LineError[]): LineError {
  const [first, ...rest] = errors;
  if (first === undefined) throw new TypeError("Cannot take the worst error: at least one is needed, got none");
  const nearness = ({ max, allowed }: LineError): number => max / allowed;
  const worst = rest.reduce((worst, error) => nearness(error) > nearness(worst) ? error : worst, first);
  const shown = errors.flatMap(({ shows }) => shows === undefined ? [] : [shows]);
  return shown.length === 0 ? worst : { ...worst, shows: Math.min(...shown) };
}
