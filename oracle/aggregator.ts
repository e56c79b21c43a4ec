/**
 * checkAggregator: takes an aggregator, the kit's or a user's own, through the static tree and the online counter and
 * judges it. `checkPsm` does the same for a whole prefix-scannable model.
 *
 * @module
 */
import type { Aggregator } from "../models/aggregator.ts";
import {
  type AggregatorContext,
  aggregatorControlRows,
  counterMemoryRows,
  counterResumeRows,
  dyadicLengths,
  faultCount,
  groupingRows,
  resumptions,
  treeRows,
  treeSchedules,
} from "./checks/aggregator.ts";
import { defaultLengths } from "./duality.ts";
import { checkedOptions } from "./options.ts";
import { type Report, reportOf, type Row } from "./report.ts";

/** How to check an aggregator. */
export interface AggregatorOptions {
  /** Numbers of elements; default {@link defaultLengths}. */
  readonly lengths?: readonly number[];
  /** Seed of all leaves; default 1. */
  readonly seed?: number;
  /** Called with every row as it is found. */
  readonly onRow?: (row: Row) => void;
}

function contextOf(aggregator: Aggregator, options: AggregatorOptions): AggregatorContext {
  return { aggregator, ...checkedOptions(aggregator.name, options, defaultLengths) };
}

/** How many rows a check must yield, counted from what was asked for, so that none can go missing. */
export function expectedAggregatorRows(aggregator: Aggregator, options: AggregatorOptions = {}): number {
  const context = contextOf(aggregator, options);
  return treeSchedules.length * (2 * context.lengths.length + dyadicLengths(context).length) + // exact
    2 + // associativity
    2 + // memory
    resumptions.length + // resume
    faultCount; // control
}

/** The rows of a check, one by one. */
export function* aggregatorRows(aggregator: Aggregator, options: AggregatorOptions = {}): Generator<Row> {
  const context = contextOf(aggregator, options);
  yield* treeRows(context);
  yield* groupingRows(context);
  yield* counterMemoryRows(context);
  yield* counterResumeRows(context);
  yield* aggregatorControlRows(context);
}

/**
 * Takes an aggregator through the static tree and both online counters and returns the report: the same tree as its
 * definition, bit for bit, at every length and split; its associator, measured; live elements, combines and depth within
 * what the class allows; and the controls of all of these.
 *
 * Throws an {@link InputError} on unusable options, or if `agg` or `leaf` do not return `width` numbers.
 */
export function checkAggregator(aggregator: Aggregator, options: AggregatorOptions = {}): Promise<Report> {
  return Promise.resolve().then(() => {
    const rows: Row[] = [];
    for (const row of aggregatorRows(aggregator, options)) {
      rows.push(row);
      options.onRow?.(row);
    }
    return reportOf(rows, expectedAggregatorRows(aggregator, options));
  });
}
