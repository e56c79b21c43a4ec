/**
 * The free magma, on which two schedules agree only if they build the same tree, and the reference tree itself, written
 * from the definition of the static tree alone. Terms are hash-consed: equal terms have equal numbers.
 */
import type { Operator, Root } from "../scan/mod.ts";

const LEAVES = 4096;
const NODES = 2 ** 24;
const ids = new Map<number, number>();
const parts: [number, number][] = [];

/** `Agg(a, b)` as a term; the leaf `i` is the number i. */
export const TERMS: Operator<number> = {
  combine(earlier, later) {
    const key = earlier * NODES + later;
    let id = ids.get(key);
    if (id === undefined) {
      id = LEAVES + parts.push([earlier, later]) - 1;
      ids.set(key, id);
    }
    return id;
  },
};

export function termText(id: number | undefined): string {
  if (id === undefined) return "e";
  if (id < LEAVES) return `x${id}`;
  const [earlier, later] = parts[id - LEAVES]!;
  return `(${termText(earlier)}${termText(later)})`;
}

export function leaves(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

/** `Agg(a, b) = "(" + a + b + ")"`. */
export const STRINGS: Operator<string> = { combine: (earlier, later) => `(${earlier}${later})` };

function agg<M>(op: Operator<M>, left: M | undefined, right: M | undefined): M | undefined {
  return left === undefined ? right : right === undefined ? left : op.combine(left, right);
}

/** Root of the padded subtree over slots lo … hi − 1; the slots from `xs.length` on hold the identity. */
function up<M>(op: Operator<M>, xs: readonly M[], lo: number, hi: number): M | undefined {
  if (lo >= xs.length) return undefined;
  if (hi - lo === 1) return xs[lo];
  const mid = (lo + hi) / 2;
  return agg(op, up(op, xs, lo, mid), up(op, xs, mid, hi));
}

/** The exclusive prefix of every slot of a tree padded to a power of two ≥ n + 1, so that slot n is the last state. */
export function referencePrefixes<M>(op: Operator<M>, xs: readonly M[]): (M | undefined)[] {
  let width = 1;
  while (width < xs.length + 1) width *= 2;
  const out: (M | undefined)[] = [];
  const down = (lo: number, hi: number, parent: M | undefined): void => {
    if (lo > xs.length) return;
    if (hi - lo === 1) {
      out[lo] = parent;
      return;
    }
    const mid = (lo + hi) / 2;
    down(lo, mid, parent);
    if (mid <= xs.length) down(mid, hi, agg(op, parent, up(op, xs, lo, mid)));
  };
  down(0, width, undefined);
  return out;
}

/** The largest subtrees of the static tree that are full, from the left. */
export function referenceRoots<M>(op: Operator<M>, xs: readonly M[]): Root<M>[] {
  const inside = (lo: number, level: number): Root<M>[] => {
    const hi = lo + 2 ** level;
    if (lo >= xs.length) return [];
    if (hi <= xs.length) return [{ level, value: up(op, xs, lo, hi)! }];
    return [...inside(lo, level - 1), ...inside(lo + 2 ** (level - 1), level - 1)];
  };
  return inside(0, 11);
}

const references: (number | undefined)[][] = [];

export function referenceTerms(n: number): (number | undefined)[] {
  return references[n] ??= referencePrefixes(TERMS, leaves(n));
}
