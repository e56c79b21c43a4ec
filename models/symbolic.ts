/**
 * The symbolic algebra: running a model's stages on it yields expressions — the same text, traced once per lane with
 * symbolic indices, from which WGSL, derivatives and error bounds are made.
 *
 * Expressions are immutable and interned: equal expressions of one {@link SymbolicAlgebra} are the same object, so a
 * shared subexpression is one node. Only foldings that are exact in every ring are done (x·1, x·0, x+0, −−x).
 *
 * @module
 */
import type { Analytic, Index, SymbolicIndex } from "./arith.ts";

/** Operators of two operands. */
export type BinaryOp = "add" | "sub" | "mul" | "div" | "max" | "scale2";
/** Operators of one operand. `expMantissa`, `expExponent` are the two parts of {@link Analytic.expParts}. */
export type UnaryOp =
  | "neg"
  | "abs"
  | "exponent"
  | "exp"
  | "expm1"
  | "sqrt"
  | "sigmoid"
  | "softplus"
  | "expMantissa"
  | "expExponent";

/** A node of an expression. `id` is unique within its algebra. */
export type Expr = { readonly id: number } & ExprShape;

/** What a node can be. */
export type ExprShape =
  | { readonly op: "const"; readonly value: number }
  /** A named scalar: a component of an element or of a lane's state, a cotangent. */
  | { readonly op: "variable"; readonly name: string }
  /** An entry of an input or activated field of the current token. */
  | { readonly op: "load"; readonly field: string; readonly index: readonly Index[] }
  /** An entry of the state matrix. */
  | { readonly op: "state"; readonly k: Index; readonly v: Index; readonly component: 0 | 1 }
  | { readonly op: UnaryOp; readonly a: Expr }
  | { readonly op: BinaryOp; readonly a: Expr; readonly b: Expr }
  | { readonly op: "eye"; readonly i: Index; readonly j: Index }
  /** `then` where i < n, else `otherwise`; only the chosen branch may be evaluated (its loads may be out of range). */
  | { readonly op: "below"; readonly i: Index; readonly n: number; readonly then: Expr; readonly otherwise: Expr }
  | { readonly op: "atLeast"; readonly a: Expr; readonly b: Expr; readonly then: Expr; readonly otherwise: Expr }
  /** Σ_{index<n} body. */
  | { readonly op: "sum"; readonly index: SymbolicIndex; readonly n: number; readonly body: Expr };

/** The algebra of expressions. */
export interface SymbolicAlgebra extends Analytic<Expr> {
  variable(name: string): Expr;
  load(field: string, index: readonly Index[]): Expr;
  state(k: Index, v: Index, component: 0 | 1): Expr;
}

const key = (index: Index): string => typeof index === "number" ? `${index}` : index.symbol;

/** A new algebra with its own table of interned nodes. */
export function symbolic(): SymbolicAlgebra {
  const nodes = new Map<string, Expr>();
  let binders = 0;
  const intern = (name: string, shape: ExprShape): Expr => {
    const known = nodes.get(name);
    if (known !== undefined) return known;
    const made: Expr = { id: nodes.size, ...shape };
    nodes.set(name, made);
    return made;
  };
  const constant = (value: number): Expr =>
    intern(`const ${Object.is(value, -0) ? 0 : value}`, { op: "const", value: value === 0 ? 0 : value });
  const unary = (op: UnaryOp, a: Expr): Expr => intern(`${op} ${a.id}`, { op, a });
  const binary = (op: BinaryOp, a: Expr, b: Expr): Expr => intern(`${op} ${a.id} ${b.id}`, { op, a, b });
  const is = (a: Expr, value: number): boolean => a.op === "const" && a.value === value;
  const neg = (a: Expr): Expr => a.op === "neg" ? a.a : a.op === "const" ? constant(-a.value) : unary("neg", a);

  return {
    of: constant,
    add: (a, b) => is(a, 0) ? b : is(b, 0) ? a : binary("add", a, b),
    sub: (a, b) => is(b, 0) ? a : is(a, 0) ? neg(b) : binary("sub", a, b),
    mul: (a, b) => is(a, 0) || is(b, 1) ? a : is(b, 0) || is(a, 1) ? b : binary("mul", a, b),
    neg,
    sum(n, term) {
      const index: SymbolicIndex = { symbol: `i${binders++}` };
      const body = term(index);
      return is(body, 0) || n === 0
        ? constant(0)
        : intern(`sum ${index.symbol} ${n} ${body.id}`, { op: "sum", index, n, body });
    },
    eye(i, j) {
      if (typeof i === "number" && typeof j === "number") return constant(i === j ? 1 : 0);
      return key(i) === key(j) ? constant(1) : intern(`eye ${key(i)} ${key(j)}`, { op: "eye", i, j });
    },
    below(i, n, then, otherwise) {
      if (typeof i === "number") return i < n ? then(i) : otherwise();
      const a = then(i);
      const b = otherwise();
      return a === b ? a : intern(`below ${key(i)} ${n} ${a.id} ${b.id}`, { op: "below", i, n, then: a, otherwise: b });
    },
    max: (a, b) => a === b ? a : binary("max", a, b),
    scale2: (x, e) => is(e, 0) || is(x, 0) ? x : binary("scale2", x, e),
    exponent: (x) => unary("exponent", x),
    div: (a, b) => is(b, 1) || is(a, 0) ? a : binary("div", a, b),
    abs: (a) => unary("abs", a),
    atLeast: (a, b, then, otherwise) =>
      then === otherwise
        ? then
        : intern(`atLeast ${a.id} ${b.id} ${then.id} ${otherwise.id}`, { op: "atLeast", a, b, then, otherwise }),
    exp: (x) => unary("exp", x),
    expm1: (x) => unary("expm1", x),
    sqrt: (x) => unary("sqrt", x),
    sigmoid: (x) => unary("sigmoid", x),
    softplus: (x) => unary("softplus", x),
    expParts: (x) => ({ mantissa: unary("expMantissa", x), exponent: unary("expExponent", x) }),
    variable: (name) => intern(`variable ${name}`, { op: "variable", name }),
    load: (field, index) => intern(`load ${field} ${index.map(key).join(" ")}`, { op: "load", field, index }),
    state: (k, v, component) => intern(`state ${key(k)} ${key(v)} ${component}`, { op: "state", k, v, component }),
  };
}
