/**
 * The static tree (Blelloch 1990; Prefix-Scannable Models, arXiv 2506.10918). Sequential meaning of the exclusive form:
 *
 * ```
 * state = nothing
 * for each x: emit state
 *             state = state is nothing ? x : combine(state, x)
 * ```
 *
 * grouped as a tree over the next power of two: the up-sweep joins neighbours, `up = combine(left, right)`; the
 * down-sweep hands each node the prefix before it, *left child = parent, right child = combine(parent, left subtree)*.
 * The operands keep their order and no combine is repeated, so the result is right for non-commutative operators, and
 * for non-associative ones it is, term by term, what the online counter yields.
 *
 * No combine is spent on padding or on the identity, and a node is built only if a prefix or a root asked for needs it:
 * at n = 1024, 2026 = 2(n − 1 − log2 n) combines for the exclusive prefixes, 2036 with the roots or inclusive. Fewer
 * than 2n always, at most 2⌈log2 n⌉ deep.
 *
 * @module
 */
import type { CounterState, Root } from "./counter.ts";
import type { Operator } from "./monoid.ts";
import type { Schedule } from "./schedule.ts";

/** Exclusive prefixes together with the state from which an online counter goes on. */
export interface Prefill<M> {
  readonly prefixes: (M | undefined)[];
  readonly state: CounterState<M>;
}

/** All exclusive prefixes `[undefined, x0, (x0 x1), …]`, as many as elements. The last element is not combined. */
export function blellochExclusive<M>(op: Operator<M>, xs: readonly M[]): (M | undefined)[] {
  return downSweep(op, upSweep(op, xs, xs.length - 1), xs.length);
}

/** All inclusive prefixes `[x0, (x0 x1), ((x0 x1) x2), …]`: the exclusive ones of a sequence one slot longer. */
export function blellochInclusive<M>(op: Operator<M>, xs: readonly M[]): M[] {
  return downSweep(op, upSweep(op, xs, xs.length), xs.length + 1).slice(1) as M[];
}

/**
 * The exclusive prefixes and the counter's state after all n elements. The roots are nodes of the tree, and the folds
 * above them are prefixes, so the state costs only the carries of the last element: one combine for each trailing zero
 * of n in binary. `new Counter(op).restore(state)` continues from it.
 */
export function blellochPrefill<M>(op: Operator<M>, xs: readonly M[]): Prefill<M> {
  const levels = upSweep(op, xs, xs.length);
  const prefixes = downSweep(op, levels, xs.length);
  const roots: Root<M>[] = [];
  const folds: M[] = [];
  for (let level = levels.length - 1; level >= 0; level--) {
    const nodes = levels[level] as readonly M[];
    // An unpaired node is the one that no carry has joined yet: a root.
    if (nodes.length % 2 === 0) continue;
    const start = (nodes.length - 1) * 2 ** level;
    if (start > 0) folds.push(prefixes[start] as M);
    roots.push({ level, value: nodes[nodes.length - 1] as M });
  }
  return { prefixes, state: { count: xs.length, roots, folds } };
}

/** The static tree as a schedule. */
export const blelloch: Schedule = {
  name: "blelloch",
  parenthesisation: "counter",
  inclusive: blellochInclusive,
};

/** `levels[l][k]` joins `xs[k·2^l … (k+1)·2^l − 1]`; only nodes that lie whole within the first `covered` elements. */
function upSweep<M>(op: Operator<M>, xs: readonly M[], covered: number): (readonly M[])[] {
  const levels: (readonly M[])[] = [xs];
  let below = xs;
  for (let count = Math.floor(covered / 2); count >= 1; count = Math.floor(count / 2)) {
    const earlier: M[] = [];
    const later: M[] = [];
    for (let k = 0; k < count; k++) {
      earlier.push(below[2 * k] as M);
      later.push(below[2 * k + 1] as M);
    }
    below = combineLevel(op, earlier, later);
    levels.push(below);
  }
  return levels;
}

/** The prefix before each of `slots` slots, handed down from the root; needs the nodes of the first slots − 1. */
function downSweep<M>(op: Operator<M>, levels: readonly (readonly M[])[], slots: number): (M | undefined)[] {
  if (slots === 0) return [];
  let height = 0;
  while (2 ** height < slots) height++;
  let prefixes: (M | undefined)[] = [undefined];
  for (let level = height - 1; level >= 0; level--) {
    const nodes = levels[level] as readonly M[];
    // A right child whose first slot lies in the padding is not needed.
    const rights = Math.floor(Math.ceil(slots / 2 ** level) / 2);
    // Node 0 has nothing before it: its right child takes the left subtree as it is.
    const right = combineLevel(
      op,
      prefixes.slice(1, rights) as M[],
      Array.from({ length: Math.max(rights - 1, 0) }, (_, k) => nodes[2 * (k + 1)] as M),
    );
    const children: (M | undefined)[] = [];
    for (let k = 0; k < prefixes.length; k++) {
      children.push(prefixes[k]);
      if (k < rights) children.push(k === 0 ? nodes[0] : right[k - 1]);
    }
    prefixes = children;
  }
  return prefixes;
}

function combineLevel<M>(op: Operator<M>, earlier: readonly M[], later: readonly M[]): M[] {
  if (earlier.length === 0) return [];
  if (op.combineLevel === undefined) return earlier.map((x, i) => op.combine(x, later[i] as M));
  const joined = op.combineLevel(earlier, later);
  if (joined.length !== earlier.length) {
    throw new RangeError(
      `Cannot combine a level: combineLevel must return ${earlier.length} elements, got ${joined.length}`,
    );
  }
  return joined;
}
