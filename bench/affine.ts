/**
 * The plain affine recurrence `s_t = a_t s_{t−1} + b_t`, the smallest scan there is: as a model, so that the oracle has a
 * truth and a bound for it, as an operator on pairs, and as an operator in WGSL.
 *
 * @module
 */
import { affineModel, type AnyAffineModel } from "../models/affine.ts";
import { gate, real } from "../models/domain.ts";
import { hadamard, plus } from "../models/linalg.ts";
import type { Operator } from "../scan/mod.ts";
import type { WgslOperator } from "../kernels/wgsl_operator.ts";

/** The recurrence over D channels: its only gate is given. */
export const affine: AnyAffineModel = affineModel({
  name: "affine",
  paper: { title: "Prefix Sums and Their Applications", arxiv: "none", where: "section 1.4, first-order recurrences" },
  action: "diagonal",
  heads: false,
  state: ["D"],
  inputs: { a: { axes: ["D"], domain: gate }, b: { axes: ["D"], domain: real } },
  fields: { a: ["D"], b: ["D"] },
  gates: (_A, x) => x,
  step: (A, s, x) => plus(A, hadamard(A, [x.a], s), [x.b]),
  lift: (_A, x, _, d) => ({ a: x.a(d), b: x.b(d) }),
  read: (_A, s, _x, d) => s(0, d),
});

/** `s ↦ a s + b` */
export interface Pair {
  readonly a: number;
  readonly b: number;
}

const { fround } = Math;

/** `later` after `earlier`, every operation rounded to f32. */
export const pairs: Operator<Pair> = {
  combine: (earlier, later) => ({
    a: fround(later.a * earlier.a),
    b: fround(fround(later.a * earlier.b) + later.b),
  }),
};

/** The pair applied to a state. */
export function applied({ a, b }: Pair, state: number): number {
  return fround(fround(a * state) + b);
}

/** The same operator on a GPU; `outputs` are the states from zero, for an identity as initial element. */
export const affineWgsl: WgslOperator = {
  name: "affine",
  type: "f32",
  elementWidth: 2,
  inputs: ["a", "b"],
  identity: "return Element(1.0, 0.0);",
  combine: "return Element(later[0] * earlier[0], later[0] * earlier[1] + later[1]);",
  lift: "return Element(a[t * lanes + lane], b[t * lanes + lane]);",
  read: "return prefix[1];",
};
