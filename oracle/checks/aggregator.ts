/**
 * Rows of an aggregator. It may be any function, so the claim is about the tree: the static tree and the online counter
 * group as the definition does, term by term, and stopping and going on changes nothing. Whether the aggregator is
 * associative is found out and reported, and held to what it claims.
 *
 * Every run is held to the definition of the tree (tree.ts), which shares nothing with scan/.
 *
 * - *terms*: the free magma, in which a result is the text of its own computation. What holds there holds for any
 *   function.
 * - *f64*: the aggregator's own values, bit for bit: equal trees do equal things, unless `agg` depends on more than its
 *   operands or changes them.
 * - *dyadic*: the same where `agg` stays inside exact arithmetic, so that no rounding can hide a wrong grouping.
 *
 * @module
 */
import { type Aggregator, aggregatorLeaves, aggregatorOperator } from "../../models/aggregator.ts";
import { faultySchedule } from "../../models/execution.ts";
import { f64 } from "../../models/number.ts";
import {
  blelloch,
  blellochPrefill,
  Counter,
  counter,
  type CounterMode,
  type CounterState,
  meter,
  type Operator,
  refoldingCounter,
  type Schedule,
  scheduleCost,
  streamCost,
} from "../../scan/mod.ts";
import { type Dyadic, equals, fromNumber, toNumber } from "../dyadic.ts";
import { exactArithmetic, staysExact } from "../exact_arithmetic.ts";
import type { Row } from "../report.ts";
import { definedPrefixes, freeMagma } from "../tree.ts";
import { CROSSING } from "./context.ts";
import { equality, FOLD, groupingOf, said } from "./grouping.ts";

/** What to check an aggregator on. */
export interface AggregatorContext {
  readonly aggregator: Aggregator;
  /** Ascending, without repeats. */
  readonly lengths: readonly number[];
  readonly seed: number;
  /** Default {@link treeSchedules}. */
  readonly schedules?: readonly TreeSchedule[];
  /** What makes a counter; default the kit's own. */
  readonly open?: OpenCounter;
}

/** Makes an online counter: what a control replaces by a faulty one. */
export type OpenCounter = <M>(op: Operator<M>, mode: CounterMode) => Counter<M>;

const openCounter: OpenCounter = (op, mode) => new Counter(op, { mode });

/** A schedule that must build the tree, and what it is judged as. */
export interface TreeSchedule {
  readonly schedule: Schedule;
  /** All at once, or online in one of the counter's modes: its prefixes do not depend on what follows. */
  readonly kind: "static" | CounterMode;
}

/** What must build the tree. */
export const treeSchedules: readonly TreeSchedule[] = [
  { schedule: blelloch, kind: "static" },
  { schedule: counter, kind: "cached" },
  { schedule: refoldingCounter, kind: "refolding" },
];

/** The longest dyadic run: the degree of a polynomial aggregator can grow with every level, and its mantissas with it. */
const DYADIC = 16;
/** Splits of resume rows: around a carry through all levels, before the end, and where saved folds are used (no carry). */
const SPLITS: readonly number[] = [0, 1, 63, 64, 65, 66, 98, CROSSING - 1];

type Vector<N> = readonly N[];

/** Joins a row's claim with what every row of an aggregator says. */
export function aggregatorRow(
  { aggregator: { name }, seed }: AggregatorContext,
  row: Pick<Row, "check" | "execution" | "inputs" | "length"> & Partial<Row> & { readonly fault?: string | undefined },
): Row {
  const { fault, ...given } = row;
  const ok = row.ok ?? fault === undefined;
  return {
    model: name,
    seed,
    ok,
    maxUlp: null,
    bound: null,
    ratio: null,
    liveElements: null,
    combines: null,
    depth: null,
    ...given,
    ...(fault === undefined ? {} : { detail: fault }),
    ...(ok ? {} : { replay: `checkAggregator(${name}, { lengths: [${row.length}], seed: ${seed} })` }),
  };
}

/** A run's values with their equality; `bad` says what makes a value no evidence. */
interface Values<M> {
  readonly op: Operator<M>;
  readonly xs: readonly M[];
  readonly same: (x: M, y: M) => boolean;
  readonly show: (x: M) => string;
  readonly bad?: (x: M) => boolean;
}

const bitwise = (x: Vector<number>, y: Vector<number>): boolean =>
  x.length === y.length && x.every((value, i) => Object.is(value, y[i]));
const showVector = (x: Vector<number>): string => `[${x.slice(0, 4).join(", ")}${x.length > 4 ? ", …" : ""}]`;

function termValues(n: number): Values<number> {
  return { op: freeMagma(), xs: Array.from({ length: n }, (_, i) => i), same: Object.is, show: (x) => `term ${x}` };
}

function floatValues({ aggregator, seed }: AggregatorContext, n: number): Values<Vector<number>> {
  return {
    op: aggregatorOperator(f64, aggregator),
    xs: aggregatorLeaves(aggregator, n, seed),
    same: bitwise,
    show: showVector,
    bad: (x) => !x.every(Number.isFinite),
  };
}

const sameDyadics = (x: Vector<Dyadic>, y: Vector<Dyadic>): boolean =>
  x.length === y.length && x.every((value, i) => equals(value, y[i]!));

function dyadicValues({ aggregator, seed }: AggregatorContext, n: number): Values<Vector<Dyadic>> {
  return {
    op: aggregatorOperator(exactArithmetic, aggregator),
    xs: aggregatorLeaves(aggregator, n, seed).map((leaf) => leaf.map(fromNumber)),
    same: sameDyadics,
    show: (x) => showVector(x.map(toNumber)),
  };
}

/** What differs first, in words; a value that proves nothing differs from everything. */
function difference<M>({ same, show, bad }: Values<M>, got: readonly M[], want: readonly M[]): string | undefined {
  if (got.length !== want.length) return `got ${got.length} prefixes, want ${want.length}`;
  for (let i = 0; i < want.length; i++) {
    if (bad?.(want[i]!)) {
      return `prefix ${i} leaves the range of f64: ${show(want[i]!)}; give smaller leaves or lengths`;
    }
    if (!same(got[i]!, want[i]!)) return `first bad index ${i}: got ${show(got[i]!)}, the tree gives ${show(want[i]!)}`;
  }
  return undefined;
}

/** What a run may cost: only the refolding counter may need more than 2n combines. */
function overBudget({ schedule, kind }: TreeSchedule, n: number): string | undefined {
  const { combines, depth } = scheduleCost(schedule, n);
  if (kind !== "refolding" && combines > 2 * n) return `${combines} combines, allowed ${2 * n}`;
  const deepest = n < 2 ? 0 : 2 * Math.ceil(Math.log2(n));
  if (kind === "static" && depth > deepest) return `${depth} combines deep, allowed ${deepest}`;
  return undefined;
}

function* rowsOf<M>(
  context: AggregatorContext,
  inputs: string,
  values: Values<M>,
  lengths: readonly number[],
): Generator<Row> {
  const truth = definedPrefixes(values.op, values.xs);
  for (const one of context.schedules ?? treeSchedules) {
    const { schedule, kind } = one;
    // One run of a counter serves every length.
    const whole = kind === "static" ? [] : schedule.inclusive(values.op, values.xs);
    for (const n of lengths) {
      const got = kind === "static" ? schedule.inclusive(values.op, values.xs.slice(0, n)) : whole.slice(0, n);
      const fault = difference(values, got, truth.slice(0, n)) ?? overBudget(one, n);
      yield aggregatorRow(context, {
        check: "exact",
        execution: schedule.name,
        inputs,
        length: n,
        fault,
        maxUlp: fault === undefined ? 0 : null,
        bound: 0,
        ...scheduleCost(schedule, n),
        liveElements: kind === "static" ? null : peakOf(kind, n),
      });
    }
  }
}

/** Elements that a counter holds at most; the tree holds all of them. */
function peakOf(mode: CounterMode, n: number): number {
  return streamCost((op) => new Counter(op, { mode }), { combine: () => null }, new Array<null>(n).fill(null)).peak;
}

/** The lengths of dyadic rows; none where `agg` leaves exact arithmetic. */
export function dyadicLengths({ aggregator, lengths, seed }: AggregatorContext): readonly number[] {
  return staysExact(aggregator, seed) ? [...new Set(lengths.map((n) => Math.min(n, DYADIC)))] : [];
}

/** Tree and counters against the definition of the tree: as terms, in f64, in dyadics. */
export function* treeRows(context: AggregatorContext): Generator<Row> {
  const most = Math.max(0, ...context.lengths);
  yield* rowsOf(context, "terms", termValues(most), context.lengths);
  yield* rowsOf(context, "f64", floatValues(context, most), context.lengths);
  const short = dyadicLengths(context);
  if (short.length > 0) yield* rowsOf(context, "dyadic", dyadicValues(context, Math.max(...short)), short);
}

/**
 * The associative law on samples, and the fold against the tree. An aggregator need not be associative; but if it claims
 * to be, or not to be, that must be so, and its fold is its tree exactly if it is.
 */
export function* groupingRows(context: AggregatorContext): Generator<Row> {
  const { aggregator, seed } = context;
  const grouping = groupingOf(aggregator, seed);
  const { exact } = grouping;
  const [associator, fold] = [grouping.associator(), grouping.fold()];
  const inputs = exact ? "dyadic" : "intervals";
  const law = equality(associator);
  const { associative: claimed } = aggregator;
  const broken = claimed !== undefined && law !== (claimed ? "equal" : "different");
  const verdict = { equal: "associative on all samples", different: "not associative", undecided: "undecided" }[law];
  yield aggregatorRow(context, {
    check: "associativity",
    execution: "agg",
    inputs,
    length: 3,
    ok: !broken,
    maxUlp: law === "equal" && exact ? 0 : null,
    detail: `associator ${said(associator, exact)}: ${verdict}${
      broken ? `, but claims ${claimed ? "to be" : "not to be"}` : ""
    }`,
  });
  const same = equality(fold);
  yield aggregatorRow(context, {
    check: "associativity",
    execution: "fold against tree",
    inputs,
    length: FOLD,
    // Not associative on samples, yet the same here, is possible: the last combine may not see the grouping.
    ok: !(same === "different" && law === "equal"),
    maxUlp: same === "equal" && exact ? 0 : null,
    ...scheduleCost(blelloch, FOLD),
    detail: `|tree − fold| ${said(fold, exact)}${same === "different" ? ": the tree is part of the model" : ""}`,
  });
}

/** Live elements after every element, not only at the end, and what they amount to in numbers. */
export function* counterMemoryRows(context: AggregatorContext): Generator<Row> {
  const { aggregator, lengths, open = openCounter } = context;
  const n = Math.min(Math.max(0, ...lengths), 1024);
  for (const mode of ["cached", "refolding"] as const) {
    const counting = meter<null>({ combine: () => null });
    const running = open(counting, mode);
    const allowed = (t: number): number => (mode === "cached" ? 2 : 1) * Math.ceil(Math.log2(t + 1));
    let peak = 0;
    let fault: string | undefined;
    for (let t = 1; t <= n; t++) {
      running.push(counting.lift(null));
      running.prefix();
      const live = running.held().length;
      peak = Math.max(peak, live);
      if (live > allowed(t)) fault ??= `${live} live elements after ${t}, allowed ${allowed(t)}`;
    }
    if (mode === "cached" && counting.combines > 2 * n) fault ??= `${counting.combines} combines, allowed ${2 * n}`;
    yield aggregatorRow(context, {
      check: "memory",
      execution: `counter stream, ${mode}`,
      inputs: "terms",
      length: n,
      liveElements: peak,
      combines: counting.combines,
      depth: counting.depth,
      ok: fault === undefined,
      detail: fault ??
        `${peak} live elements (${peak * aggregator.width} numbers) at most in ${n}, allowed ${
          n === 0 ? 0 : allowed(n)
        }`,
    });
  }
}

/** The state after `xs`, and the mode of the counter that goes on from it. */
interface Resumption {
  readonly execution: string;
  readonly mode: CounterMode;
  save<M>(op: Operator<M>, xs: readonly M[], open: OpenCounter): CounterState<M>;
}

function streamed(execution: string, mode: CounterMode): Resumption {
  return {
    execution,
    mode,
    save<M>(op: Operator<M>, xs: readonly M[], open: OpenCounter): CounterState<M> {
      const running = open(op, mode);
      for (const x of xs) {
        running.push(x);
        running.prefix();
      }
      return running.save();
    },
  };
}

/** The ways to stop and go on. */
export const resumptions: readonly Resumption[] = [
  streamed("counter", "cached"),
  streamed("counter(refolding)", "refolding"),
  { execution: "blelloch, then counter", mode: "cached", save: (op, xs) => blellochPrefill(op, xs).state },
];

/** Stopped, the state copied as plain data, gone on from it: equal to the whole run. */
export function* counterResumeRows(context: AggregatorContext): Generator<Row> {
  const { open = openCounter } = context;
  const values = floatValues(context, CROSSING);
  const truth = definedPrefixes(values.op, values.xs);
  for (const { execution, mode, save } of resumptions) {
    let fault: string | undefined;
    for (const split of SPLITS) {
      const running = open(values.op, mode);
      running.restore(structuredClone(save(values.op, values.xs.slice(0, split), open)));
      const rest = values.xs.slice(split).map((x) => {
        running.push(x);
        return running.prefix()!;
      });
      const bad = difference(values, rest, truth.slice(split));
      if (bad !== undefined) fault ??= `split at ${split}: ${bad}`;
    }
    yield aggregatorRow(context, {
      check: "resume",
      execution,
      inputs: "f64",
      length: CROSSING,
      fault,
      maxUlp: fault === undefined ? 0 : null,
      bound: 0,
    });
  }
}

/** A counter whose prefix is folded from the lowest root up: the order is right, the tree is not. */
const wrongEndRefold: Schedule = {
  name: "counter",
  parenthesisation: "counter",
  inclusive<M>(op: Operator<M>, xs: readonly M[]): M[] {
    const running = new Counter(op);
    return xs.map((x) => {
      running.push(x);
      return running.roots().map(({ value }) => value).reduceRight((below, root) => op.combine(root, below));
    });
  },
};

/** The faults, each with what an aggregator must be for it to make no difference. */
const FAULTS: readonly (readonly [Schedule, string, "forgetful" | "commutative" | "associative"])[] = [
  ...treeSchedules.flatMap(({ schedule }) => [
    [faultySchedule(schedule, "dropped-carry"), `${schedule.name} with dropped-carry`, "forgetful"] as const,
    [faultySchedule(schedule, "swapped-operands"), `${schedule.name} with swapped-operands`, "commutative"] as const,
  ]),
  [wrongEndRefold, "counter with wrong-end refold", "associative"],
];
/** How many control rows there are. */
export const faultCount: number = 2 * FAULTS.length;

/** Whether a fault changes nothing for this aggregator, found without a faulty run. */
function excused(
  context: AggregatorContext,
  values: Values<Vector<number>>,
  excuse: (typeof FAULTS)[number][2],
): boolean {
  const { aggregator, seed } = context;
  const { op, xs, same } = values;
  if (excuse === "associative") return groupingOf(aggregator, seed).associator().proved === 0;
  if (excuse === "commutative") return same(op.combine(xs[0]!, xs[1]!), op.combine(xs[1]!, xs[0]!));
  // Forgetful: no later prefix changes when the elements that the fault drops are exchanged for others.
  const others = aggregatorLeaves(aggregator, CROSSING, seed + 1);
  const exchanged = definedPrefixes(op, [...others.slice(0, 64), ...xs.slice(64)]);
  return definedPrefixes(op, xs).every((x, i) => i < 64 || same(x, exchanged[i]!));
}

/** Every fault is seen as terms; and by the aggregator's own values, unless it is such that the fault changes nothing. */
export function* aggregatorControlRows(context: AggregatorContext): Generator<Row> {
  const terms = termValues(CROSSING);
  const floats = floatValues(context, CROSSING);
  for (const [schedule, execution, excuse] of FAULTS) {
    yield controlRow(context, execution, "terms", terms, schedule, () => undefined);
    yield controlRow(
      context,
      execution,
      "f64",
      floats,
      schedule,
      () => excused(context, floats, excuse) ? excuse : undefined,
    );
  }
}

function controlRow<M>(
  context: AggregatorContext,
  execution: string,
  inputs: string,
  values: Values<M>,
  schedule: Schedule,
  excuseOf: () => string | undefined,
): Row {
  const seen =
    difference(values, schedule.inclusive(values.op, values.xs), definedPrefixes(values.op, values.xs)) !== undefined;
  const excuse = seen ? undefined : excuseOf();
  return aggregatorRow(context, {
    check: "control",
    execution,
    inputs,
    length: CROSSING,
    ok: seen || excuse !== undefined,
    detail: seen
      ? "seen"
      : excuse !== undefined
      ? `makes no difference: agg is ${excuse} here`
      : "NOT seen: the exact rows are blind to this fault",
  });
}
