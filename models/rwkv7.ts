/**
 * RWKV-7 (Goose): a decay per key channel, and a delta step whose strength is a vector.
 *
 *     S_t = diag(e^{w_t}) S_{t−1} + b_t (a_tᵀ S_{t−1}) + k_t v_tᵀ        o_t = q_tᵀ S_t        (no scale)
 *     a = −κ̂,  b = κ̂ ∘ η
 *
 * Both the decay and the removal see S_{t−1}. The paper writes the state transposed (V×K).
 *
 * ‖E‖₂ ≤ 1 holds where η is the same in all channels; otherwise ‖E‖₂ may reach 2/√3, though the
 * eigenvalues of each E stay in [−1, 1]. Random η contract all the same.
 *
 * | name | paper | shape per token and head |
 * |---|---|---|
 * | q | r_t | `[K]` |
 * | k | k̃_t, the replacement key | `[K]` |
 * | v | v_t | `[V]` |
 * | w | log w_t | `[K]`, ≤ 0 |
 * | kappa | κ̂_t, the removal key | `[K]`, norm ≤ 1 |
 * | eta | a_t, the in-context learning rate | `[K]`, in [0, 1] |
 * | d | w_t = e^w | `[K]` |
 * | a, b | −κ̂, κ̂ ∘ η | `[K]` |
 *
 * @module
 */
import { affineModel, type AnyAffineModel } from "./affine.ts";
import { outer, plus, scaleRows, vecMat } from "./linalg.ts";
import { between, logGate, real, sampled, unitVector } from "./domain.ts";

export const rwkv7: AnyAffineModel = affineModel({
  name: "rwkv7",
  paper: {
    title: 'RWKV-7 "Goose" with Expressive Dynamic State Evolution',
    arxiv: "2503.14456",
    where: "section 4, the weighted key value state (transposed)",
  },
  action: "matrix",
  heads: true,
  state: ["K", "V"],
  inputs: {
    q: { axes: ["K"], domain: real },
    k: { axes: ["K"], domain: real },
    v: { axes: ["V"], domain: real },
    w: { axes: ["K"], domain: logGate },
    kappa: { axes: ["K"], domain: unitVector },
    eta: {
      axes: ["K"],
      // E differs from the decay by κ̂ ∘ η κ̂ᵀ, of norm ≤ max η.
      domain: sampled(between(0, 1, "an in-context learning rate in [0, 1]"), {
        "long-memory": (r, T) => r() / Math.max(T, 1),
      }),
    },
  },
  fields: { q: ["K"], k: ["K"], v: ["V"], d: ["K"], a: ["K"], b: ["K"] },
  gates: (A, x) => ({
    q: x.q,
    k: x.k,
    v: x.v,
    d: (k) => A.exp(x.w(k)),
    a: (k) => A.neg(x.kappa(k)),
    b: (k) => A.mul(x.kappa(k), x.eta(k)),
  }),
  step: (A, S, x) => plus(A, plus(A, scaleRows(A, x.d, S), outer(A, x.b, vecMat(A, x.a, S))), outer(A, x.k, x.v)),
  lift: (A, x) => ({
    E: (i, j) => A.add(A.mul(x.d(i), A.eye(i, j)), A.mul(x.b(i), x.a(j))),
    F: (i, v) => A.mul(x.k(i), x.v(v)),
  }),
  read: (A, S, x, v, { K }) => A.sum(K, (k) => A.mul(x.q(k), S(k, v))),
});
