/**
 * Reverse mode over expressions: from the cotangents of some outputs to those of every leaf.
 *
 * The cotangent of a leaf is a list of contributions, one for each scope the leaf occurs in: a scope is the sums and the
 * `below` branches around it. Within a scope the contributions to a node are added before they go on, so the
 * work is linear in the size of the graph.
 *
 * Where there is no derivative, the stated subgradient: `max(a, b)` at a = b is `a`; `abs` at 0 and `sqrt` at 0 have
 * derivative 0. `exponent`, the second operand of `scale2` and the exponent part of `expParts` are constants
 * (a shared exponent cancels from the value), so the mantissa part carries the whole derivative of `expParts`.
 *
 * @module
 */
import type { SymbolicIndex } from "./arith.ts";
import { evaluator, operands } from "./evaluate.ts";
import type { Expr, SymbolicAlgebra } from "./symbolic.ts";

/** An index that runs over 0 … n−1. */
export interface Range {
  readonly index: SymbolicIndex;
  readonly n: number;
}

/** `index < n`, or its negation. */
export interface Condition extends Range {
  readonly holds: boolean;
}

/** A leaf: what a gradient is taken with respect to. */
export type Leaf = Extract<Expr, { op: "load" | "state" | "variable" }>;

/**
 * One term of a cotangent: for all positions of the indices in `over` (the enclosing sums) at which the conditions hold,
 * the leaf receives `adjoint`, which may not be evaluated elsewhere. The indices in `over` are new
 * ones: they occur in no other expression, so nothing is captured.
 */
export interface Contribution {
  readonly leaf: Leaf;
  readonly adjoint: Expr;
  readonly over: readonly Range[];
  readonly conditions: readonly Condition[];
}

/** An output and its cotangent. */
export interface Seed {
  readonly output: Expr;
  readonly adjoint: Expr;
}

/** An expression with symbols replaced by positions, all at once. */
export function substitute(
  A: SymbolicAlgebra,
  expr: Expr,
  positions: readonly (readonly [SymbolicIndex, SymbolicIndex | number])[],
): Expr {
  const scope = positions.reduce(
    (scope, [index, position]) => scope.bind(index, position),
    evaluator<Expr>(A, { load: A.load, state: A.state, closed: (closed) => closed }),
  );
  return scope.value(expr);
}

/** A symbol that occurs nowhere else in the algebra. */
export function freshIndex(A: SymbolicAlgebra): SymbolicIndex {
  let index: SymbolicIndex | undefined;
  A.sum(1, (i) => {
    index = i as SymbolicIndex;
    return A.of(0);
  });
  return index!;
}

interface Place {
  readonly over: readonly Range[];
  readonly conditions: readonly Condition[];
  readonly adjoints: Map<Expr, Expr>;
}

/** The contributions to every leaf that `seeds` depend on. */
export function contributions(A: SymbolicAlgebra, seeds: readonly Seed[]): Contribution[] {
  const out: Contribution[] = [];
  const adjoints = new Map<Expr, Expr>();
  for (const { output, adjoint } of seeds) accumulate(A, adjoints, output, adjoint);
  visit(A, { over: [], conditions: [], adjoints }, out);
  return out;
}

function accumulate(A: SymbolicAlgebra, adjoints: Map<Expr, Expr>, node: Expr, adjoint: Expr): void {
  if (adjoint.op === "const" && adjoint.value === 0) return;
  const before = adjoints.get(node);
  adjoints.set(node, before === undefined ? adjoint : A.add(before, adjoint));
}

/** The nodes of one scope, users before what they use: an expression is always made after its operands. */
function inScope(roots: Iterable<Expr>): Expr[] {
  const seen = new Set<Expr>();
  const pending = [...roots];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    if (node.op !== "sum" && node.op !== "below") pending.push(...operands(node));
  }
  return [...seen].sort((a, b) => b.id - a.id);
}

function visit(A: SymbolicAlgebra, place: Place, out: Contribution[]): void {
  const { over, conditions, adjoints } = place;
  const branches = new Map<string, Place>();
  const enter = (index: SymbolicIndex, n: number, holds: boolean, node: Expr, adjoint: Expr): void => {
    const known = conditions.find((other) => other.index.symbol === index.symbol && other.n === n);
    if (known !== undefined && known.holds !== holds) return;
    const key = `${index.symbol} ${n} ${holds}`;
    let branch = branches.get(key);
    if (branch === undefined) {
      const inside = known === undefined ? [...conditions, { index, n, holds }] : conditions;
      branches.set(key, branch = { over, conditions: inside, adjoints: new Map() });
    }
    accumulate(A, branch.adjoints, node, adjoint);
  };
  const inner: Place[] = [];
  for (const node of inScope(adjoints.keys())) {
    const adjoint = adjoints.get(node);
    if (adjoint === undefined) continue;
    if (node.op === "load" || node.op === "state" || node.op === "variable") {
      out.push({ leaf: node, adjoint, over, conditions });
    } else if (node.op === "sum") {
      const index = freshIndex(A);
      const body = substitute(A, node.body, [[node.index, index]]);
      inner.push({ over: [...over, { index, n: node.n }], conditions, adjoints: new Map([[body, adjoint]]) });
    } else if (node.op === "below") {
      if (typeof node.i === "number") {
        accumulate(A, adjoints, node.i < node.n ? node.then : node.otherwise, adjoint);
        continue;
      }
      enter(node.i, node.n, true, node.then, adjoint);
      enter(node.i, node.n, false, node.otherwise, adjoint);
    } else {
      for (const [operand, term] of pulled(A, node, adjoint)) accumulate(A, adjoints, operand, term);
    }
  }
  for (const place of [...branches.values(), ...inner]) visit(A, place, out);
}

/** What each operand of a node receives. */
function pulled(A: SymbolicAlgebra, node: Expr, adjoint: Expr): readonly (readonly [Expr, Expr])[] {
  const zero = A.of(0);
  switch (node.op) {
    case "neg":
      return [[node.a, A.neg(adjoint)]];
    case "add":
      return [[node.a, adjoint], [node.b, adjoint]];
    case "sub":
      return [[node.a, adjoint], [node.b, A.neg(adjoint)]];
    case "mul":
      return [[node.a, A.mul(adjoint, node.b)], [node.b, A.mul(adjoint, node.a)]];
    case "div": {
      const share = A.div(adjoint, node.b);
      return [[node.a, share], [node.b, A.neg(A.mul(share, node))]];
    }
    case "max":
      return [
        [node.a, A.atLeast(node.a, node.b, adjoint, zero)],
        [node.b, A.atLeast(node.a, node.b, zero, adjoint)],
      ];
    case "atLeast":
      return [
        [node.then, A.atLeast(node.a, node.b, adjoint, zero)],
        [node.otherwise, A.atLeast(node.a, node.b, zero, adjoint)],
      ];
    case "abs":
      return [[
        node.a,
        A.atLeast(node.a, zero, A.atLeast(zero, node.a, zero, adjoint), A.neg(adjoint)),
      ]];
    case "scale2":
      return [[node.a, A.scale2(adjoint, node.b)]];
    case "exp":
    case "expMantissa":
      return [[node.a, A.mul(adjoint, node)]];
    case "expm1":
      return [[node.a, A.mul(adjoint, A.exp(node.a))]];
    case "sigmoid":
      // 1 − σ(x) = σ(−x), which does not cancel.
      return [[node.a, A.mul(adjoint, A.mul(node, A.sigmoid(A.neg(node.a))))]];
    case "softplus":
      return [[node.a, A.mul(adjoint, A.sigmoid(node.a))]];
    case "sqrt": {
      // Both branches of atLeast are computed, so the divisor must not be 0 either.
      const twice = A.atLeast(zero, node.a, A.of(1), A.add(node, node));
      return [[node.a, A.atLeast(zero, node.a, zero, A.div(adjoint, twice))]];
    }
    default:
      return [];
  }
}
