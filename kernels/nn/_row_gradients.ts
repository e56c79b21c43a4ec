/**
 * Gradients that are sums over rows: of weights, biases and gains.
 *
 * A network that is applied to several batches of rows, as an aggregator is level by level, has such a gradient from each of
 * them. Of few rows each takes a device as long as that of many would: so they wait until all are there, and are one sum over
 * the rows of all.
 */
import { recordJoinRows } from "./_join_rows.ts";
import type { Recorder } from "./recorder.ts";
import type { RowArrays } from "./tape.ts";
import type { Value } from "./value.ts";

/** Rows up to which a sum waits for others. */
const FEW = 1024;

/**
 * Calls `sum`, now or at the end, for it to contribute to the gradients of these values the sums over the rows given, and over
 * those of other calls for the same values, which must mean the same.
 */
export function contributeRows(
  { program, tape }: Recorder,
  values: readonly (Value | undefined)[],
  given: RowArrays,
  sum: (all: RowArrays) => void,
): void {
  const tracked = values.filter((value) => value?.tracked) as Value[];
  if (tracked.length === 0) return;
  // What a step has made passes its gradient on, and so cannot wait.
  if (given.rows > FEW || tracked.some(({ slot }) => slot.storage.fixed === undefined)) return sum(given);
  tape!.later(values, given, (parts) => {
    const some = parts.filter(({ rows }) => rows > 0);
    const [first] = some;
    if (first === undefined || some.length === 1) return sum(first ?? parts[0]!);
    const rows = some.reduce((total, { rows }) => total + rows, 0);
    sum({
      rows,
      arrays: first.arrays.map((array, i) => {
        const joined = program.slot([rows, array.length / first.rows]);
        recordJoinRows(program, some.map(({ arrays }) => arrays[i]!), joined);
        return joined;
      }),
    });
  });
}
