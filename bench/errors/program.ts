/**
 * Traced expressions as JavaScript functions in f64 or f32: what `evaluator` (models/evaluate.ts) computes, some hundred times as
 * fast, so that a truth of a million tokens takes seconds.
 *
 * @module
 */
import type { Index, SymbolicIndex } from "../../models/arith.ts";
import { freeSymbols } from "../../models/evaluate.ts";
import { double, type Precision } from "../../models/execution.ts";
import type { Expr } from "../../models/symbolic.ts";

/** An index that entries are made for, and how many. */
export interface Loop {
  readonly index: SymbolicIndex;
  readonly n: number;
}

/** The shapes of what expressions read. */
export interface Shapes {
  readonly loads: { readonly [name: string]: readonly number[] };
  /** Of the state `[rows, columns, width]`. */
  readonly columns: number;
  readonly width: number;
}

/** Fills `out` with the entries, loops outside in, expressions innermost. */
export type Program = (
  loads: { readonly [name: string]: ArrayLike<number> },
  state: ArrayLike<number>,
  out: Float64Array,
) => void;

/** The body of a loop under way: its statements, and the variables of what was computed in it. */
interface Block {
  readonly symbol: string | undefined;
  readonly lines: string[];
  readonly known: Map<Expr, string>;
}

/** Compiles expressions of the entries of some loops. */
export function compiled(
  exprs: readonly Expr[],
  loops: readonly Loop[],
  { loads, columns, width }: Shapes,
  precision: Precision = double,
): Program {
  const rounded = (text: string): string => precision === double ? text : `Math.fround(${text})`;
  const blocks: Block[] = [{ symbol: undefined, lines: [], known: new Map() }];
  let variables = 0;
  const position = (index: Index): string => typeof index === "number" ? `${index}` : `at_${index.symbol}`;
  const open = (symbol: string): void => void blocks.push({ symbol, lines: [], known: new Map() });
  const close = (n: number): void => {
    const { symbol, lines } = blocks.pop()!;
    const at = `at_${symbol}`;
    blocks.at(-1)!.lines.push(`for (let ${at} = 0; ${at} < ${n}; ${at}++) {`, ...lines, "}");
  };
  const value = (expr: Expr): string => {
    const symbols = freeSymbols(expr);
    const depth = blocks.findLastIndex(({ symbol }) => symbol === undefined || symbols.has(symbol));
    const owner = blocks[depth]!;
    const known = owner.known.get(expr);
    if (known !== undefined) return known;
    // What is computed further in would be lost at the loop's end: the expression's own block is the innermost for now.
    const inner = blocks.splice(depth + 1);
    const name = `x${variables++}`;
    const text = compute(expr, name);
    if (text !== undefined) owner.lines.push(`const ${name} = ${text};`);
    blocks.push(...inner);
    owner.known.set(expr, name);
    return name;
  };
  const flat = (index: readonly Index[], shape: readonly number[]): string =>
    index.reduce<string>((at, one, d) => d === 0 ? position(one) : `(${at}) * ${shape[d]} + ${position(one)}`, "0");
  const compute = (expr: Expr, name: string): string | undefined => {
    switch (expr.op) {
      case "const":
        return rounded(`${expr.value}`);
      case "variable":
        throw new TypeError(`Cannot compile: nothing is bound to ${expr.name}`);
      case "load":
        return `loads[${JSON.stringify(expr.field)}][${flat(expr.index, loads[expr.field]!)}]`;
      case "state":
        return `state[(${position(expr.k)} * ${columns} + ${position(expr.v)}) * ${width} + ${expr.component}]`;
      case "eye":
        return `${position(expr.i)} === ${position(expr.j)} ? 1 : 0`;
      // What is read out of range is undefined, and not chosen.
      case "below":
        return `${position(expr.i)} < ${expr.n} ? ${value(expr.then)} : ${value(expr.otherwise)}`;
      case "atLeast":
        return `${value(expr.a)} >= ${value(expr.b)} ? ${value(expr.then)} : ${value(expr.otherwise)}`;
      case "sum": {
        const own = blocks.at(-1)!;
        own.lines.push(`let ${name} = 0;`);
        open(expr.index.symbol);
        const term = value(expr.body);
        blocks.at(-1)!.lines.push(`${name} = ${rounded(`${name} + ${term}`)};`);
        close(expr.n);
        return undefined;
      }
      case "add":
        return rounded(`${value(expr.a)} + ${value(expr.b)}`);
      case "sub":
        return rounded(`${value(expr.a)} - ${value(expr.b)}`);
      case "mul":
        return rounded(`${value(expr.a)} * ${value(expr.b)}`);
      case "div":
        return rounded(`${value(expr.a)} / ${value(expr.b)}`);
      case "neg":
        return `-${value(expr.a)}`;
      case "expMantissa":
        return `A.expParts(${value(expr.a)}).mantissa`;
      case "expExponent":
        return `A.expParts(${value(expr.a)}).exponent`;
      default:
        return `A.${expr.op}(${value(expr.a)}${"b" in expr ? `, ${value(expr.b)}` : ""})`;
    }
  };
  for (const { index: { symbol } } of loops) open(symbol);
  for (const expr of exprs) {
    const x = value(expr);
    blocks.at(-1)!.lines.push(`out[n++] = ${x};`);
  }
  for (const { n } of loops.toReversed()) close(n);
  const source = ["let n = 0;", ...blocks[0]!.lines].join("\n");
  const made = new Function("A", `return (loads, state, out) => {\n${source}\n};`);
  return made(precision.algebra) as Program;
}
