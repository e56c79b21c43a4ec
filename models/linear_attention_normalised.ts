/**
 * Linear attention as published: the sum over the past divided by the sum of its weights.
 *
 *     S_t = S_{t−1} + k_t v_tᵀ     z_t = z_{t−1} + k_t     o_t = qᵀS_t / (qᵀz_t + ε),  q = scale · q_t
 *
 * q and k come out of a feature map that is not negative; otherwise the divisor may vanish and no bound exists.
 *
 * | name | paper | shape per token and head |
 * |---|---|---|
 * | q, k | φ(Q_t), φ(K_t) ≥ 0 | `[K]` |
 * | v | V_t | `[V]` |
 *
 * The state has one more column, the normaliser z, whose value is 1. ε = 1e−10 as an f32 number.
 *
 * @module
 */
import { affineModel, type AnyAffineModel, queryScale, withOne } from "./affine.ts";
import { outer, plus } from "./linalg.ts";
import { nonNegative, real } from "./domain.ts";

const epsilon = Math.fround(1e-10);

export const linearAttentionNormalised: AnyAffineModel = affineModel({
  name: "linear-attention-normalised",
  paper: {
    title: "Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention",
    arxiv: "2006.16236",
    where: "eq. 16–20",
  },
  action: "identity",
  heads: true,
  state: ["K", "V"],
  normaliser: true,
  inputs: {
    q: { axes: ["K"], domain: nonNegative },
    k: { axes: ["K"], domain: nonNegative },
    v: { axes: ["V"], domain: real },
  },
  fields: { q: ["K"], k: ["K"], v: ["V"] },
  gates: (A, x, { K }) => ({
    q: (k) => A.mul(A.of(queryScale(K)), x.q(k)),
    k: x.k,
    v: x.v,
  }),
  step: (A, S, x) => plus(A, S, outer(A, x.k, [...x.v, A.of(1)])),
  lift: (A, x, k, v, { V }) => ({ a: A.of(1), b: A.mul(x.k(k), withOne(A, x.v, V)(v)) }),
  read(A, S, x, v, { K, V }) {
    const numerator = A.sum(K, (k) => A.mul(x.q(k), S(k, v)));
    const normaliser = A.sum(K, (k) => A.mul(x.q(k), S(k, V)));
    return A.div(numerator, A.add(normaliser, A.of(epsilon)));
  },
});
