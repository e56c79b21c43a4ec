/**
 * How much an aggregator's results depend on their grouping: its associator, and its fold against its tree, measured so
 * that what is said of them is proved and no threshold decides.
 *
 * @module
 */
import { type Aggregator, aggregatorLeaves, aggregatorOperator } from "../../models/aggregator.ts";
import { foldInclusive, type Operator } from "../../scan/mod.ts";
import { type Dyadic, equals, fromNumber, sub, toNumber } from "../dyadic.ts";
import { exactArithmetic, staysExact } from "../exact_arithmetic.ts";
import { type Interval, interval } from "../interval.ts";
import { definedPrefixes } from "../tree.ts";

/** Elements of which the fold and the tree are compared: the fold's degree can double with every element. */
export const FOLD = 8;

/** How far apart two results are for certain, and at most: equal where both are 0. */
export interface Distance {
  /** The largest difference proved, over all entries. */
  readonly proved: number;
  /** The largest difference not excluded. */
  readonly possible: number;
}

const NONE: Distance = { proved: 0, possible: 0 };
const UNKNOWN: Distance = { proved: 0, possible: Infinity };

/** The larger of two distances, end by end. */
export function widest(x: Distance, y: Distance): Distance {
  return { proved: Math.max(x.proved, y.proved), possible: Math.max(x.possible, y.possible) };
}

/** The distance of two vectors of intervals. */
export function intervalDistance(x: readonly Interval[], y: readonly Interval[]): Distance {
  return x.reduce((most, value, i) => {
    const { lo, hi } = interval.abs(interval.sub(value, y[i]!));
    return widest(most, { proved: lo.toNumber(), possible: hi.toNumber() });
  }, NONE);
}

function dyadicDistance(x: readonly Dyadic[], y: readonly Dyadic[]): Distance {
  return x.reduce((most, value, i) => {
    // Never 0 for a difference below the smallest double.
    const apart = equals(value, y[i]!) ? 0 : Math.max(Math.abs(toNumber(sub(value, y[i]!))), Number.MIN_VALUE);
    return widest(most, { proved: apart, possible: apart });
  }, NONE);
}

/** How an aggregator's results depend on their grouping; each distance is computed when it is asked for. */
export interface Grouping {
  /** In dyadics, or in certified intervals. */
  readonly exact: boolean;
  /** Both sides of the law, on all triples of four summaries of which one is an aggregate. */
  associator(): Distance;
  /** The prefixes of the fold and of the tree. */
  fold(): Distance;
}

/** A distance, or none known: a divisor or a root's argument may be such that an interval cannot keep it off 0. */
function decided(distance: () => Distance): () => Distance {
  return () => {
    try {
      return distance();
    } catch (error) {
      if (error instanceof RangeError) return UNKNOWN;
      throw error;
    }
  };
}

function grouping<N>(
  op: Operator<readonly N[]>,
  xs: readonly (readonly N[])[],
  apart: (x: readonly N[], y: readonly N[]) => Distance,
): Omit<Grouping, "exact"> {
  return {
    associator: decided(() => {
      const samples = [...xs.slice(0, 3), op.combine(xs[3]!, xs[4]!)];
      let most = NONE;
      for (const a of samples) {
        for (const b of samples) {
          const ab = op.combine(a, b);
          for (const c of samples) {
            most = widest(most, apart(op.combine(ab, c), op.combine(a, op.combine(b, c))));
          }
        }
      }
      return most;
    }),
    fold: decided(() => {
      const tree = definedPrefixes(op, xs);
      return foldInclusive(op, xs).reduce((most, x, i) => widest(most, apart(x, tree[i]!)), NONE);
    }),
  };
}

/** What is known of an aggregator's grouping: exactly where `agg` stays exact, else in certified intervals. */
export function groupingOf(definition: Aggregator, seed: number): Grouping {
  const leaves = aggregatorLeaves(definition, FOLD, seed);
  if (staysExact(definition, seed)) {
    const xs = leaves.map((leaf) => leaf.map(fromNumber));
    return { exact: true, ...grouping(aggregatorOperator(exactArithmetic, definition), xs, dyadicDistance) };
  }
  const xs = leaves.map((leaf) => leaf.map((x) => interval.of(x)));
  return { exact: false, ...grouping(aggregatorOperator(interval, definition), xs, intervalDistance) };
}

/** What a certified distance says: equal only if nothing that f64 could show of numbers around 1 is left possible. */
export function equality({ proved, possible }: Distance): "equal" | "different" | "undecided" {
  return proved > 0 ? "different" : possible < 2 ** -53 ? "equal" : "undecided";
}

/** Three digits of a positive number, rounded down: what is proved stays proved as it is printed. */
export function atLeastText(x: number): string {
  const text = x.toPrecision(3);
  return Number(text) <= x ? text : (x - 10 ** (Math.floor(Math.log10(x)) - 2)).toPrecision(3);
}

/** The same in words. */
export function said(distance: Distance, exact: boolean): string {
  const { proved, possible } = distance;
  if (proved > 0) return exact ? `max ${proved.toPrecision(3)}` : `max ≥ ${atLeastText(proved)}, certified`;
  return possible === 0 ? "0, exactly" : `between 0 and ${possible.toPrecision(3)}, certified`;
}
