/**
 * DeltaNet: each token corrects what the state answers for its key.
 *
 *     S_t = (I − β_t k_t k_tᵀ) S_{t−1} + β_t k_t v_tᵀ        o_t = (scale · q_t)ᵀ S_t
 *
 * | name | paper | shape per token and head |
 * |---|---|---|
 * | q, k | q_t, k_t | `[K]`, k of norm ≤ 1 |
 * | v | v_t | `[V]` |
 * | beta | β_t | scalar in [0, 2] |
 *
 * @module
 */
import { affineModel, type AnyAffineModel, queryScale } from "./affine.ts";
import { minus, outer, plus, scaleVector, vecMat } from "./linalg.ts";
import { beta, real, unitVector } from "./domain.ts";

export const deltaNet: AnyAffineModel = affineModel({
  name: "delta-net",
  paper: {
    title: "Parallelizing Linear Transformers with the Delta Rule over Sequence Length",
    arxiv: "2406.06484",
    where: "section 2.2",
  },
  action: "matrix",
  heads: true,
  state: ["K", "V"],
  inputs: {
    q: { axes: ["K"], domain: real },
    k: { axes: ["K"], domain: unitVector },
    v: { axes: ["V"], domain: real },
    beta: { axes: [], domain: beta },
  },
  fields: { q: ["K"], k: ["K"], v: ["V"], beta: [] },
  gates: (A, x, { K }) => ({
    q: (k) => A.mul(A.of(queryScale(K)), x.q(k)),
    k: x.k,
    v: x.v,
    beta: x.beta,
  }),
  step(A, S, x) {
    const written = scaleVector(A, x.beta, x.k);
    return plus(A, minus(A, S, outer(A, written, vecMat(A, x.k, S))), outer(A, written, x.v));
  },
  lift: (A, x) => ({
    E: (i, j) => A.sub(A.eye(i, j), A.mul(x.beta, A.mul(x.k(i), x.k(j)))),
    F: (i, v) => A.mul(x.beta, A.mul(x.k(i), x.v(v))),
  }),
  read: (A, S, x, v, { K }) => A.sum(K, (k) => A.mul(x.q(k), S(k, v))),
});
