/**
 * Gated random feature attention: a normalised linear attention that averages instead of summing.
 *
 *     S_t = g_t S_{t−1} + (1 − g_t) k_t v_tᵀ     z_t = g_t z_{t−1} + (1 − g_t) k_t
 *     o_t = qᵀS_t / max(qᵀz_t, ε),  q = scale · q_t
 *
 * q and k come out of a feature map that is not negative.
 *
 * | name | paper | shape per token and head |
 * |---|---|---|
 * | q, k | φ(q_t), φ(k_t) ≥ 0 | `[K]` |
 * | v | v_t | `[V]` |
 * | g | log g_t | scalar ≤ 0 |
 * | a, i | g_t = e^g, 1 − g_t = −expm1(g) | scalars |
 *
 * The state has one more column, the normaliser z, whose value is 1. ε = 1e−6 as an f32 number.
 *
 * @module
 */
import { affineModel, type AnyAffineModel, queryScale, withOne } from "./affine.ts";
import { outer, plus, scale, scaleVector } from "./linalg.ts";
import { logGate, nonNegative, real } from "./domain.ts";

const epsilon = Math.fround(1e-6);

export const gatedRfa: AnyAffineModel = affineModel({
  name: "gated-rfa",
  paper: { title: "Random Feature Attention", arxiv: "2103.02143", where: "section 3.2" },
  action: "scalar",
  heads: true,
  state: ["K", "V"],
  normaliser: true,
  inputs: {
    q: { axes: ["K"], domain: nonNegative },
    k: { axes: ["K"], domain: nonNegative },
    v: { axes: ["V"], domain: real },
    g: { axes: [], domain: logGate },
  },
  fields: { q: ["K"], k: ["K"], v: ["V"], a: [], i: [] },
  gates: (A, x, { K }) => ({
    q: (k) => A.mul(A.of(queryScale(K)), x.q(k)),
    k: x.k,
    v: x.v,
    a: A.exp(x.g),
    i: A.neg(A.expm1(x.g)),
  }),
  step: (A, S, x) => plus(A, scale(A, x.a, S), outer(A, scaleVector(A, x.i, x.k), [...x.v, A.of(1)])),
  lift: (A, x, k, v, { V }) => ({ a: x.a, b: A.mul(x.i, A.mul(x.k(k), withOne(A, x.v, V)(v))) }),
  read(A, S, x, v, { K, V }) {
    const numerator = A.sum(K, (k) => A.mul(x.q(k), S(k, v)));
    const normaliser = A.sum(K, (k) => A.mul(x.q(k), S(k, V)));
    return A.div(numerator, A.max(normaliser, A.of(epsilon)));
  },
});
