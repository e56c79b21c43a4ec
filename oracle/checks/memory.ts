/**
 * Memory rows: what a stream holds between tokens, counted; and with it the SPD class that a model shows.
 *
 * @module
 */
import { blelloch, Counter, foldStream, type Operator, scheduleCost, streamCost } from "../../scan/mod.ts";
import { f64 } from "../../models/number.ts";
import { type Element, modelMonoid } from "../../models/run.ts";
import { residueTokens } from "./exact.ts";
import { type CheckContext, longest, rowOf } from "./context.ts";
import type { Row } from "../report.ts";

/** The numbers an element holds. */
function numbersOf(element: Element<number>): number {
  return "E" in element ? element.E.flat().length + element.F.flat().length : element.flat().length;
}

/** A stream that keeps everything it was given: what a memory row must see. */
function leaking<E>(op: Operator<E>): ReturnType<typeof foldStream<E>> {
  const stream = foldStream(op);
  const kept: E[] = [];
  return {
    get size() {
      return stream.size;
    },
    push(x) {
      stream.push(x);
      kept.push(x);
    },
    prefix: () => stream.prefix(),
    held: () => kept,
  };
}

/** Two streams of the model's own elements: folded, O(1) elements; in the counter, O(log n). */
export function* memoryRows(context: CheckContext): Generator<Row> {
  const { model, exactSizes: sizes, seed } = context;
  const T = Math.min(longest(context), 1024);
  const monoid = modelMonoid(f64, model, sizes);
  // Elements of zeros: memory does not depend on values, and products of nothing stay finite.
  const elements = residueTokens(model, sizes, T, seed).map((token) =>
    monoid.lift(Object.fromEntries(Object.entries(token).map(([name, values]) => [name, values.map(() => 0)])))
  );
  const tree = scheduleCost(blelloch, T);
  const cases: readonly (readonly [string, <E>(op: Operator<E>) => ReturnType<typeof foldStream<E>>, number])[] = [
    ["stream", (op) => foldStream(op), 1],
    ["counter stream", (op) => new Counter(op), T === 0 ? 0 : 2 * Math.ceil(Math.log2(T + 1))],
  ];
  for (const [execution, open, allowed] of cases) {
    const { peak } = streamCost(context.plant === undefined ? open : leaking, monoid, elements);
    const numbers = streamCost(open, monoid, elements, numbersOf).peak;
    yield rowOf(context, {
      check: "memory",
      execution,
      length: T,
      ok: peak <= allowed,
      liveElements: peak,
      combines: tree.combines,
      depth: tree.depth,
      inputs: "zeros",
      detail: `${peak} live elements (${numbers} numbers) after ${T} tokens, allowed ${allowed}`,
    });
  }
  const leaked = streamCost(leaking, monoid, elements).peak;
  const seen = T < 2 || leaked > 1;
  yield rowOf(context, {
    check: "control",
    execution: "stream with a leak",
    inputs: "zeros",
    length: T,
    ok: seen,
    detail: seen ? "seen" : "NOT seen: the memory rows are blind to a leak",
  });
}
