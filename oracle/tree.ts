/**
 * The tree of the prefix-scannable models, written out from its definition and apart from every schedule: after t elements,
 * with 2^k the lowest bit of t, `P(t) = Agg(P(t − 2^k), the full subtree of the last 2^k elements)`.
 *
 * @module
 */
import type { Operator } from "../scan/mod.ts";

/** All inclusive prefixes as the tree is defined: `P(t)` for t = 1 … n. */
export function definedPrefixes<M>(op: Operator<M>, xs: readonly M[]): M[] {
  const prefixes: M[] = [];
  // At t, trees[k] is the full subtree over the last 2^k elements before the last multiple of 2^k that is ≤ t.
  const trees: M[] = [];
  xs.forEach((x, i) => {
    const t = i + 1;
    let tree = x;
    let k = 0;
    for (; t % 2 ** (k + 1) === 0; k++) {
      const whole = op.combine(trees[k]!, tree);
      trees[k] = tree;
      tree = whole;
    }
    trees[k] = tree;
    const before = t - 2 ** k;
    prefixes.push(before === 0 ? tree : op.combine(prefixes[before - 1]!, tree));
  });
  return prefixes;
}

/** The free magma, hash-consed: equal terms are equal numbers, and the i-th element is i. */
export function freeMagma(): Operator<number> {
  const terms = new Map<number, number>();
  return {
    combine(earlier, later) {
      // Leaves and terms stay below 2^24: lengths are at most 2^20, and a run has fewer than 2n terms.
      const key = earlier * 2 ** 24 + later;
      const known = terms.get(key) ?? 2 ** 21 + terms.size;
      terms.set(key, known);
      return known;
    },
  };
}
