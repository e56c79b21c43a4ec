/**
 * HGRN-2: gated linear attention whose key is what the gate lets go.
 *
 *     S_t = diag(f_t) S_{t−1} + (1 − f_t) v_tᵀ        o_t = (scale · q_t)ᵀ S_t
 *
 * | name | paper | shape per token and head |
 * |---|---|---|
 * | q | o_t, the output gate as query | `[K]` |
 * | g | log f_t | `[K]`, ≤ 0 |
 * | v | i_t, the input | `[V]` |
 * | a, k | f_t = e^g, 1 − f_t = −expm1(g) | `[K]` |
 *
 * @module
 */
import { affineModel, type AnyAffineModel, queryScale } from "./affine.ts";
import { outer, plus, scaleRows } from "./linalg.ts";
import { logGate, real } from "./domain.ts";

export const hgrn2: AnyAffineModel = affineModel({
  name: "hgrn2",
  paper: {
    title: "HGRN2: Gated Linear RNNs with State Expansion",
    arxiv: "2404.07904",
    where: "section 3, the outer-product state expansion",
  },
  action: "diagonal",
  heads: true,
  state: ["K", "V"],
  inputs: {
    q: { axes: ["K"], domain: real },
    g: { axes: ["K"], domain: logGate },
    v: { axes: ["V"], domain: real },
  },
  fields: { q: ["K"], k: ["K"], v: ["V"], a: ["K"] },
  gates: (A, x, { K }) => ({
    q: (k) => A.mul(A.of(queryScale(K)), x.q(k)),
    k: (k) => A.neg(A.expm1(x.g(k))),
    v: x.v,
    a: (k) => A.exp(x.g(k)),
  }),
  step: (A, S, x) => plus(A, scaleRows(A, x.a, S), outer(A, x.k, x.v)),
  lift: (A, x, k, v) => ({ a: x.a(k), b: A.mul(x.k(k), x.v(v)) }),
  read: (A, S, x, v, { K }) => A.sum(K, (k) => A.mul(x.q(k), S(k, v))),
});
