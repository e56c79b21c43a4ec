/**
 * Heinsen's scan (2023, arXiv 2311.06281), the log-space form in which much of the field's code runs gated recurrences
 * in parallel: here to be seen losing accuracy with length, not to be trusted.
 *
 *     a*_t = Σ_{s≤t} log a_s        h_t = exp(a*_t + log(h_0 + Σ_{s≤t} exp(log b_s − a*_s)))
 *
 * The two sums are a cumulative sum and a cumulative logsumexp. Logarithms want positive numbers, so gates must be ≥ 0,
 * and the positive and the negative parts of b and h_0 go through apart: h = h⁺ − h⁻.
 *
 * Why it fails: a* grows like t while what matters of it, the differences of nearby values, does not. In f32 a sum of
 * size G is off by some 2^−24·G, and exp turns that absolute error into a relative one of h_t.
 *
 * @module
 */
import { laneActions } from "./action.ts";
import type { AnyAffineModel, Sizes } from "./affine.ts";
import type { ScaledRing } from "./arith.ts";
import { normal } from "./domain.ts";
import { InputError } from "./error.ts";
import { collect, type Execution, type Precision, single } from "./execution.ts";
import { seeded } from "./random.ts";
import { type LaneState, modelMonoid } from "./run.ts";
import type { FieldValues } from "./token.ts";

/** Stands for log 0, as everywhere in the kit: −∞ − (−∞) would be NaN, and e^−104 < 2^−149. */
const LOG_ZERO = -104;

/** One lane's running sums; `round` is applied to the result of every operation. */
class LogLane {
  readonly #round: (x: number) => number;
  /** a*_t. */
  #decay = 0;
  /** The cumulative logsumexps of the positive and the negative parts; −∞ where nothing was added yet. */
  readonly #sums: [number, number];

  constructor(initial: number, round: (x: number) => number) {
    this.#round = round;
    this.#sums = [round(Math.log(Math.max(initial, 0))), round(Math.log(Math.max(-initial, 0)))];
  }

  /** h_t after `h ↦ a h + b`. */
  push(a: number, b: number): number {
    const r = this.#round;
    this.#decay = r(this.#decay + Math.max(r(Math.log(a)), LOG_ZERO));
    const sign = b < 0 ? 1 : 0;
    if (b !== 0) this.#sums[sign] = this.#logAddExp(this.#sums[sign], r(r(Math.log(Math.abs(b))) - this.#decay));
    return r(this.#part(0) - this.#part(1));
  }

  #part(sign: 0 | 1): number {
    return this.#round(Math.exp(this.#round(this.#decay + this.#sums[sign])));
  }

  #logAddExp(x: number, y: number): number {
    const r = this.#round;
    const [low, high] = x < y ? [x, y] : [y, x];
    return low === -Infinity ? high : r(high + r(Math.log1p(r(Math.exp(r(low - high))))));
  }
}

/**
 * The log-space scan as one more execution, with sequential cumulative sums.
 *
 * It has no derived bound and says so: `rounding.rightCombines` is NaN, so the bound that the harness derives is NaN,
 * within which nothing lies, and every accuracy row of it fails. That is its place: measured by
 * {@link logSpaceErrors}, never judged equal.
 *
 * Runs models of real lanes (identity, scalar, diagonal) whose gates are ≥ 0; an {@link InputError} for any other.
 */
export function heinsen(precision: Precision = single): Execution {
  const { algebra, name, unit } = precision;
  return {
    name: `log-space ${name}`,
    scans: true,
    rounding: { unit, rightCombines: () => NaN, accuracy: "rounded", denseChunk: () => 1 },
    run: (model, dims, inputs, options = {}) =>
      Promise.resolve().then(() =>
        collect(
          algebra,
          model,
          dims,
          inputs,
          options,
          (tokens, initial) => logSpaceStates(algebra, model, dims.sizes, tokens, initial),
        )
      ),
  };
}

function logSpaceStates(
  A: ScaledRing<number>,
  model: AnyAffineModel,
  sizes: Sizes,
  tokens: readonly FieldValues<number>[],
  initial: LaneState<number>,
): LaneState<number>[] {
  if (model.action === "matrix" || laneActions[model.action as keyof typeof laneActions] !== laneActions.diagonal) {
    throw new InputError(
      `Cannot run ${model.name} in log space: its action must be identity, scalar or diagonal, got ${model.action}`,
    );
  }
  const monoid = modelMonoid(A, model, sizes);
  const lanes = initial.map(([h]) => new LogLane(h!, A.of));
  return tokens.map((token, s) =>
    (monoid.lift(token) as LaneState<number>).map(([a, b], lane) => {
      if (!(a! >= 0)) {
        throw new InputError(
          `Cannot run ${model.name} in log space: gates must be ≥ 0, got ${a} at step ${s}, lane ${lane}`,
        );
      }
      return [lanes[lane]!.push(a!, b!)];
    })
  );
}

/** Errors up to one length: the largest |h_t − truth_t| / |truth_t| of the tokens so far. */
export interface LogSpaceError {
  readonly length: number;
  /** Of the log-space scan in f32. */
  readonly logSpace: number;
  /** Of the plain recurrence `h = a h + b` in f32. */
  readonly plain: number;
}

/**
 * Error against length, for the plot: both scans in f32 on the same seeded lane, against the recurrence in f64. Gates
 * are σ(x) with x normal and terms (1 − a)·|c| with c normal: of one sign, so that every h_t has a relative error.
 */
export function logSpaceErrors(lengths: readonly number[], seed: number): LogSpaceError[] {
  if (!lengths.every((T) => Number.isSafeInteger(T) && T >= 1)) {
    throw new InputError(
      `Cannot measure errors by length: lengths must be whole numbers ≥ 1, got ${lengths.join(", ")}`,
    );
  }
  const r = Math.fround;
  const random = seeded(seed, "log space");
  const lane = new LogLane(0, r);
  let [truth, plain] = [0, 0];
  let [logSpaceWorst, plainWorst] = [0, 0];
  const at = new Map<number, LogSpaceError>();
  const wanted = new Set(lengths);
  for (let t = 1; t <= Math.max(0, ...lengths); t++) {
    const a = r(1 / (1 + Math.exp(-normal(random))));
    const b = r((1 - a) * Math.abs(normal(random)));
    truth = a * truth + b;
    plain = r(r(a * plain) + b);
    logSpaceWorst = Math.max(logSpaceWorst, Math.abs(lane.push(a, b) - truth) / truth);
    plainWorst = Math.max(plainWorst, Math.abs(plain - truth) / truth);
    if (wanted.has(t)) at.set(t, { length: t, logSpace: logSpaceWorst, plain: plainWorst });
  }
  return lengths.map((T) => at.get(T)!);
}
