/**
 * Exact rows: `lift`, `combine` and a schedule give the states of `step`, equal to the last bit, in dyadics and over
 * F_65521; the operator is associative; stopping and going on changes nothing.
 *
 * The identity holds for any activated fields, so the dyadic runs take those of the inputs rounded to a few bits: their
 * mantissas grow with every product.
 *
 * @module
 */
import type { ScaledRing } from "../../models/arith.ts";
import {
  type AnyAffineModel,
  type Axes,
  type Fields,
  type Sizes,
  stateColumns,
  stateRows,
} from "../../models/affine.ts";
import { faultySchedule, tokensOf } from "../../models/execution.ts";
import { microSteps, prepare, stateWidth } from "../../models/inputs.ts";
import { modular } from "../../models/modular.ts";
import { f64 } from "../../models/number.ts";
import { seeded } from "../../models/random.ts";
import { type Element, type LaneState, type ModelMonoid, modelMonoid, scanStates } from "../../models/run.ts";
import type { InputSource } from "../../models/source.ts";
import { fieldShape, type FieldValues } from "../../models/token.ts";
import {
  blelloch,
  checkAssociativity,
  chunked,
  Counter,
  counter,
  foldStream,
  type Schedule,
  scheduleCost,
  streamCost,
} from "../../scan/mod.ts";
import { type Dyadic, dyadic, equals, fromNumber, toNumber } from "../dyadic.ts";
import type { Row } from "../report.ts";
import { stepStates } from "../run.ts";
import { type CheckContext, CROSSING, DENSE_EXACT, exactDims, longest, rowOf } from "./context.ts";

/** The schedules that every model's operator is scanned with. */
export const exactSchedules: readonly Schedule[] = [blelloch, chunked(64), counter];

/** Significant bits of activated fields in dyadic runs, and the binade that smaller ones are raised to. */
const BITS = 2;
const LEAST = 2 ** -2;
/** The exponents that shared-exponent fields are brought to, either way. */
const SPREAD = 3;

/**
 * A number cut to few bits near the binary point: what a product of thousands of them can be held in. Cut, not rounded:
 * a gate just below 1 must not become 1, with which operands commute. Zero stays zero.
 */
function coarse(x: number): Dyadic {
  const size = Math.max(Math.abs(x), LEAST);
  const unit = 2 ** (Math.floor(Math.log2(size)) - BITS + 1);
  return fromNumber(Math.sign(x) * Math.floor(size / unit) * unit);
}

/** An algebra with its equality and how a number of it reads in a report. */
interface Numbers<N> {
  readonly A: ScaledRing<N>;
  equal(x: N, y: N): boolean;
  show(x: N): number;
}

const dyadics: Numbers<Dyadic> = { A: dyadic, equal: equals, show: toNumber };
const residues: Numbers<number> = { A: modular(65521), equal: (x, y) => x === y, show: (x) => x };

/** Activated fields of a source, rounded to a few bits, as dyadics. */
function coarseTokens(context: CheckContext, source: InputSource, T: number): FieldValues<Dyadic>[] {
  const { model, seed } = context;
  const dims = exactDims(context, T);
  const batch = prepare(model, dims, source.inputs(model, dims, seed, longest(context)));
  return tokensOf(f64, batch, 0, 0).map((token) =>
    Object.fromEntries(
      Object.entries(token).map(([name, values]) => [
        name,
        values.map((x) =>
          model.exponents?.includes(name) ? fromNumber(Math.max(-SPREAD, Math.min(SPREAD, x))) : coarse(x)
        ),
      ]),
    )
  );
}

/** Random residues for every field; exponents are 0, which is all a finite ring knows of them. */
export function residueTokens(model: AnyAffineModel, sizes: Sizes, steps: number, seed: number): FieldValues<number>[] {
  const random = seeded(seed, "residues", model.name);
  const fields = Object.entries(model.fields as Fields).map(([name, axes]: [string, Axes]) =>
    [name, fieldShape(axes, sizes).reduce((x, y) => x * y, 1)] as const
  );
  return Array.from({ length: steps }, () =>
    Object.fromEntries(
      fields.map(([name, length]) => [
        name,
        Array.from({ length }, () => model.exponents?.includes(name) ? 0 : Math.floor(random() * 65521)),
      ]),
    ));
}

/** A state that is not zero, so that a dropped initial state shows. */
function initialLanes<N>(A: ScaledRing<N>, model: AnyAffineModel, sizes: Sizes): LaneState<N> {
  return Array.from({ length: stateRows(model, sizes) * stateColumns(model, sizes) }, (_, lane) => [
    A.of(lane % 5 - 2 || 3),
    ...(stateWidth(model) === 2 ? [A.of(model.action === "scaled" ? 0 : lane % 3)] : []),
  ]);
}

/** The value of a lane as `step` has it: a scaled pair's is s·2^m. */
function laneValue<N>(A: ScaledRing<N>, model: AnyAffineModel, lane: readonly N[]): readonly N[] {
  return model.action === "scaled" ? [A.scale2(lane[0]!, lane[1]!)] : lane;
}

/** What differs first between two runs, in words; undefined when nothing does. */
function difference<N>(
  { A, equal, show }: Numbers<N>,
  model: AnyAffineModel,
  got: readonly LaneState<N>[],
  want: readonly LaneState<N>[],
): string | undefined {
  for (let s = 0; s < want.length; s++) {
    for (let lane = 0; lane < want[s]!.length; lane++) {
      const x = got[s] === undefined ? undefined : laneValue(A, model, got[s]![lane]!);
      const y = laneValue(A, model, want[s]![lane]!);
      for (let c = 0; c < y.length; c++) {
        if (x === undefined || !equal(x[c]!, y[c]!)) {
          const seen = x === undefined ? "nothing" : show(x[c]!);
          return `first bad index: step ${s}, lane ${lane}: got ${seen}, step gives ${show(y[c]!)}`;
        }
      }
    }
  }
  return undefined;
}

/** A schedule with the context's fault, if it is one of a schedule. */
function scheduleOf({ plant }: CheckContext, schedule: Schedule): Schedule {
  return plant === undefined || plant === "relative" ? schedule : faultySchedule(schedule, plant);
}

/** States off by 2^−10 (over a finite ring: by that element), where that is the context's fault. */
function plantedStates<N>({ plant }: CheckContext, A: ScaledRing<N>, states: LaneState<N>[]): LaneState<N>[] {
  if (plant !== "relative") return states;
  return states.map((state) => state.map(([s, ...rest]) => [A.add(s!, A.mul(A.of(2 ** -10), s!)), ...rest]));
}

/** The rows of one algebra and source: every schedule at every length. */
function* scheduleRows<N>(
  context: CheckContext,
  check: "exact" | "finite-ring",
  inputs: string,
  numbers: Numbers<N>,
  tokens: readonly FieldValues<N>[],
  lengths: readonly number[],
): Generator<Row> {
  const { model, exactSizes: sizes } = context;
  const n = microSteps(model);
  const initial = initialLanes(numbers.A, model, sizes);
  const truth = stepStates(numbers.A, model, sizes, tokens, initial);
  for (const schedule of exactSchedules) {
    // An online schedule's prefixes do not depend on what follows: one run serves every length.
    const online = schedule !== blelloch;
    const planted = scheduleOf(context, schedule);
    const states = (of: readonly FieldValues<N>[]): LaneState<N>[] =>
      plantedStates(context, numbers.A, scanStates(numbers.A, model, sizes, of, planted, initial));
    const whole = online ? states(tokens) : [];
    for (const T of lengths) {
      const steps = T * n;
      const got = online ? whole.slice(0, steps) : states(tokens.slice(0, steps));
      const detail = difference(numbers, model, got, truth.slice(0, steps));
      yield rowOf(context, {
        check,
        execution: schedule.name,
        inputs,
        length: T,
        ok: detail === undefined,
        maxUlp: detail === undefined ? 0 : null,
        bound: 0,
        ...scheduleCost(schedule, steps),
        liveElements: liveElements(schedule, steps),
        ...(detail === undefined ? {} : { detail }),
      });
    }
  }
}

/** Elements that a stream of this schedule's kind holds after so many steps. */
function liveElements(schedule: Schedule, steps: number): number {
  const nothing = { combine: (): null => null };
  return schedule.parenthesisation === "counter"
    ? streamCost((op) => new Counter(op), nothing, new Array<null>(steps).fill(null)).peak
    : streamCost((op) => foldStream(op), nothing, new Array<null>(steps).fill(null)).peak;
}

/** The lengths that a model's dyadic rows are run at. */
export function exactLengths({ model, lengths }: CheckContext): readonly number[] {
  if (model.action !== "matrix") return lengths;
  return [...new Set(lengths.map((T) => Math.min(T, DENSE_EXACT)))];
}

/** `lift`, `combine` and every schedule against `step` in dyadics, for every source and length. */
export function* exactRows(context: CheckContext): Generator<Row> {
  const lengths = exactLengths(context);
  for (const source of context.sources) {
    const tokens = coarseTokens(context, source, Math.max(0, ...lengths));
    yield* scheduleRows(context, "exact", source.name, dyadics, tokens, lengths);
  }
}

/** The same over F_65521, where nothing dies out: random residues, every length; on devices too, bit for bit. */
export async function* finiteRingRows(context: CheckContext): AsyncGenerator<Row> {
  const { model, exactSizes: sizes, seed } = context;
  const n = microSteps(model);
  const tokens = residueTokens(model, sizes, longest(context) * n, seed);
  yield* scheduleRows(context, "finite-ring", "residues", residues, tokens, context.lengths);
  const zero = initialLanes(residues.A, model, sizes).map((lane) => lane.map(() => 0));
  const truth = stepStates(residues.A, model, sizes, tokens, zero).map((state) => state.flat());
  for (const execution of context.executions) {
    if (execution.residues === undefined) continue;
    const residuesAt = (T: number): Promise<Uint32Array> => {
      const fields = Object.fromEntries(
        Object.keys(model.fields as Fields).map((name) => [
          name,
          Uint32Array.from(tokens.slice(0, T * n).flatMap((token) => token[name]!)),
        ]),
      );
      return execution.residues!(model, exactDims(context, T), fields, "prime");
    };
    const all = await Promise.all(context.lengths.map(residuesAt));
    for (const [i, T] of context.lengths.entries()) {
      const got = all[i]!;
      const want = truth.slice(0, T * n).flat();
      const bad = want.findIndex((x, i) => got[i] !== x);
      const ok = bad < 0 && got.length === want.length;
      yield rowOf(context, {
        check: "finite-ring",
        execution: execution.name,
        inputs: "residues",
        length: T,
        ok,
        maxUlp: ok ? 0 : null,
        bound: 0,
        ...(ok ? {} : { detail: `first bad index ${bad}: got ${got[bad]}, step gives ${want[bad]}` }),
      });
    }
  }
}

/** `combine(combine(a, b), c) = combine(a, combine(b, c))` on lifted tokens, as it acts on a state. */
export function* associativityRows(context: CheckContext): Generator<Row> {
  const { model, exactSizes: sizes, sources } = context;
  const monoid = modelMonoid(dyadic, model, sizes);
  const state = initialLanes(dyadic, model, sizes);
  for (const source of sources) {
    const samples = coarseTokens(context, source, 4).slice(0, 5).map((token) => monoid.lift(token));
    // Two elements are the same if they act the same: a shared exponent may be chosen differently.
    const same = (x: Element<Dyadic>, y: Element<Dyadic>): boolean =>
      difference(dyadics, model, [monoid.apply(x, state)], [monoid.apply(y, state)]) === undefined;
    const tried = context.plant === undefined ? monoid : { combine: offCombine(monoid) };
    const violation = checkAssociativity<Element<Dyadic>>(tried, samples, same);
    yield rowOf(context, {
      check: "associativity",
      execution: "combine",
      inputs: source.name,
      length: 4,
      ok: violation === undefined,
      maxUlp: violation === undefined ? 0 : null,
      bound: 0,
      ...(violation === undefined
        ? {}
        : { detail: `associator: ${associator(context, violation.leftFirst, violation.rightFirst)}` }),
    });
  }
}

/** A combine whose last number is off by 2^−10: not associative. */
function offCombine(monoid: ModelMonoid<Dyadic>): ModelMonoid<Dyadic>["combine"] {
  const off = (x: Dyadic): Dyadic => dyadic.add(x, dyadic.scale2(x, fromNumber(-10)));
  return (x, y) => {
    const exact = monoid.combine(x, y);
    if ("E" in exact) return { E: exact.E, F: exact.F.map((row) => row.map(off)) };
    // The number that enters the state: b, re b, or c.
    return exact.map((lane) => lane.map((value, n) => n === lane.length / 2 ? off(value) : value));
  };
}

function associator({ model, exactSizes }: CheckContext, x: Element<Dyadic>, y: Element<Dyadic>): string {
  const monoid = modelMonoid(dyadic, model, exactSizes);
  const state = initialLanes(dyadic, model, exactSizes);
  return difference(dyadics, model, [monoid.apply(x, state)], [monoid.apply(y, state)]) ?? "none";
}

/** Steps to a split, saved, and scanned on from there: equal to the whole run. */
export function* exactResumeRows(context: CheckContext): Generator<Row> {
  const { model, exactSizes: sizes } = context;
  for (const source of context.sources) {
    const tokens = coarseTokens(context, source, CROSSING);
    const initial = initialLanes(dyadic, model, sizes);
    const truth = stepStates(dyadic, model, sizes, tokens, initial);
    const detail = [1, 64, 65, tokens.length - 1].map((split) => {
      const saved = split === 0 ? initial : truth[split - 1]!;
      const scanned = scanStates(dyadic, model, sizes, tokens.slice(split), scheduleOf(context, blelloch), saved);
      const rest = plantedStates(context, dyadic, scanned);
      return difference(dyadics, model, rest, truth.slice(split));
    }).find((found) => found !== undefined);
    yield rowOf(context, {
      check: "resume",
      execution: "blelloch",
      inputs: source.name,
      length: CROSSING,
      ok: detail === undefined,
      maxUlp: detail === undefined ? 0 : null,
      bound: 0,
      ...(detail === undefined ? {} : { detail }),
    });
  }
}

/** Every fault in every exact schedule turns the row red; a commutative operator is blind to swapped operands. */
export function* exactControlRows(context: CheckContext): Generator<Row> {
  const { model, exactSizes: sizes, sources } = context;
  const tokens = coarseTokens(context, sources[0]!, CROSSING);
  const initial = initialLanes(dyadic, model, sizes);
  const truth = stepStates(dyadic, model, sizes, tokens, initial);
  for (const schedule of exactSchedules) {
    for (const fault of ["dropped-carry", "swapped-operands"] as const) {
      if (fault === "swapped-operands" && model.action === "identity") continue;
      const got = scanStates(dyadic, model, sizes, tokens, faultySchedule(schedule, fault), initial);
      const seen = difference(dyadics, model, got, truth) !== undefined;
      yield rowOf(context, {
        check: "control",
        execution: `${schedule.name} with ${fault}`,
        inputs: sources[0]!.name,
        length: CROSSING,
        ok: seen,
        detail: seen ? "seen" : "NOT seen: the exact rows are blind to this fault",
      });
    }
  }
}
