/**
 * Gates and inputs of lanes, as sizes with radii: what every bound of independent lanes starts from.
 *
 * @module
 */
import type { Accuracy } from "../models/accuracy.ts";
import type { Tuple } from "../models/action.ts";
import type { AnyAffineModel, Sizes } from "../models/affine.ts";
import { modelMonoid } from "../models/run.ts";
import type { FieldValues } from "../models/token.ts";
import { type Ball, ballAlgebra } from "./ball.ts";

/** Modulus and radius of a lane's gate and input. */
export interface LaneGate {
  readonly a: number;
  readonly ra: number;
  readonly b: number;
  readonly rb: number;
}

/** The sizes of a lane's element, by action. */
export function laneElement(action: string, element: Tuple<Ball>): LaneGate {
  const r = (n: number): number => element[n]!.r;
  const x = (n: number): number => element[n]!.x;
  if (action === "complex") {
    return {
      a: Math.hypot(x(0), x(1)),
      ra: Math.hypot(r(0), r(1)),
      b: Math.hypot(x(2), x(3)),
      rb: Math.hypot(r(2), r(3)),
    };
  }
  if (action === "scaled") {
    const f = 2 ** x(1);
    const c = 2 ** x(3);
    return { a: Math.abs(x(0)) * f, ra: r(0) * f, b: Math.abs(x(2)) * c, rb: r(2) * c };
  }
  return { a: Math.abs(x(0)), ra: r(0), b: Math.abs(x(1)), rb: r(1) };
}

/** The largest f…f·2^e so far, and 1, after one more scaled element: what 2^m of an execution is about. */
export function nextScale(scale: number, [f, p, , e]: Tuple<Ball>): number {
  return Math.max(scale * Math.abs(f!.x) * 2 ** p!.x, 2 ** e!.x, 1);
}

/** What a gate's product and addition multiply a term's size by: (1 + u)², for complex lanes (1 + √5 u)(1 + u). */
export function growthOf(model: AnyAffineModel, unit: number): number {
  return (1 + (model.action === "complex" ? Math.sqrt(5) : 1) * unit) * (1 + unit);
}

/** Gates and inputs of every step and lane, with radii. */
export function laneGates(
  model: AnyAffineModel,
  sizes: Sizes,
  tokens: readonly FieldValues<Ball>[],
  machine: Accuracy,
): LaneGate[][] {
  const monoid = modelMonoid(ballAlgebra(machine), model, sizes);
  return tokens.map((token) =>
    (monoid.lift(token) as readonly Tuple<Ball>[]).map((lane) => laneElement(model.action, lane))
  );
}

/** How far a gate is closed: −log a, at most 104, where a log gate is clamped. */
export function closed(a: number): number {
  return Math.min(104, Math.max(0, -Math.log(Math.abs(a))));
}
