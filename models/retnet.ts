/**
 * RetNet's retention: linear attention with one fixed decay per head.
 *
 *     S_t = γ_h S_{t−1} + k_t v_tᵀ        o_t = (scale · q_t)ᵀ S_t        γ_h = 1 − 2^{−5−h}
 *
 * The rotation that the paper applies to q and k is the caller's.
 *
 * | name | paper | shape per token and head |
 * |---|---|---|
 * | q, k | Q_n, K_n | `[K]` |
 * | v | V_n | `[V]` |
 * | gamma | γ | scalar per head, parameter, in [0, 1] |
 *
 * @module
 */
import { affineModel, type AnyAffineModel, queryScale } from "./affine.ts";
import { outer, plus, scale } from "./linalg.ts";
import { gate, real } from "./domain.ts";

export const retnet: AnyAffineModel = affineModel({
  name: "retnet",
  paper: {
    title: "Retentive Network: A Successor to Transformer for Large Language Models",
    arxiv: "2307.08621",
    where: "eq. 6; γ of eq. 8",
  },
  action: "scalar",
  heads: true,
  state: ["K", "V"],
  inputs: {
    q: { axes: ["K"], domain: real },
    k: { axes: ["K"], domain: real },
    v: { axes: ["V"], domain: real },
    gamma: { axes: [], domain: gate, per: "parameter", initial: (head) => 1 - 2 ** (-5 - head) },
  },
  fields: { q: ["K"], k: ["K"], v: ["V"], gamma: [] },
  gates: (A, x, { K }) => ({
    q: (k) => A.mul(A.of(queryScale(K)), x.q(k)),
    k: x.k,
    v: x.v,
    gamma: x.gamma,
  }),
  step: (A, S, x) => plus(A, scale(A, x.gamma, S), outer(A, x.k, x.v)),
  lift: (A, x, k, v) => ({ a: x.gamma, b: A.mul(x.k(k), x.v(v)) }),
  read: (A, S, x, v, { K }) => A.sum(K, (k) => A.mul(x.q(k), S(k, v))),
});
