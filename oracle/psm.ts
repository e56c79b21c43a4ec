/**
 * checkPsm: takes a prefix-scannable model through both its drivers and judges it.
 *
 * @module
 */
import type { Random } from "../models/domain.ts";
import { InputError } from "../models/error.ts";
import type { Psm } from "../models/psm.ts";
import { seeded } from "../models/random.ts";
import { chunkRows, driverRows, type PsmContext, psmControlRows, psmMemoryRows, psmResumeRows } from "./checks/psm.ts";
import { checkedOptions } from "./options.ts";
import { type Report, reportOf, type Row } from "./report.ts";

/** How to check a prefix-scannable model. */
export interface PsmOptions<C, Y> {
  /** A token for a position, drawn from `random`. */
  readonly token: (random: Random, index: number) => C;
  /** When two outputs are equal; default: the same numbers, strings and structures of them, bit for bit. */
  readonly same?: (x: Y, y: Y) => boolean;
  /** Numbers of tokens; default 0, 1 and around the ends of 1, 2, 3, 4, 7, 8, 15, 16 and 33 chunks. */
  readonly lengths?: readonly number[];
  /** Seed of the tokens; default 1. */
  readonly seed?: number;
  /** Called with every row as it is found. */
  readonly onRow?: (row: Row) => void;
}

/** Equal values: numbers by `Object.is`, arrays, typed arrays and plain objects by their entries. */
export function sameValue(x: unknown, y: unknown): boolean {
  if (Object.is(x, y)) return true;
  if (typeof x !== "object" || typeof y !== "object" || x === null || y === null) return false;
  if (Object.getPrototypeOf(x) !== Object.getPrototypeOf(y)) return false;
  const names = Object.keys(x);
  return names.length === Object.keys(y).length &&
    names.every((name) => name in y && sameValue((x as Entries)[name], (y as Entries)[name]));
}

type Entries = { readonly [name: string]: unknown };

function contextOf<C, M, Y>(psm: Psm<C, M, Y>, options: PsmOptions<C, Y>): PsmContext<C, M, Y> {
  const { name, chunk } = psm;
  if (!Number.isSafeInteger(chunk) || chunk < 1) {
    throw new InputError(`Cannot check ${name}: chunk must be an integer ≥ 1, got ${chunk}`);
  }
  const around = [1, 2, 3, 4, 7, 8, 15, 16, 33].flatMap((i) => [i * chunk - 1, i * chunk, i * chunk + 1]);
  const { lengths, seed } = checkedOptions(name, options, [0, 1, ...around]);
  const tokens = (n: number): C[] =>
    Array.from({ length: n }, (_, i) => options.token(seeded(seed, "token", name, i), i));
  return { psm, lengths, seed, tokens, same: options.same ?? sameValue };
}

/** How many rows a check must yield, counted from what was asked for, so that none can go missing. */
export function expectedPsmRows<C, M, Y>(psm: Psm<C, M, Y>, options: PsmOptions<C, Y>): number {
  return 3 * contextOf(psm, options).lengths.length + // exact: parallel and two streams
    (psm.open === undefined ? 1 : 2) + // exact: inside a chunk
    3 + // resume
    2 + // memory
    3; // control
}

/** The rows of a check, one by one. */
export function* psmRows<C, M, Y>(psm: Psm<C, M, Y>, options: PsmOptions<C, Y>): Generator<Row> {
  const context = contextOf(psm, options);
  yield* driverRows(context);
  yield* chunkRows(context);
  yield* psmResumeRows(context);
  yield* psmMemoryRows(context);
  yield* psmControlRows(context);
}

/**
 * Takes a prefix-scannable model through the parallel form and both streams and returns the report: the same outputs as
 * its definition at every length and split, `inf` causal inside a chunk, `open` equal to `inf`, summaries held within
 * what the class allows; and the controls of these.
 *
 * Throws an {@link InputError} on unusable options, or if `inf` does not return one output per token.
 */
export function checkPsm<C, M, Y>(psm: Psm<C, M, Y>, options: PsmOptions<C, Y>): Promise<Report> {
  return Promise.resolve().then(() => {
    const rows: Row[] = [];
    for (const row of psmRows(psm, options)) {
      rows.push(row);
      options.onRow?.(row);
    }
    return reportOf(rows, expectedPsmRows(psm, options));
  });
}
