/**
 * The fold: left to right, one combine after another. It defines what every other schedule must return for an
 * associative operator. n − 1 combines, n − 1 deep; one element live while streaming.
 *
 * @module
 */
import type { Operator } from "./monoid.ts";
import type { Schedule } from "./schedule.ts";
import type { Stream } from "./stream.ts";

/** All inclusive prefixes: `[x0, x0·x1, (x0·x1)·x2, …]`. */
export function foldInclusive<M>(op: Operator<M>, xs: readonly M[]): M[] {
  const prefixes: M[] = [];
  const running = foldStream(op);
  for (const x of xs) {
    running.push(x);
    prefixes.push(running.prefix() as M);
  }
  return prefixes;
}

/** All exclusive prefixes: `[undefined, x0, x0·x1, …]`, as many as elements; the last element is not combined. */
export function foldExclusive<M>(op: Operator<M>, xs: readonly M[]): (M | undefined)[] {
  if (xs.length === 0) return [];
  return [undefined, ...foldInclusive(op, xs.slice(0, -1))];
}

/** The whole product `((x0·x1)·x2)·…`, or `undefined` for no elements. */
export function fold<M>(op: Operator<M>, xs: Iterable<M>): M | undefined {
  const running = foldStream(op);
  for (const x of xs) running.push(x);
  return running.prefix();
}

/** The fold fed one element at a time: it holds one element, however long the stream. */
export function foldStream<M>(op: Operator<M>): Stream<M> {
  let size = 0;
  let state: M | undefined;
  return {
    get size(): number {
      return size;
    },
    push(x: M): void {
      state = size === 0 ? x : op.combine(state as M, x);
      size++;
    },
    prefix: (): M | undefined => state,
    held: (): M[] => size === 0 ? [] : [state as M],
  };
}

/** The fold as a schedule. */
export const sequential: Schedule = {
  name: "sequential",
  parenthesisation: "left",
  inclusive: foldInclusive,
};
