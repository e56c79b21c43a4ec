/**
 * From contributions to gradients: the gradient of one entry of a field or of the state, as an expression in that
 * entry's own indices.
 *
 * A contribution scatters: for every lane and every term of its sums it adds to the leaf's entry. Read the other way,
 * the entry gathers: indices that name the entry are bound by it, the others are summed. Both the CPU and the
 * GPU evaluate the gathered form, so each entry has one writer.
 *
 * @module
 */
import type { Index, SymbolicIndex } from "./arith.ts";
import { type Contribution, freshIndex, type Leaf, type Range, substitute } from "./adjoint.ts";
import { freeSymbols } from "./evaluate.ts";
import type { Expr, SymbolicAlgebra } from "./symbolic.ts";

/** What a gradient is taken of: the leaves that are entries of it, and its own indices with their extents. */
export interface Target {
  matches(leaf: Leaf): boolean;
  readonly entry: readonly Range[];
}

interface Span {
  readonly from: number;
  readonly to: number;
}

/**
 * Σ of all contributions to the entry of `target`. `lanes` are the indices the outputs were free in, over
 * which the loss sums.
 */
export function gather(
  A: SymbolicAlgebra,
  contributions: readonly Contribution[],
  lanes: readonly Range[],
  target: Target,
): Expr {
  return contributions
    .filter(({ leaf }) => target.matches(leaf))
    .map((contribution) => gatherOne(A, contribution, lanes, target))
    .reduce((total, term) => A.add(total, term), A.of(0));
}

function gatherOne(A: SymbolicAlgebra, contribution: Contribution, lanes: readonly Range[], target: Target): Expr {
  const { leaf, adjoint, over, conditions } = contribution;
  const indices = leaf.op === "load" ? leaf.index : leaf.op === "state" ? [leaf.k, leaf.v] : [];
  const ranges = new Map([...lanes, ...over].map(({ index, n }) => [index.symbol, n]));
  const bound = new Map<string, SymbolicIndex>();
  const guards: ((inside: Expr) => Expr)[] = [];
  const zero = A.of(0);
  const within = (index: SymbolicIndex, { from, to }: Span) => (inside: Expr): Expr =>
    A.below(index, to, () => from === 0 ? inside : A.below(index, from, () => zero, () => inside), () => zero);

  indices.forEach((index, d) => {
    const { index: own, n: extent } = target.entry[d]!;
    if (typeof index === "number") {
      if (extent > 1) guards.push(within(own, { from: index, to: index + 1 }));
      return;
    }
    const before = bound.get(index.symbol);
    if (before !== undefined) {
      guards.push((inside) => A.mul(A.eye(before, own), inside));
      return;
    }
    const n = ranges.get(index.symbol);
    if (n === undefined) throw new TypeError(`Cannot gather: nothing says what the index ${index.symbol} runs over`);
    bound.set(index.symbol, own);
    if (n < extent) guards.push(within(own, { from: 0, to: n }));
  });

  const spans = new Map<string, Span>();
  for (const [symbol, n] of ranges) if (!bound.has(symbol)) spans.set(symbol, { from: 0, to: n });
  for (const { index, n, holds } of conditions) {
    const own = bound.get(index.symbol);
    if (own !== undefined) {
      const extent = target.entry.find((range) => range.index === own)!.n;
      if (holds && n < extent) guards.push(within(own, { from: 0, to: n }));
      if (!holds) guards.push(within(own, { from: n, to: extent }));
      continue;
    }
    const { from, to } = spans.get(index.symbol)!;
    spans.set(index.symbol, holds ? { from, to: Math.min(to, n) } : { from: Math.max(from, n), to });
  }

  // All at once, so that a lane index of the same name as the target's is not mistaken for it.
  const loops = new Map([...spans].map(([symbol, span]) => [symbol, { span, index: freshIndex(A) }]));
  const renamed = substitute(A, adjoint, [
    ...[...bound].map(([symbol, own]) => [{ symbol }, own] as const),
    ...[...loops].map(([symbol, { index }]) => [{ symbol }, index] as const),
  ]);
  const summed = sumOver(A, renamed, [...loops.values()]);
  return guards.reduceRight((inside, guard) => guard(inside), summed);
}

/** The factors of a product, the sign apart. */
function factors(A: SymbolicAlgebra, expr: Expr): { readonly negative: boolean; readonly parts: readonly Expr[] } {
  if (expr.op === "neg") {
    const { negative, parts } = factors(A, expr.a);
    return { negative: !negative, parts };
  }
  if (expr.op !== "mul") return { negative: false, parts: [expr] };
  const a = factors(A, expr.a);
  const b = factors(A, expr.b);
  return { negative: a.negative !== b.negative, parts: [...a.parts, ...b.parts] };
}

/**
 * The sum of an expression over some indices, each pulled past the factors it does not occur in:
 * `Σ_i Σ_j Σ_v λ[i, v] k[i] k[j] S[j, v]` is `Σ_v (Σ_i λ[i, v] k[i]) (Σ_j k[j] S[j, v])`, a loop fewer.
 */
function sumOver(
  A: SymbolicAlgebra,
  expr: Expr,
  loops: readonly { readonly index: SymbolicIndex; readonly span: Span }[],
): Expr {
  const { negative, parts } = factors(A, expr);
  let remaining = [...parts];
  const pending = [...loops];
  const width = (symbol: string): number =>
    new Set(remaining.filter((part) => freeSymbols(part).has(symbol)).flatMap((part) => [...freeSymbols(part)])).size;
  while (pending.length > 0) {
    pending.sort((a, b) => width(a.index.symbol) - width(b.index.symbol));
    const { index, span: { from, to } } = pending.shift()!;
    if (from >= to) return A.of(0);
    const inside = remaining.filter((part) => freeSymbols(part).has(index.symbol));
    remaining = remaining.filter((part) => !inside.includes(part));
    if (inside.length === 0) {
      remaining.push(A.of(to - from));
      continue;
    }
    const body = inside.reduce((x, y) => A.mul(x, y));
    const term = (i: Index): Expr => substitute(A, body, [[index, i as SymbolicIndex]]);
    remaining.push(A.sum(to, (i) => from === 0 ? term(i) : A.below(i, from, () => A.of(0), () => term(i))));
  }
  const product = remaining.reduce((x, y) => A.mul(x, y), A.of(1));
  return negative ? A.neg(product) : product;
}
