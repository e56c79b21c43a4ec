/**
 * Gated DeltaNet: the whole state decays, then the delta step corrects what is left.
 *
 *     S_t = e^{g_t} (I − β_t k_t k_tᵀ) S_{t−1} + β_t k_t v_tᵀ        o_t = (scale · q_t)ᵀ S_t
 *
 * | name | paper | shape per token and head |
 * |---|---|---|
 * | q, k | q_t, k_t | `[K]`, k of norm ≤ 1 |
 * | v | v_t | `[V]` |
 * | g | log α_t | scalar ≤ 0 |
 * | beta | β_t | scalar in [0, 2] |
 * | a | α_t = e^g | scalar |
 *
 * @module
 */
import { affineModel, type AnyAffineModel, queryScale } from "./affine.ts";
import { minus, outer, plus, scale, scaleVector, vecMat } from "./linalg.ts";
import { beta, logGate, real, unitVector } from "./domain.ts";

export const gatedDeltaNet: AnyAffineModel = affineModel({
  name: "gated-delta-net",
  paper: {
    title: "Gated Delta Networks: Improving Mamba2 with Delta Rule",
    arxiv: "2412.06464",
    where: "section 3.1, the gated delta rule (transposed)",
  },
  action: "matrix",
  heads: true,
  state: ["K", "V"],
  inputs: {
    q: { axes: ["K"], domain: real },
    k: { axes: ["K"], domain: unitVector },
    v: { axes: ["V"], domain: real },
    g: { axes: [], domain: logGate },
    beta: { axes: [], domain: beta },
  },
  fields: { q: ["K"], k: ["K"], v: ["V"], a: [], beta: [] },
  gates: (A, x, { K }) => ({
    q: (k) => A.mul(A.of(queryScale(K)), x.q(k)),
    k: x.k,
    v: x.v,
    a: A.exp(x.g),
    beta: x.beta,
  }),
  step(A, S, x) {
    const decayed = scale(A, x.a, S);
    const written = scaleVector(A, x.beta, x.k);
    return plus(A, minus(A, decayed, outer(A, written, vecMat(A, x.k, decayed))), outer(A, written, x.v));
  },
  lift: (A, x) => ({
    E: (i, j) => A.mul(x.a, A.sub(A.eye(i, j), A.mul(x.beta, A.mul(x.k(i), x.k(j))))),
    F: (i, v) => A.mul(x.beta, A.mul(x.k(i), x.v(v))),
  }),
  read: (A, S, x, v, { K }) => A.sum(K, (k) => A.mul(x.q(k), S(k, v))),
});
