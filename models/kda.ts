/**
 * Kimi Delta Attention: Gated DeltaNet with a decay of its own for every key channel.
 *
 *     S_t = (I − β_t k_t k_tᵀ) diag(e^{g_t}) S_{t−1} + β_t k_t v_tᵀ        o_t = (scale · q_t)ᵀ S_t
 *
 * | name | paper | shape per token and head |
 * |---|---|---|
 * | q, k | q_t, k_t | `[K]`, k of norm ≤ 1 |
 * | v | v_t | `[V]` |
 * | g | log α_t | `[K]`, ≤ 0 |
 * | beta | β_t | scalar in [0, 2] |
 * | a | α_t = e^g | `[K]` |
 *
 * @module
 */
import { affineModel, type AnyAffineModel, queryScale } from "./affine.ts";
import { minus, outer, plus, scaleRows, scaleVector, vecMat } from "./linalg.ts";
import { beta, logGate, real, unitVector } from "./domain.ts";

export const kda: AnyAffineModel = affineModel({
  name: "kda",
  paper: {
    title: "Kimi Linear: An Expressive, Efficient Attention Architecture",
    arxiv: "2510.26692",
    where: "section 3, Kimi Delta Attention",
  },
  action: "matrix",
  heads: true,
  state: ["K", "V"],
  inputs: {
    q: { axes: ["K"], domain: real },
    k: { axes: ["K"], domain: unitVector },
    v: { axes: ["V"], domain: real },
    g: { axes: ["K"], domain: logGate },
    beta: { axes: [], domain: beta },
  },
  fields: { q: ["K"], k: ["K"], v: ["V"], a: ["K"], beta: [] },
  gates: (A, x, { K }) => ({
    q: (k) => A.mul(A.of(queryScale(K)), x.q(k)),
    k: x.k,
    v: x.v,
    a: (k) => A.exp(x.g(k)),
    beta: x.beta,
  }),
  step(A, S, x) {
    const decayed = scaleRows(A, x.a, S);
    const written = scaleVector(A, x.beta, x.k);
    return plus(A, minus(A, decayed, outer(A, written, vecMat(A, x.k, decayed))), outer(A, written, x.v));
  },
  lift: (A, x) => ({
    // The decay acts on the state first, so it stands at the column index of E.
    E: (i, j) => A.mul(A.sub(A.eye(i, j), A.mul(x.beta, A.mul(x.k(i), x.k(j)))), x.a(j)),
    F: (i, v) => A.mul(x.beta, A.mul(x.k(i), x.v(v))),
  }),
  read: (A, S, x, v, { K }) => A.sum(K, (k) => A.mul(x.q(k), S(k, v))),
});
