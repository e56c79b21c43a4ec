/**
 * SRU without the state in its gates (with that term it is not affine): an average and a highway around it.
 *
 *     c_t = f_t ⊙ c_{t−1} + (1 − f_t) ⊙ x̃_t        h_t = r_t ⊙ c_t + (1 − r_t) ⊙ x_t
 *
 * | name | paper | shape per token |
 * |---|---|---|
 * | x | x_t, the layer's input | `[D]` |
 * | candidate | x̃_t = W x_t | `[D]` |
 * | f, r (inputs) | preactivations of f_t, r_t | `[D]` |
 * | f, r (fields) | f_t = σ(·), r_t = σ(·) | `[D]` |
 * | i, skip | 1 − f_t, 1 − r_t = σ(−·) | `[D]` |
 *
 * @module
 */
import { affineModel, type AnyAffineModel } from "./affine.ts";
import { hadamard, plus } from "./linalg.ts";
import { forgetPreactivation, preactivation, real } from "./domain.ts";

export const sru: AnyAffineModel = affineModel({
  name: "sru",
  paper: {
    title: "Simple Recurrent Units for Highly Parallelizable Recurrence",
    arxiv: "1709.02755",
    where: "section 3, without the terms v ⊙ c_{t−1} of the gates",
  },
  action: "diagonal",
  heads: false,
  state: ["D"],
  inputs: {
    x: { axes: ["D"], domain: real },
    candidate: { axes: ["D"], domain: real },
    f: { axes: ["D"], domain: forgetPreactivation },
    r: { axes: ["D"], domain: preactivation },
  },
  fields: { x: ["D"], candidate: ["D"], f: ["D"], i: ["D"], r: ["D"], skip: ["D"] },
  gates: (A, x) => ({
    x: x.x,
    candidate: x.candidate,
    f: (d) => A.sigmoid(x.f(d)),
    i: (d) => A.sigmoid(A.neg(x.f(d))),
    r: (d) => A.sigmoid(x.r(d)),
    skip: (d) => A.sigmoid(A.neg(x.r(d))),
  }),
  step: (A, c, x) => plus(A, hadamard(A, [x.f], c), hadamard(A, [x.i], [x.candidate])),
  lift: (A, x, _, d) => ({ a: x.f(d), b: A.mul(x.i(d), x.candidate(d)) }),
  read: (A, c, x, d) => A.add(A.mul(x.r(d), c(0, d)), A.mul(x.skip(d), x.x(d))),
});
