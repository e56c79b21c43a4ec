/**
 * What products of tiles add to states and read-outs of lanes (`Tiles` in models/rounding.ts; derivation in bound.ts).
 *
 * @module
 */
import type { Accuracy } from "../models/accuracy.ts";
import type { Tuple } from "../models/action.ts";
import type { AnyAffineModel, Sizes } from "../models/affine.ts";
import type { Analytic } from "../models/arith.ts";
import type { Tiles } from "../models/rounding.ts";
import { modelMonoid, readOut } from "../models/run.ts";
import type { FieldValues } from "../models/token.ts";
import { type Ball, ball, ballAlgebra } from "./ball.ts";
import { laneElement, type LaneGate, nextScale } from "./lane_gate.ts";

/**
 * The algebra of a read-out. A term that does not come from the state (the bonus of a model that reads before its update) is
 * one more in the kernel's sum: it meets the late roundings too; and sums err by an absolute `floor` per term.
 */
export function readAlgebra(A: Analytic<Ball>, unit: number, late: number, floor: number): Analytic<Ball> {
  if (late === 0 && floor === 0) return A;
  return {
    ...A,
    sum(n, term) {
      const { x, r } = A.sum(n, term);
      let size = 0;
      for (let i = 0; i < n; i++) size += Math.abs(term(i).x) + term(i).r;
      return ball(x, r + late * (1 + n * unit) * size + floor * n);
    },
  };
}

/** How far apart the ratio of two shared exponents may be in an execution and here: each within a factor of 2. */
const APART = 4;

/**
 * What tiles add to a state by each update, and to a read-out by each term of its sum; chunk by chunk. Scaled lanes are tiles
 * of mantissas: all of it is over the largest f…f·2^e so far, which is `scale` before the first step.
 */
export function tileFloors(
  model: AnyAffineModel,
  sizes: Sizes,
  tokens: readonly FieldValues<Ball>[],
  initial: Float64Array,
  machine: Accuracy,
  { floor: share, chunk, rows = false }: Tiles,
  scale: number,
): { readonly update: number; readonly read: (t: number) => number }[] {
  const A = ballAlgebra(machine);
  const monoid = modelMonoid(A, model, sizes);
  const scaled = model.action === "scaled";
  const floor = scaled ? APART * share : share;
  const majorant = Float64Array.from(initial);
  let unit = scale;
  const largest = (): number => majorant.reduce((x, y) => Math.max(x, y), 0) / unit;
  const sizeOf = (lane: Tuple<Ball>): LaneGate => laneElement(model.action, lane);
  let query = 0;
  const watched: Analytic<Ball> = {
    ...A,
    sum(n, term) {
      for (let i = 0; i < n; i++) query = Math.max(query, term(i).r);
      return A.sum(n, term);
    },
  };
  const unknown = Array.from(initial, () => [ball(0, 1), ...(scaled ? [ball(0)] : [])]);
  return Array.from({ length: Math.ceil(tokens.length / chunk) }, (_, c) => {
    const own = tokens.slice(c * chunk, (c + 1) * chunk);
    const peak: { [name: string]: Ball[] } = {};
    let high = largest();
    // Of a scaled element c·2^e: 2^e, while fields that hold exponents count as 0.
    let power = scaled ? 0 : 1;
    const queries: number[] = [];
    for (const token of own) {
      for (const [name, values] of Object.entries(token)) {
        const most = values.reduce((x, value) => Math.max(x, Math.abs(value.x) + value.r), peak[name]?.[0]?.x ?? 0);
        peak[name] = values.map(() => ball(model.exponents?.includes(name) === true ? 0 : most));
      }
      if (scaled) {
        const [element] = monoid.lift(token) as readonly Tuple<Ball>[];
        unit = nextScale(unit, element!);
        power = Math.max(power, 2 ** element![3]!.x / unit);
      }
      (monoid.lift(token) as readonly Tuple<Ball>[]).forEach((lane, n) => {
        const { a, ra, b, rb } = sizeOf(lane);
        majorant[n] = (a + ra) * (1 + machine.unit) ** 2 * majorant[n]! + b + rb;
      });
      high = Math.max(high, largest());
      query = 0;
      readOut(watched, model, sizes, unknown, token);
      queries.push(query);
    }
    const asked = queries.reduce((x, y) => Math.max(x, y), 0);
    const added = (monoid.lift(peak) as readonly Tuple<Ball>[]).map(sizeOf);
    const most = power * added.reduce((x, { b, rb }) => Math.max(x, b + rb), 0);
    return {
      update: 2 * floor * most,
      read: (t) => floor * (rows ? queries[t]! : asked) * (2 * high + 4 * own.length * most),
    };
  });
}
