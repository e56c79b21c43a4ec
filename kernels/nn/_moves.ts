/** Operations that move numbers: rows of tables, slices, concatenations, with their gradients. */
import { InputError } from "../../models/error.ts";
import type { Rows } from "../../models/networks/ops.ts";
import { lengthOf } from "../tensor.ts";
import { recordBlockCopy } from "./block_copy.ts";
import { prepareEmbedding, prepareEmbeddingBackward, prepareSort } from "./embedding.ts";
import type { Ids } from "./ids.ts";
import { type Recorder, result, step } from "./recorder.ts";
import { contributeRowSums, recordRowSums, type RowSums } from "./row_sums.ts";
import { around, sameShape, shown, withExtent } from "./shapes.ts";
import { joinTaken } from "./_taken.ts";
import type { Slot } from "./slot.ts";
import { recordTranspose } from "./transpose.ts";
import { type TakenRow, Value } from "./value.ts";

/** Ids in the order of their values, found once however many tables they read. */
export interface Sorted {
  readonly order: Slot;
  readonly sorted: Slot;
}

export function embedding(recorder: Recorder, table: Value, ids: Ids, sorted: Map<Ids, Sorted>): Value {
  const { gpu, tape } = recorder;
  if (table.shape.length !== 2 || table.slot.length === 0) {
    throw new InputError(`Cannot embed: the table must be [vocabulary, d] and not empty, got ${shown(table.shape)}`);
  }
  const y = result(recorder, [...ids.shape, table.shape[1]!], [table]);
  step(
    recorder,
    "embedding",
    [table.slot],
    [y.slot],
    (at) => prepareEmbedding(gpu, { table: table.slot, ids, result: y.slot }, at),
  );
  tape?.record(y, (g) => {
    const { order, sorted: values } = sort(recorder, ids, sorted);
    tape.contribute(table, (target, accumulate) => {
      step(
        recorder,
        "embedding backward",
        [order, values, g],
        [target],
        (at) => prepareEmbeddingBackward(gpu, { order, sorted: values, g, table: target, accumulate }, at),
      );
    });
  });
  return y;
}

function sort(recorder: Recorder, ids: Ids, known: Map<Ids, Sorted>): Sorted {
  const found = known.get(ids);
  if (found) return found;
  const { gpu, program } = recorder;
  const made = { order: program.slot([ids.length]), sorted: program.slot([ids.length]) };
  step(recorder, "sort ids", [], [made.order, made.sorted], (at) => prepareSort(gpu, { ids, ...made }, at));
  known.set(ids, made);
  return made;
}

export function reshape(recorder: Recorder, x: Value, shape: readonly number[]): Value {
  const y = new Value(x.slot.view(shape), x.tracked, { taken: x.taken });
  recorder.tape?.record(y, (g) => recorder.tape!.pass(x, g));
  return y;
}

export function transpose(recorder: Recorder, x: Value): Value {
  if (x.shape.length !== 2) {
    throw new InputError(`Cannot transpose: the array must be [n, m], got ${shown(x.shape)}`);
  }
  const { program, tape } = recorder;
  const y = result(recorder, x.shape.toReversed(), [x]);
  recordTranspose(program, "transpose", { source: x.slot, target: y.slot, accumulate: false });
  tape?.record(y, (g) => {
    tape.contribute(x, (target, accumulate) => {
      recordTranspose(program, "transpose backward", { source: g, target, accumulate });
    });
  });
  return y;
}

export function slice(recorder: Recorder, x: Value, given: number, from: number, to: number): Value {
  const { axis, outer, extent, inner } = around("slice", x.shape, given);
  if (!(Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from <= to && to <= extent)) {
    throw new InputError(`Cannot slice: 0 ≤ from ≤ to ≤ ${extent} must hold, got ${from} and ${to}`);
  }
  const part = partAt(x, axis, from, to);
  if (part !== undefined) return part;
  const { program, tape } = recorder;
  const y = result(recorder, withExtent(x.shape, axis, to - from), [x]);
  const count = (to - from) * inner;
  const whole = (slot: Slot) => ({ slot, stride: count, from: 0 });
  const inside = (slot: Slot) => ({ slot, stride: extent * inner, from: from * inner });
  recordBlockCopy(program, "slice", { outer, count, source: inside(x.slot), target: whole(y.slot), as: "write" });
  tape?.record(y, (g) => {
    tape.contribute(x, (dx, accumulate) => {
      const as = accumulate ? "add" : "pad";
      recordBlockCopy(program, "slice backward", { outer, count, source: whole(g), target: inside(dx), as });
    });
  });
  return y;
}

/** The part of a concatenation that lies there and is laid out by itself anyway. */
function partAt({ joined }: Value, axis: number, from: number, to: number): Value | undefined {
  if (joined?.axis !== axis) return;
  let start = 0;
  for (const part of joined.parts) {
    const end = start + part.shape[axis]!;
    if (start === from && end === to) return part.taken === undefined ? part : undefined;
    start = end;
  }
  return;
}

export function concat(recorder: Recorder, parts: readonly Value[], given: number): Value {
  const [first] = parts;
  if (first === undefined) throw new InputError("Cannot concatenate: there must be a part, got none");
  const { axis, outer, inner } = around("concatenate", first.shape, given);
  for (const { shape } of parts) {
    if (
      shape.length === first.shape.length && sameShape(withExtent(shape, axis, 0), withExtent(first.shape, axis, 0))
    ) {
      continue;
    }
    throw new InputError(
      `Cannot concatenate: shapes must agree but for axis ${axis}, got ${shown(first.shape)} and ${shown(shape)}`,
    );
  }
  const { program, tape } = recorder;
  const extent = parts.reduce((sum, { shape }) => sum + shape[axis]!, 0);
  const shape = withExtent(first.shape, axis, extent);
  const origin = { joined: { axis, parts } };
  const straight = joinTaken(recorder, { parts, shape, unit: first.shape[axis]! * inner, origin });
  if (straight !== undefined) return straight;
  const y = result(recorder, shape, parts, origin);
  let from = 0;
  const places = parts.map((part) => {
    const count = part.shape[axis]! * inner;
    const whole = (slot: Slot) => ({ slot, stride: count, from: 0 });
    const start = from;
    const inside = (slot: Slot) => ({ slot, stride: extent * inner, from: start });
    from += count;
    return { part, count, whole, inside };
  });
  for (const { part, count, whole, inside } of places) {
    recordBlockCopy(program, "concat", { outer, count, source: whole(part.slot), target: inside(y.slot), as: "write" });
  }
  tape?.record(y, (g) => {
    for (const { part, count, whole, inside } of places) {
      tape.contribute(part, (target, accumulate) => {
        const as = accumulate ? "add" : "write";
        recordBlockCopy(program, "concat backward", { outer, count, source: inside(g), target: whole(target), as });
      });
    }
  });
  return y;
}

export function take(recorder: Recorder, sources: readonly Value[], rows: readonly Rows[]): Value {
  const [first] = sources;
  if (first === undefined) throw new InputError("Cannot take rows: there must be a source, got none");
  const tail = first.shape.slice(1);
  for (const { shape } of sources) {
    if (shape.length > 0 && sameShape(shape.slice(1), tail)) continue;
    throw new InputError(
      `Cannot take rows: sources must agree but for the first axis, got ${shown(first.shape)} and ${shown(shape)}`,
    );
  }
  // For every source, the rows of the result that each of its rows became, and the reverse.
  const forward = sources.map((): number[][] => []);
  const backward = sources.map(({ shape }) => Array.from({ length: shape[0]! }, (): number[] => []));
  const origins: TakenRow[] = [];
  let count = 0;
  for (const { source, from, count: taken } of rows) {
    const extent = sources[source]?.shape[0];
    if (
      extent === undefined || !(Number.isInteger(from) && Number.isInteger(taken) && from >= 0 && taken >= 0) ||
      from + taken > extent
    ) {
      throw new InputError(
        `Cannot take rows: source < ${sources.length} and from + count ≤ its rows must hold, got source ${source} of ${extent} rows, from ${from}, count ${taken}`,
      );
    }
    for (let row = from; row < from + taken; row++, count++) {
      backward[source]![row]!.push(count);
      forward[source]![count] = [row];
      origins.push([sources[source]!, row]);
    }
  }
  const { program, tape } = recorder;
  const width = lengthOf(tail);
  const origin = count * width === 0 ? {} : { taken: { rows: origins } };
  const y = result(recorder, [count, ...tail], sources, origin);
  const jobs = sources.map(({ slot }, i): RowSums => ({
    ...{ source: slot, target: y.slot, width, as: "some" },
    lists: Array.from({ length: count }, (_, row) => forward[i]![row] ?? []),
  }));
  const some = ({ lists }: Pick<RowSums, "lists">): boolean => lists.some(({ length }) => length > 0);
  recordRowSums(program, "take", jobs.filter(some), { optional: true });
  tape?.record(y, (g) => {
    const given = sources.map((source, i) => ({ source, job: { source: g, width, lists: backward[i]! } }));
    contributeRowSums(recorder, "take backward", given.filter(({ job }) => some(job)));
  });
  return y;
}
