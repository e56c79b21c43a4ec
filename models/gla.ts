/**
 * Gated linear attention: a decay of its own for every key channel.
 *
 *     S_t = diag(e^{g_t}) S_{t−1} + k_t v_tᵀ        o_t = (scale · q_t)ᵀ S_t
 *
 * | name | paper | shape per token and head |
 * |---|---|---|
 * | q, k | q_t, k_t | `[K]` |
 * | v | v_t | `[V]` |
 * | g | log α_t | `[K]`, ≤ 0 |
 * | a | α_t = e^g | `[K]` |
 *
 * @module
 */
import { affineModel, type AnyAffineModel, queryScale } from "./affine.ts";
import { outer, plus, scaleRows } from "./linalg.ts";
import { logGate, real } from "./domain.ts";

export const gla: AnyAffineModel = affineModel({
  name: "gla",
  paper: {
    title: "Gated Linear Attention Transformers with Hardware-Efficient Training",
    arxiv: "2312.06635",
    where: "eq. 3",
  },
  action: "diagonal",
  heads: true,
  state: ["K", "V"],
  inputs: {
    q: { axes: ["K"], domain: real },
    k: { axes: ["K"], domain: real },
    v: { axes: ["V"], domain: real },
    g: { axes: ["K"], domain: logGate },
  },
  fields: { q: ["K"], k: ["K"], v: ["V"], a: ["K"] },
  gates: (A, x, { K }) => ({
    q: (k) => A.mul(A.of(queryScale(K)), x.q(k)),
    k: x.k,
    v: x.v,
    a: (k) => A.exp(x.g(k)),
  }),
  step: (A, S, x) => plus(A, scaleRows(A, x.a, S), outer(A, x.k, x.v)),
  lift: (A, x, k, v) => ({ a: x.a(k), b: A.mul(x.k(k), x.v(v)) }),
  read: (A, S, x, v, { K }) => A.sum(K, (k) => A.mul(x.q(k), S(k, v))),
});
