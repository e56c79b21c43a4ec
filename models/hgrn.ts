/**
 * HGRN, the real variant: a leaky average with a gate per channel.
 *
 *     h_t = f_t ⊙ h_{t−1} + (1 − f_t) ⊙ c_t
 *
 * The lower bound that the paper puts on f belongs to the layer that computes g; so does the output gate.
 *
 * | name | paper | shape per token |
 * |---|---|---|
 * | g | log f_t | `[D]`, ≤ 0 |
 * | c | c_t | `[D]` |
 * | f, i | f_t = e^g, 1 − f_t = −expm1(g) | `[D]` |
 *
 * @module
 */
import { affineModel, type AnyAffineModel } from "./affine.ts";
import { hadamard, plus } from "./linalg.ts";
import { logGate, real } from "./domain.ts";

export const hgrn: AnyAffineModel = affineModel({
  name: "hgrn",
  paper: {
    title: "Hierarchically Gated Recurrent Neural Network for Sequence Modeling",
    arxiv: "2311.04823",
    where: "section 3, the gated linear recurrence without its complex phase",
  },
  action: "diagonal",
  heads: false,
  state: ["D"],
  inputs: {
    g: { axes: ["D"], domain: logGate },
    c: { axes: ["D"], domain: real },
  },
  fields: { f: ["D"], i: ["D"], c: ["D"] },
  gates: (A, x) => ({
    f: (d) => A.exp(x.g(d)),
    i: (d) => A.neg(A.expm1(x.g(d))),
    c: x.c,
  }),
  step: (A, h, x) => plus(A, hadamard(A, [x.f], h), hadamard(A, [x.i], [x.c])),
  lift: (A, x, _, d) => ({ a: x.f(d), b: A.mul(x.i(d), x.c(d)) }),
  read: (_A, h, _x, d) => h(0, d),
});
