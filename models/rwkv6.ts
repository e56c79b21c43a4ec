/**
 * RWKV-6 (Finch): a decay per key channel, and a bonus u for the current token, which is read before it is written.
 *
 *     o_t = q_tᵀ (S_{t−1} + diag(u) k_t v_tᵀ)        S_t = diag(e^{w_t}) S_{t−1} + k_t v_tᵀ        (no scale)
 *
 * | name | paper | shape per token and head |
 * |---|---|---|
 * | q, k | r_t, k_t | `[K]` |
 * | v | v_t | `[V]` |
 * | w | log w_t | `[K]`, ≤ 0 |
 * | u | u | `[K]` per head, parameter |
 * | a | w_t = e^w | `[K]` |
 *
 * @module
 */
import { affineModel, type AnyAffineModel } from "./affine.ts";
import { outer, plus, scaleRows } from "./linalg.ts";
import { logGate, real } from "./domain.ts";

export const rwkv6: AnyAffineModel = affineModel({
  name: "rwkv6",
  paper: {
    title: "Eagle and Finch: RWKV with Matrix-Valued States and Dynamic Recurrence",
    arxiv: "2404.05892",
    where: "section 4, Finch's time mixing in recurrent form",
  },
  action: "diagonal",
  heads: true,
  state: ["K", "V"],
  reads: "pre",
  inputs: {
    q: { axes: ["K"], domain: real },
    k: { axes: ["K"], domain: real },
    v: { axes: ["V"], domain: real },
    w: { axes: ["K"], domain: logGate },
    u: { axes: ["K"], domain: real, per: "parameter" },
  },
  fields: { q: ["K"], k: ["K"], v: ["V"], a: ["K"], u: ["K"] },
  gates: (A, x) => ({ q: x.q, k: x.k, v: x.v, a: (k) => A.exp(x.w(k)), u: x.u }),
  step: (A, S, x) => plus(A, scaleRows(A, x.a, S), outer(A, x.k, x.v)),
  lift: (A, x, k, v) => ({ a: x.a(k), b: A.mul(x.k(k), x.v(v)) }),
  read: (A, S, x, v, { K }) => A.sum(K, (k) => A.mul(x.q(k), A.add(S(k, v), A.mul(x.u(k), A.mul(x.k(k), x.v(v)))))),
});
