/**
 * The radius of gradients of log gates that a kernel gets by telescoping (`Telescoped` in models/rounding.ts):
 *
 *     dg_t = Σ_{i=t}^{e} (q_i ⊙ dq_i − k_i ⊙ dk_i) + rowsum(S_e ⊙ Λ)
 *
 * is `λ_t ⊙ a_t S_{t−1}` by way of differences: with c_t = λ_t ⊙ S_t, `c_t = dg_t + k_t ⊙ dk_t` (S_t = a_t S_{t−1} + b_t)
 * and `c_t = q_t ⊙ dq_t + dg_{t+1}` (λ_t = local_t + a_{t+1} λ_{t+1}). Every summand is a ball, so their radii add up along the
 * chunk, with the roundings of the sum. A model that reads before its update has `q_{t+1} ⊙ dq_{t+1}` for `q_t ⊙ dq_t`.
 *
 * A raw input x that the gate is computed from gets dg · ∂log a/∂x, by dual numbers through `gates`.
 *
 * @module
 */
import { stateColumns, stateRows } from "../models/affine.ts";
import { type Batch, inputEntries } from "../models/inputs.ts";
import { f64 } from "../models/number.ts";
import type { Telescoped } from "../models/rounding.ts";
import { activate, type FieldValues, rawValues } from "../models/token.ts";
import { type Ball, gamma } from "./ball.ts";
import { type Dual, dual, variable } from "./dual.ts";

/** Sums up from the end of time. One number per lane everywhere. */
export interface Telescope {
  /** Before a step, the last first: starts anew at a chunk's end, with the state after the step and Λ. */
  enter(step: number, state: readonly Ball[], lambda: readonly Ball[]): void;
  /** What a read-out gives to λ, and the state it saw. */
  read(local: readonly Ball[], state: readonly Ball[]): void;
  /**
   * What the step adds to the state, and λ. Returns the radius of dg · ∂log a/∂x for every raw input, entry by entry.
   */
  leave(step: number, added: readonly Ball[], lambda: readonly Ball[]): { readonly [name: string]: readonly number[] };
}

/** Opens the telescope of a batch of one sequence; `floor` is what tiles add to a lane's summand. */
export function telescope(
  batch: Batch,
  { gate, chunk, roundings = 2 * chunk }: Telescoped,
  unit: number,
  floor: number,
): Telescope {
  const { model, dims: { sizes }, steps } = batch;
  const rows = stateRows(model, sizes);
  const columns = stateColumns(model, sizes);
  let [radius, size] = [new Float64Array(rows), new Float64Array(rows)];
  let summands = 0;
  const include = (x: readonly Ball[], y: readonly Ball[]): void => {
    x.forEach((a, lane) => {
      const b = y[lane]!;
      const row = Math.floor(lane / columns);
      radius[row]! += Math.abs(a.x) * b.r + Math.abs(b.x) * a.r + a.r * b.r + floor;
      size[row]! += (Math.abs(a.x) + a.r) * (Math.abs(b.x) + b.r);
    });
    summands += 2;
  };
  return {
    enter(step, state, lambda) {
      if (step !== steps - 1 && (step + 1) % chunk !== 0) return;
      [radius, size] = [new Float64Array(rows), new Float64Array(rows)];
      summands = 0;
      include(state, lambda);
    },
    read: include,
    leave(step, added, lambda) {
      include(added, lambda);
      // A summand is a sum over the values (and the keys) first.
      const met = Math.min(roundings, summands * rows) + columns + rows;
      const off = radius.map((r, row) => r + gamma(met, unit) * size[row]!);
      const slopes = logSlopes(batch, step, gate);
      const shared = off.reduce((sum, r) => sum + r, 0);
      return Object.fromEntries(
        Object.entries(slopes).map(([name, entries]) => [
          name,
          entries.map((by) =>
            by.length === 1 ? by[0]! * shared : by.reduce((sum, slope, row) => sum + slope * off[row]!, 0)
          ),
        ]),
      );
    },
  };
}

/** |∂log a_k/∂x| of every entry x of every raw input at a step, by the entries of the gate's field. */
function logSlopes(batch: Batch, step: number, gate: string): { readonly [name: string]: number[][] } {
  const { model, dims: { sizes } } = batch;
  const A = dual(f64, Math.sign);
  const values = rawValues(f64, batch, 0, step, 0);
  let count = 0;
  const places: { readonly name: string; readonly at: number; readonly length: number }[] = [];
  const raw: FieldValues<Dual<number>> = Object.fromEntries(
    inputEntries(model).map(([name]) => {
      places.push({ name, at: count, length: values[name]!.length });
      return [name, values[name]!.map((x) => variable(f64, x, count++))];
    }),
  );
  const field = activate(A, model, sizes, raw)[gate];
  if (field === undefined) throw new TypeError(`Cannot telescope ${model.name}: it has no field ${gate}`);
  return Object.fromEntries(
    places.map(({ name, at, length }) => [
      name,
      Array.from({ length }, (_, entry) =>
        field.map(({ value, indices, partials }) => {
          const n = indices.indexOf(at + entry);
          return n < 0 || value === 0 ? 0 : Math.abs(partials[n]! / value);
        })),
    ]),
  );
}
