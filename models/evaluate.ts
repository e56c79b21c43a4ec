/**
 * Running an expression: the inverse of tracing. In a numeric algebra this executes what was traced; in the symbolic
 * one it substitutes.
 *
 * A value is computed once for as long as nothing it depends on changes: it is remembered with the innermost index it
 * contains, so a subexpression without the index of a sum is not computed again for every term.
 *
 * @module
 */
import type { Analytic, Index, SymbolicIndex } from "./arith.ts";
import type { Expr } from "./symbolic.ts";

/** Where an expression finds its leaves. A leaf it does not contain need not be provided. */
export interface Environment<N> {
  load?(field: string, index: readonly Index[]): N;
  state?(k: Index, v: Index, component: 0 | 1): N;
  variable?(name: string): N;
  /** What stands for an expression that depends on no bound index; without it, such an expression is computed. */
  closed?(expr: Expr): N;
}

/** An algebra, an environment and the positions bound so far. */
export interface Scope<N> {
  /** The value of an expression; positions that are not bound stay symbols (which only a tracing algebra accepts). */
  value(expr: Expr): N;
  /** A scope within this one, where `index` has a position. */
  bind(index: SymbolicIndex, position: Index): Scope<N>;
}

const free = new WeakMap<Expr, ReadonlySet<string>>();

/** The operands of a node, in no order that matters. */
export function operands(expr: Expr): readonly Expr[] {
  switch (expr.op) {
    case "const":
    case "variable":
    case "load":
    case "state":
    case "eye":
      return [];
    case "below":
      return [expr.then, expr.otherwise];
    case "atLeast":
      return [expr.a, expr.b, expr.then, expr.otherwise];
    case "sum":
      return [expr.body];
    default:
      return "b" in expr ? [expr.a, expr.b] : [expr.a];
  }
}

/** The positions a node itself names. */
function positions(expr: Expr): readonly Index[] {
  switch (expr.op) {
    case "load":
      return expr.index;
    case "state":
      return [expr.k, expr.v];
    case "eye":
      return [expr.i, expr.j];
    case "below":
      return [expr.i];
    default:
      return [];
  }
}

/** The symbols an expression depends on: those it names, without those its sums bind. */
export function freeSymbols(expr: Expr): ReadonlySet<string> {
  const known = free.get(expr);
  if (known !== undefined) return known;
  const symbols = new Set<string>();
  for (const index of positions(expr)) if (typeof index !== "number") symbols.add(index.symbol);
  for (const operand of operands(expr)) for (const symbol of freeSymbols(operand)) symbols.add(symbol);
  if (expr.op === "sum") symbols.delete(expr.index.symbol);
  free.set(expr, symbols);
  return symbols;
}

class Frame<N> implements Scope<N> {
  readonly #A: Analytic<N>;
  readonly #environment: Environment<N>;
  readonly #outer: Frame<N> | undefined;
  readonly #symbol: string;
  readonly #position: Index;
  readonly #known = new Map<Expr, N>();

  constructor(A: Analytic<N>, environment: Environment<N>, outer?: Frame<N>, symbol = "", position: Index = 0) {
    this.#A = A;
    this.#environment = environment;
    this.#outer = outer;
    this.#symbol = symbol;
    this.#position = position;
  }

  bind({ symbol }: SymbolicIndex, position: Index): Scope<N> {
    return this.#within(symbol, position);
  }

  #within(symbol: string, position: Index): Frame<N> {
    return new Frame(this.#A, this.#environment, this, symbol, position);
  }

  value(expr: Expr): N {
    const symbols = freeSymbols(expr);
    // deno-lint-ignore no-this-alias -- a walk outwards that starts here
    let owner: Frame<N> = this;
    while (owner.#outer !== undefined && !symbols.has(owner.#symbol)) owner = owner.#outer;
    if (owner.#outer === undefined && this.#environment.closed !== undefined) return this.#environment.closed(expr);
    const known = owner.#known.get(expr);
    if (known !== undefined) return known;
    const value = owner.#compute(expr);
    owner.#known.set(expr, value);
    return value;
  }

  #at(index: Index): Index {
    if (typeof index === "number") return index;
    // deno-lint-ignore no-this-alias -- a walk outwards that starts here
    let frame: Frame<N> | undefined = this;
    while (frame !== undefined && frame.#symbol !== index.symbol) frame = frame.#outer;
    return frame === undefined ? index : frame.#position;
  }

  #leaf<T>(provided: T | undefined, what: string): T {
    if (provided === undefined) throw new TypeError(`Cannot evaluate: the environment has no ${what}`);
    return provided;
  }

  #compute(expr: Expr): N {
    const A = this.#A;
    const { load, state, variable } = this.#environment;
    switch (expr.op) {
      case "const":
        return A.of(expr.value);
      case "variable":
        return this.#leaf(variable, `variable ${expr.name}`)(expr.name);
      case "load":
        return this.#leaf(load, `field ${expr.field}`)(expr.field, expr.index.map((index) => this.#at(index)));
      case "state":
        return this.#leaf(state, "state")(this.#at(expr.k), this.#at(expr.v), expr.component);
      case "eye":
        return A.eye(this.#at(expr.i), this.#at(expr.j));
      case "below":
        return A.below(
          this.#at(expr.i),
          expr.n,
          () => this.value(expr.then),
          () => this.value(expr.otherwise),
        );
      case "atLeast":
        return A.atLeast(
          this.value(expr.a),
          this.value(expr.b),
          this.value(expr.then),
          this.value(expr.otherwise),
        );
      case "sum":
        return A.sum(expr.n, (position) => this.#within(expr.index.symbol, position).value(expr.body));
      case "expMantissa":
        return A.expParts(this.value(expr.a)).mantissa;
      case "expExponent":
        return A.expParts(this.value(expr.a)).exponent;
      case "neg":
      case "abs":
      case "exponent":
      case "exp":
      case "expm1":
      case "sqrt":
      case "sigmoid":
      case "softplus":
        return A[expr.op](this.value(expr.a));
      default:
        return A[expr.op](this.value(expr.a), this.value(expr.b));
    }
  }
}

/** A scope in which nothing is bound yet. */
export function evaluator<N>(A: Analytic<N>, environment: Environment<N>): Scope<N> {
  return new Frame(A, environment);
}
