/**
 * Traced expressions (models/symbolic.ts) as WGSL statements.
 *
 * ```ts
 * const e = emitter(f32Profile, {
 *   load: (field, [i]) => ({ text: `${field}[token * K + ${i}]`, needs: ["token"] }),
 *   variable: (name) => name,
 *   symbol: (name) => name,
 * });
 * e.scope("for (var token = 0u; token < n; token++)", ["token"], () => {
 *   e.line(`total = total + ${e.value(expr)};`);
 * });
 * const code = f32Profile.prelude + `fn f(n: u32) -> f32 { var total = 0.0; ${e.text()} return total; }`;
 * ```
 *
 * `value` appends what it needs to the current scope and returns the WGSL name (or literal) of the result. What a leaf
 * looks like is the caller's: a `load` may be a storage buffer or a private array, a `state` an expression or a call,
 * a `variable` any name, a free symbol (k, v, i, j) any u32 expression. Equal expressions are computed once per scope
 * chain. A node is hoisted out of every loop that binds nothing it needs; it never leaves a branch, because the loads
 * of a `below` branch may be out of range outside of it. A leaf says what it `needs` by key: a loop scope binds keys,
 * and symbols count as keys of their own name, so a loop over a free symbol `j` is `scope("for (var j …", ["j"], …)`.
 *
 * A leaf's text must keep its value within the scope that binds its keys: map variables that change to a fresh `let` in
 * each iteration, under a key that the loop binds.
 *
 * @module
 */
import type { Index } from "../models/arith.ts";
import type { Expr } from "../models/symbolic.ts";
import { operands } from "../models/evaluate.ts";
import type { Profile } from "./profile.ts";

/** A leaf in WGSL, and the keys of the scopes it must stay in. A bare text needs nothing but its indices. */
export type Leaf = string | { readonly text: string; readonly needs: readonly string[] };

/** What the leaves of an expression are in WGSL. Indices arrive as WGSL u32 expressions. */
export interface Environment {
  load?(field: string, index: readonly string[]): Leaf;
  state?(k: string, v: string, component: 0 | 1): Leaf;
  variable?(name: string): Leaf;
  /** A free index symbol; by default its own name. */
  symbol?(name: string): Leaf | undefined;
}

/** Collects WGSL statements. */
export interface Emitter {
  /** The WGSL text of an expression's value; appends statements to the current scope, or further out. */
  value(expr: Expr): string;
  /** Appends a statement of the caller's own. */
  line(statement: string): void;
  /** `head { body }`: a loop (values that need none of the keys it binds are computed before it). */
  scope(head: string, binds: readonly string[], body: () => void): void;
  /** `head { body }`: a branch; nothing that is first computed inside leaves it. */
  branch(head: string, body: () => void): void;
  /** Everything emitted so far. */
  text(): string;
}

interface Scope {
  readonly parent: Scope | undefined;
  /** Undefined: a branch or the outermost scope, which nothing leaves. */
  readonly binds: ReadonlySet<string> | undefined;
  readonly names: Map<number, string>;
  readonly lines: string[];
}

function newScope(parent: Scope | undefined, binds?: readonly string[]): Scope {
  return { parent, binds: binds === undefined ? undefined : new Set(binds), names: new Map(), lines: [] };
}

/**
 * A new emitter. All expressions given to one emitter must come from one algebra (nodes are told apart by id). `prefix`
 * begins every name it makes up; two emitters in one WGSL function need two prefixes.
 */
export function emitter(profile: Profile, environment: Environment, prefix: string = "e"): Emitter {
  let current = newScope(undefined);
  let names = 0;
  const keys = new Map<number, ReadonlySet<string>>();
  const bound = new Map<string, string>();

  const fresh = (): string => `${prefix}${names++}`;
  const leaf = (l: Leaf): { readonly text: string; readonly needs: readonly string[] } =>
    typeof l === "string" ? { text: l, needs: [] } : l;
  const missing = (what: string): never => {
    throw new Error(`Cannot emit ${what}: the environment must say what it is in WGSL, got nothing`);
  };

  function index(i: Index): { readonly text: string; readonly needs: readonly string[] } {
    if (typeof i === "number") return { text: `${i}u`, needs: [] };
    const binder = bound.get(i.symbol);
    const { text, needs } = binder === undefined ? leaf(environment.symbol?.(i.symbol) ?? i.symbol) : leaf(binder);
    return { text, needs: [i.symbol, ...needs] };
  }

  function leafOf(expr: Expr): { readonly text: string; readonly needs: readonly string[] } | undefined {
    if (expr.op === "load") {
      const at = expr.index.map(index);
      const { text, needs } = leaf(
        environment.load?.(expr.field, at.map((i) => i.text)) ?? missing(`the load of ${expr.field}`),
      );
      return { text, needs: [...needs, ...at.flatMap((i) => i.needs)] };
    }
    if (expr.op === "state") {
      const at = [index(expr.k), index(expr.v)] as const;
      const { text, needs } = leaf(environment.state?.(at[0].text, at[1].text, expr.component) ?? missing("the state"));
      return { text, needs: [...needs, ...at[0].needs, ...at[1].needs] };
    }
    if (expr.op === "variable") {
      return leaf(environment.variable?.(expr.name) ?? missing(`the variable ${expr.name}`));
    }
    return undefined;
  }

  /** Keys of the scopes an expression must stay in. A sum's own index is free only inside its body. */
  function needsOf(expr: Expr): ReadonlySet<string> {
    const known = keys.get(expr.id);
    if (known !== undefined) return known;
    const found = new Set(leafOf(expr)?.needs ?? []);
    if (expr.op === "eye") { for (const i of [expr.i, expr.j]) for (const key of index(i).needs) found.add(key); }
    if (expr.op === "below") { for (const key of index(expr.i).needs) found.add(key); }
    for (const operand of operands(expr)) for (const key of needsOf(operand)) found.add(key);
    if (expr.op === "sum") found.delete(expr.index.symbol);
    keys.set(expr.id, found);
    return found;
  }

  function within(scope: Scope, head: string, body: () => void): void {
    const outer = current;
    current = scope;
    try {
      body();
    } finally {
      current = outer;
    }
    scope.parent!.lines.push(`${head} {`, ...scope.lines.map((line) => `  ${line}`), "}");
  }

  function compute(expr: Expr): string {
    switch (expr.op) {
      case "const":
        return profile.constant(expr.value);
      case "load":
      case "state":
      case "variable":
        return leafOf(expr)!.text;
      case "eye":
        return `select(${profile.constant(0)}, ${profile.constant(1)}, ${index(expr.i).text} == ${index(expr.j).text})`;
      case "add":
      case "sub":
      case "mul":
      case "div":
      case "max":
      case "scale2":
        return profile.binary(expr.op, value(expr.a), value(expr.b));
      case "atLeast":
        return profile.atLeast(value(expr.a), value(expr.b), value(expr.then), value(expr.otherwise));
      case "sum":
      case "below":
        throw new Error(`Cannot emit ${expr.op} as one WGSL expression`);
      default:
        return profile.unary(expr.op, value(expr.a));
    }
  }

  /** The two nodes that are statements: they assign to a variable of their own. */
  function statement(expr: Expr & { readonly op: "sum" | "below" }, name: string): void {
    if (expr.op === "sum") {
      const { symbol } = expr.index;
      const i = `${prefix}_${symbol}`;
      bound.set(symbol, i);
      current.lines.push(`var ${name} = ${profile.constant(0)};`);
      within(newScope(current, [symbol]), `for (var ${i} = 0u; ${i} < ${expr.n}u; ${i}++)`, () => {
        const term = value(expr.body);
        current.lines.push(`${name} = ${profile.binary("add", name, term)};`);
      });
      return;
    }
    current.lines.push(`var ${name}: ${profile.type};`);
    const assign = (branch: Expr) => (): void => {
      const chosen = value(branch);
      current.lines.push(`${name} = ${chosen};`);
    };
    within(newScope(current), `if (${index(expr.i).text} < ${expr.n}u)`, assign(expr.then));
    within(newScope(current), "else", assign(expr.otherwise));
  }

  function value(expr: Expr): string {
    if (expr.op === "const") return profile.constant(expr.value);
    for (let scope: Scope | undefined = current; scope !== undefined; scope = scope.parent) {
      const known = scope.names.get(expr.id);
      if (known !== undefined) return known;
    }
    // The binder's name must be known before anything inside asks what it needs.
    if (expr.op === "sum") bound.set(expr.index.symbol, `${prefix}_${expr.index.symbol}`);
    const needs = needsOf(expr);
    let target = current;
    while (target.binds !== undefined && ![...target.binds].some((key) => needs.has(key))) target = target.parent!;
    const inner = current;
    current = target;
    let name: string;
    if (expr.op === "sum" || expr.op === "below") {
      name = fresh();
      statement(expr, name);
    } else {
      const computed = compute(expr);
      name = fresh();
      target.lines.push(`let ${name} = ${computed};`);
    }
    current = inner;
    target.names.set(expr.id, name);
    return name;
  }

  return {
    value,
    line: (text) => void current.lines.push(text),
    scope: (head, binds, body) => within(newScope(current, binds), head, body),
    branch: (head, body) => within(newScope(current), head, body),
    text: () => current.lines.join("\n"),
  };
}
