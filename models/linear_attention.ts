/**
 * Linear attention without a normaliser: an unweighted sum over the past.
 *
 *     S_t = S_{t−1} + k_t v_tᵀ        o_t = (scale · q_t)ᵀ S_t
 *
 * | name | paper | shape per token and head |
 * |---|---|---|
 * | q, k | φ(Q_t), φ(K_t), feature-mapped by the caller (or plain) | `[K]` |
 * | v | V_t | `[V]` |
 *
 * @module
 */
import { affineModel, type AnyAffineModel, queryScale } from "./affine.ts";
import { outer, plus } from "./linalg.ts";
import { real } from "./domain.ts";

export const linearAttention: AnyAffineModel = affineModel({
  name: "linear-attention",
  paper: {
    title: "Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention",
    arxiv: "2006.16236",
    where: "eq. 18",
  },
  action: "identity",
  heads: true,
  state: ["K", "V"],
  inputs: {
    q: { axes: ["K"], domain: real },
    k: { axes: ["K"], domain: real },
    v: { axes: ["V"], domain: real },
  },
  fields: { q: ["K"], k: ["K"], v: ["V"] },
  gates: (A, x, { K }) => ({
    q: (k) => A.mul(A.of(queryScale(K)), x.q(k)),
    k: x.k,
    v: x.v,
  }),
  step: (A, S, x) => plus(A, S, outer(A, x.k, x.v)),
  lift: (A, x, k, v) => ({ a: A.of(1), b: A.mul(x.k(k), x.v(v)) }),
  read: (A, S, x, v, { K }) => A.sum(K, (k) => A.mul(x.q(k), S(k, v))),
});
