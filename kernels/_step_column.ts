/**
 * What a step does to one column of the state, as text: its rows pass through registers, {@linkcode IN_FLIGHT} at a time,
 * and the sums that the read-out takes over them are added up as they pass.
 */

import { laneActions } from "../models/action.ts";
import { type AnyAffineModel, type Axes, outputColumns, type Sizes } from "../models/affine.ts";
import type { SymbolicIndex } from "../models/arith.ts";
import { InputError } from "../models/error.ts";
import { type Environment as EvaluatorEnvironment, evaluator, operands } from "../models/evaluate.ts";
import { inputEntries, microSteps, stateWidth } from "../models/inputs.ts";
import { lowRank } from "../models/low_rank.ts";
import type { Expr, SymbolicAlgebra } from "../models/symbolic.ts";
import { fieldShape } from "../models/token.ts";
import { i, j, traceModel } from "../models/traced.ts";
import { IN_FLIGHT, type Tiling } from "./_step_tiling.ts";
import { type Fault, relativeFactor } from "./faults.ts";
import { f32Profile } from "./profile.ts";
import { type Emitter, emitter, type Leaf } from "./trace.ts";

/** Where a field's number is in its own buffer; 0 at the micro-steps it is not given for. */
function inputLoads(model: AnyAffineModel, sizes: Sizes): (name: string, index: readonly string[]) => Leaf {
  const n = microSteps(model);
  const specs = new Map(inputEntries(model));
  return (name, index) => {
    const spec = specs.get(name)!;
    const shape = fieldShape(spec.axes as Axes, sizes);
    const width = shape.reduce((product, extent) => product * extent, 1);
    const inner = shape.length === 0
      ? "0u"
      : shape.length === 1
      ? index[0]!
      : `${index[0]} * ${shape[1]}u + ${index[1]}`;
    if (spec.per === "parameter") return `in_${name}[h * ${width}u + ${inner}]`;
    const micro = spec.micro ?? "every";
    if (micro === "every") {
      return { text: `in_${name}[((b * ${n}u + s) * HEADS + h) * ${width}u + ${inner}]`, needs: ["s"] };
    }
    const given = micro === "first" ? "s == 0u" : `s == ${n - 1}u`;
    return { text: `select(0.0, in_${name}[(b * HEADS + h) * ${width}u + ${inner}], ${given})`, needs: ["s"] };
  };
}

/** Symbols in WGSL: every row symbol is `row`, every column symbol the invocation's `v`. */
const symbols = (sums: readonly RowSum[]) => (name: string): Leaf | undefined =>
  name === "v"
    ? { text: "v", needs: ["v"] }
    : ["k", "i", "j"].includes(name) || sums.some(({ index }) => index.symbol === name)
    ? { text: "row", needs: ["row"] }
    : undefined;

type RowSum = Extract<Expr, { op: "sum" }>;

/** The sums over the rows of an invocation's own column that a read-out is made of; each row adds its term as it passes. */
function rowSums(read: Expr, rows: number): readonly RowSum[] {
  const found = new Set<RowSum>();
  const visit = (expr: Expr, under: readonly string[]): void => {
    if (expr.op === "sum" && expr.n === rows && under.length === 0 && ownColumn(expr.body, expr.index.symbol)) {
      found.add(expr);
      return;
    }
    const inner = expr.op === "sum" ? [...under, expr.index.symbol] : under;
    for (const operand of operands(expr)) visit(operand, inner);
  };
  visit(read, []);
  return [...found];
}

/** Whether an expression reads the state, at row `symbol` and column v alone. */
function ownColumn(body: Expr, symbol: string): boolean {
  let reads = 0;
  const own = (expr: Expr): boolean => {
    if (expr.op === "state") {
      reads++;
      return typeof expr.k !== "number" && expr.k.symbol === symbol && typeof expr.v !== "number" &&
        expr.v.symbol === "v";
    }
    return operands(expr).every(own);
  };
  return own(body) && reads > 0;
}

/** The shader's parts: what one column needs of its rows, and its output. */
export interface Column {
  /** Statements that run through the rows of the column `v`: replace them and add up `sum0`, `sum1`, … */
  readonly update: string;
  readonly sums: number;
  /** Statements that write the output, given the sums; of columns that are outputs. */
  readonly read: string;
  /** Whether the read-out needs states besides the sums. */
  readonly reads: boolean;
  /** Whether the read-out needs other columns than its own, so that one workgroup must have them all. */
  readonly whole: boolean;
}

/** The column of a model. Throws an {@link InputError} where one dispatch cannot do the step. */
export function columnSource(model: AnyAffineModel, sizes: Sizes, tiles: Tiling, fault: Fault | undefined): Column {
  const { rows, columns, down } = tiles;
  const traced = traceModel(model, sizes);
  const A = traced.algebra;
  const width = stateWidth(model);
  const sums = rowSums(traced.read, rows);
  const pre = model.reads === "pre";
  const load = inputLoads(model, sizes);
  const parts = model.action === "matrix"
    ? lowRank(A, traced.matrix!.E, i as SymbolicIndex, j as SymbolicIndex)
    : undefined;
  if (model.action === "matrix" && parts === undefined) {
    throw new InputError(
      `Cannot step ${model.name}: its matrix must be a diagonal plus products of a vector in i and one in j, and is not`,
    );
  }
  const turns = Math.ceil(rows / down);
  const blocks = Array.from({ length: Math.ceil(turns / IN_FLIGHT) }, (_, n) => n * IN_FLIGHT);
  const lines: string[] = [];
  let made = 0;
  /** Runs `body` for rows `from … from + IN_FLIGHT` of the invocation, with their states loaded before. */
  const inFlight = (from: number, body: (e: Emitter, held: readonly string[]) => void): void => {
    const turn = Array.from({ length: Math.min(IN_FLIGHT, turns - from) }, (_, n) => from + n);
    const row = (n: number): string => `${n * down}u + r`;
    const guard = (n: number): string => (n + 1) * down <= rows ? "" : `if (${row(n)} < ${rows}u) `;
    const numbers = Array.from({ length: width }, (_, c) => c);
    lines.push("{");
    for (const n of turn) {
      for (const c of numbers) {
        lines.push(`var held${n}_${c} = 0.0;`);
        lines.push(
          `${guard(n)}{ held${n}_${c} = states[base + ((${row(n)}) * ${columns}u + v) * ${width}u + ${c}u]; }`,
        );
      }
    }
    for (const n of turn) {
      const held = numbers.map((c) => `held${n}_${c}`);
      const e = emitter(f32Profile, {
        load,
        symbol: symbols(sums),
        variable: (name) => name.startsWith("state") ? held[Number(name.slice(5))]! : name,
        state: (_k, _v, component) => pre ? held[component]! : `next${component}`,
      }, `u${made++}_`);
      body(e, held);
      lines.push(`${guard(n)}{ let row = ${row(n)};`, e.text(), "}");
    }
    lines.push("}");
  };
  const finish = (e: Emitter, next: readonly string[]): void => {
    next.forEach((value, c) => e.line(`let next${c} = ${value};`));
    next.forEach((_, c) => e.line(`states[base + (row * ${columns}u + v) * ${width}u + ${c}u] = next${c};`));
    sums.forEach(({ body }, n) => {
      const term = e.value(body);
      e.line(`sum${n} += ${term};`);
    });
  };
  lines.push(...sums.map((_, n) => `sum${n} = 0.0;`));
  if (parts === undefined) {
    const action = laneActions[model.action as keyof typeof laneActions];
    const state = Array.from({ length: width }, (_, c) => A.variable(`state${c}`));
    const next = action.apply(A, traced.element!, state);
    lines.push(`if (v < ${columns}u) {`);
    for (const from of blocks) inFlight(from, (e) => finish(e, next.map((expr) => e.value(expr))));
    lines.push("}");
  } else {
    const { terms, diagonal } = parts;
    lines.push(...terms.map((_, n) => `var dot${n} = 0.0;`), `if (v < ${columns}u) {`);
    for (const from of blocks) {
      inFlight(from, (e, [held]) =>
        terms.forEach(({ right }, n) => {
          const factor = e.value(right);
          e.line(`dot${n} += ${factor} * ${held};`);
        }));
    }
    lines.push("}", ...terms.map((_, n) => shared(tiles, `dot${n}`)), `if (v < ${columns}u) {`);
    for (const from of blocks) {
      inFlight(from, (e, [held]) => {
        const factors = [diagonal, traced.matrix!.F, ...terms.map(({ left }) => left)].map((expr) => e.value(expr));
        const products = terms.map((_, n) => ` + ${factors[n + 2]} * dot${n}`).join("");
        finish(e, [`${factors[0]} * ${held} + ${factors[1]}${products}`]);
      });
    }
    lines.push("}");
  }
  const totals = new Map(sums.map((sum, n) => [sum.id, A.variable(`total${n}`)]));
  const output = replaced(A, traced.read, totals);
  const reads = statesIn(output);
  const whole = reads.some(({ v }) => typeof v === "number" || v.symbol !== "v");
  if (pre && reads.length > 0) {
    throw new InputError(
      `Cannot step ${model.name}: what is read before the update must be a sum over the rows of a column, and is not`,
    );
  }
  const e = emitter(f32Profile, {
    load,
    symbol: symbols([]),
    variable: (name) => name.replace("total", "sum"),
    state: (k, v, c) => ({ text: `states[base + (${k} * ${columns}u + ${v}) * ${width}u + ${c}u]`, needs: ["s"] }),
  }, "o");
  const value = e.value(output);
  e.line(`outputs[sequence * ${outputColumns(model, sizes)}u + v] = ${value}${relativeFactor(fault)};`);
  return { update: lines.join("\n"), sums: sums.length, read: e.text(), reads: reads.length > 0, whole };
}

type StateEntry = Extract<Expr, { op: "state" }>;

function statesIn(expr: Expr): readonly StateEntry[] {
  return expr.op === "state" ? [expr] : operands(expr).flatMap(statesIn);
}

/** An expression with some of its nodes replaced. */
function replaced(A: SymbolicAlgebra, expr: Expr, by: ReadonlyMap<number, Expr>): Expr {
  const known = by.get(expr.id);
  if (known !== undefined) return known;
  const of = (e: Expr): Expr => replaced(A, e, by);
  switch (expr.op) {
    case "const":
    case "variable":
    case "load":
    case "state":
    case "eye":
      return expr;
    case "sum":
      return A.sum(expr.n, (index) => evaluator<Expr>(A, leavesOf(A)).bind(expr.index, index).value(of(expr.body)));
    case "below":
      return A.below(expr.i, expr.n, () => of(expr.then), () => of(expr.otherwise));
    case "atLeast":
      return A.atLeast(of(expr.a), of(expr.b), of(expr.then), of(expr.otherwise));
    case "expMantissa":
      return A.expParts(of(expr.a)).mantissa;
    case "expExponent":
      return A.expParts(of(expr.a)).exponent;
    default:
      return "b" in expr ? A[expr.op](of(expr.a), of(expr.b)) : A[expr.op](of(expr.a));
  }
}

/** Leaves as they are. */
function leavesOf(A: SymbolicAlgebra): EvaluatorEnvironment<Expr> {
  return { load: A.load, state: A.state, variable: A.variable };
}

/** Statements: the sum of `name` over the rows of a workgroup, for all of its invocations, in one order. */
export function shared({ across, down }: Tiling, name: string): string {
  if (down === 1) return "";
  return `partial[local] = ${name};
workgroupBarrier();
${name} = 0.0;
for (var g = 0u; g < ${down}u; g++) { ${name} += partial[g * ${across}u + c]; }
workgroupBarrier();`;
}
