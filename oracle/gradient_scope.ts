/**
 * The traced gradient of one sequence, evaluated step by step in any algebra.
 *
 * @module
 */
import { stateColumns, stateRows } from "../models/affine.ts";
import type { Analytic, SymbolicIndex } from "../models/arith.ts";
import { evaluator, type Scope } from "../models/evaluate.ts";
import { p, q, stateCotangents, stateExponent, type TracedGradient } from "../models/gradient.ts";
import type { Batch } from "../models/inputs.ts";
import { f64 } from "../models/number.ts";
import type { Expr } from "../models/symbolic.ts";
import { fieldShape, rawValues } from "../models/token.ts";
import { k, v } from "../models/traced.ts";

/** Values that an expression loads, by name. */
export type Seeds<N> = { readonly [name: string]: readonly N[] };

/** The expressions of one sequence. */
export interface GradientScope {
  /** rows · columns of the state. */
  readonly lanes: number;
  /**
   * Leaves of one step in an algebra: its inputs (or what `seeds` has for them), a state `[rows, columns, width]`, and
   * cotangents by name.
   */
  at<N>(A: Analytic<N>, step: number, state: readonly N[], seeds: Seeds<N>): Scope<N>;
  /** Expressions of entry [k, v], for every lane. */
  perLane<N>(at: Scope<N>, exprs: readonly Expr[]): N[];
  /** An expression of entry [p, q] of an input, for every entry. */
  entries<N>(name: string, exprs: readonly (readonly [at: Scope<N>, expr: Expr])[]): N[][];
  /** λ of the state after a step, as loads; a shared exponent is that of the same state, `after`. */
  cotangents<N>(of: (x: number) => N, lambda: readonly N[], after: readonly number[]): Seeds<N>;
}

/** The expressions of a batch of one sequence. */
export function gradientScope({ model, sizes, width, loads, cotangents }: TracedGradient, batch: Batch): GradientScope {
  const rows = stateRows(model, sizes);
  const columns = stateColumns(model, sizes);
  const lanes = rows * columns;
  const shapes = Object.fromEntries(Object.entries(loads).map(([name, axes]) => [name, fieldShape(axes, sizes)]));
  const raw = Array.from({ length: batch.steps }, (_, s) => rawValues(f64, batch, 0, s, 0));
  return {
    lanes,
    at: (A, step, state, seeds) =>
      evaluator(A, {
        load(name, index) {
          const seed = seeds[name];
          if (seed !== undefined) {
            return seed[flat(index as number[], shapes[name] ?? [rows, columns].slice(2 - index.length))]!;
          }
          return A.of(raw[step]![name]![flat(index as number[], shapes[name]!)]!);
        },
        state: (row, column, component) => state[((row as number) * columns + (column as number)) * width + component]!,
      }),
    perLane: (at, exprs) =>
      Array.from({ length: lanes }, (_, lane) => {
        const inner = at.bind(k as SymbolicIndex, Math.floor(lane / columns)).bind(v as SymbolicIndex, lane % columns);
        return exprs.map((expr) => inner.value(expr));
      }).flat(),
    entries(name, exprs) {
      const [height = 1, depth = 1] = shapes[name]!;
      return Array.from(
        { length: height * depth },
        (_, n) => exprs.map(([at, expr]) => at.bind(p, Math.floor(n / depth)).bind(q, n % depth).value(expr)),
      );
    },
    cotangents: (of, lambda, after) => ({
      ...Object.fromEntries(
        stateCotangents.slice(0, cotangents).map((name, part) => [
          name,
          lambda.filter((_, n) => n % cotangents === part),
        ]),
      ),
      [stateExponent]: after.filter((_, n) => n % width === width - 1).map(of),
    }),
  };
}

function flat(index: readonly number[], shape: readonly number[]): number {
  return index.reduce((at, position, d) => at * (d === 0 ? 1 : shape[d]!) + position, 0);
}
