/**
 * The linear recurrence itself, gates and inputs given: what every element-wise model comes down to.
 *
 *     h_t = a_t ⊙ h_{t−1} + b_t
 *
 * | name | paper | shape per token |
 * |---|---|---|
 * | a | λ_t | `[D]`, in [0, 1] |
 * | b | x_t | `[D]` |
 *
 * @module
 */
import { affineModel, type AnyAffineModel } from "./affine.ts";
import { hadamard, plus } from "./linalg.ts";
import { gate, real } from "./domain.ts";

export const linearRecurrence: AnyAffineModel = affineModel({
  name: "linear-recurrence",
  paper: {
    title: "Parallelizing Linear Recurrent Neural Nets Over Sequence Length",
    arxiv: "1709.04057",
    where: "the linear recurrence of section 2",
  },
  action: "diagonal",
  heads: false,
  state: ["D"],
  inputs: {
    a: { axes: ["D"], domain: gate },
    b: { axes: ["D"], domain: real },
  },
  fields: { a: ["D"], b: ["D"] },
  gates: (_A, x) => ({ a: x.a, b: x.b }),
  step: (A, h, x) => plus(A, hadamard(A, [x.a], h), [x.b]),
  lift: (_A, x, _, d) => ({ a: x.a(d), b: x.b(d) }),
  read: (_A, h, _x, d) => h(0, d),
});
