/**
 * QRNN with fo-pooling: the gates see the input only, so the recurrence is affine.
 *
 *     c_t = f_t ⊙ c_{t−1} + (1 − f_t) ⊙ z_t        h_t = o_t ⊙ c_t
 *
 * | name | paper | shape per token |
 * |---|---|---|
 * | z | z_t, the candidate after its tanh | `[D]` |
 * | f, o (inputs) | preactivations of f_t, o_t (the convolutions' outputs) | `[D]` |
 * | f, o (fields) | f_t = σ(·), o_t = σ(·) | `[D]` |
 * | i | 1 − f_t = σ(−·) | `[D]` |
 *
 * @module
 */
import { affineModel, type AnyAffineModel } from "./affine.ts";
import { hadamard, plus } from "./linalg.ts";
import { forgetPreactivation, preactivation, real } from "./domain.ts";

export const qrnn: AnyAffineModel = affineModel({
  name: "qrnn",
  paper: { title: "Quasi-Recurrent Neural Networks", arxiv: "1611.01576", where: "section 2.1, fo-pooling" },
  action: "diagonal",
  heads: false,
  state: ["D"],
  inputs: {
    z: { axes: ["D"], domain: real },
    f: { axes: ["D"], domain: forgetPreactivation },
    o: { axes: ["D"], domain: preactivation },
  },
  fields: { z: ["D"], f: ["D"], i: ["D"], o: ["D"] },
  gates: (A, x) => ({
    z: x.z,
    f: (d) => A.sigmoid(x.f(d)),
    i: (d) => A.sigmoid(A.neg(x.f(d))),
    o: (d) => A.sigmoid(x.o(d)),
  }),
  step: (A, c, x) => plus(A, hadamard(A, [x.f], c), hadamard(A, [x.i], [x.z])),
  lift: (A, x, _, d) => ({ a: x.f(d), b: A.mul(x.i(d), x.z(d)) }),
  read: (A, c, x, d) => A.mul(x.o(d), c(0, d)),
});
