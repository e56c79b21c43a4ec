/**
 * mLSTM, the matrix memory of xLSTM.
 *
 *     C_t = f_t C_{t−1} + i_t k_t v_tᵀ     n_t = f_t n_{t−1} + i_t k_t     o_t = qᵀC_t / max(|qᵀn_t|, 1)
 *
 * `step` is this unstabilised form; `lift` keeps a shared exponent m — the paper's running maximum, as an integer
 * power of two — so that e^i may exceed f32's range: S = (C, n)·2^−m. Rescaling by powers of two is exact.
 *
 * | name | paper | shape per token and head |
 * |---|---|---|
 * | q, k | q_t, k_t (k scaled by K^−1/2 in the paper; here q is) | `[K]` |
 * | v | v_t | `[V]` |
 * | i, f | ĩ_t, f̃_t, preactivations; i = e^ĩ, f = σ(f̃) | scalars |
 * | fm·2^fe, im·2^ie | f_t, i_t | scalars |
 *
 * The state has one more column, the normaliser n, whose value is 1.
 *
 * @module
 */
import { affineModel, type AnyAffineModel, queryScale, withOne } from "./affine.ts";
import { outer, plus, scale, scaleVector } from "./linalg.ts";
import { between, real, sampled } from "./domain.ts";

export const mlstm: AnyAffineModel = affineModel({
  name: "mlstm",
  paper: { title: "xLSTM: Extended Long Short-Term Memory", arxiv: "2405.04517", where: "eq. 19–27" },
  action: "scaled",
  heads: true,
  state: ["K", "V"],
  normaliser: true,
  inputs: {
    q: { axes: ["K"], domain: real },
    k: { axes: ["K"], domain: real },
    v: { axes: ["V"], domain: real },
    i: {
      axes: [],
      domain: sampled(between(-500, 80, "a preactivation in [−500, 80] (e^80 is near f32's largest)"), {
        random: (r) => 8 * r() - 5,
        "long-memory": (r) => 2 * r() - 1,
        // e^40 · 4096 · 65504, the largest i·k·v of this class, summed over 2^20 tokens, stays within f32.
        adversarial: (r) => r() < 0.5 ? [-500, -20, 0, 40][Math.floor(4 * r())]! : 540 * r() - 500,
      }),
    },
    f: {
      axes: [],
      domain: sampled(between(-500, 500, "a preactivation in [−500, 500]"), {
        random: (r) => 10 * r() - 4,
        "long-memory": (r, T) => Math.log(Math.max(T, 1)) + r(),
      }),
    },
  },
  fields: { q: ["K"], k: ["K"], v: ["V"], fm: [], fe: [], im: [], ie: [] },
  exponents: ["fe", "ie"],
  gates(A, x, { K }) {
    const f = A.expParts(A.neg(A.softplus(A.neg(x.f))));
    const i = A.expParts(x.i);
    // f in [1, 2) · 2^fe: the monoid keeps forget factors normalised.
    const shift = A.exponent(f.mantissa);
    return {
      q: (k) => A.mul(A.of(queryScale(K)), x.q(k)),
      k: x.k,
      v: x.v,
      fm: A.scale2(f.mantissa, A.neg(shift)),
      fe: A.add(f.exponent, shift),
      im: i.mantissa,
      ie: i.exponent,
    };
  },
  step(A, S, x) {
    const f = A.scale2(x.fm, x.fe);
    const i = A.scale2(x.im, x.ie);
    return plus(A, scale(A, f, S), outer(A, scaleVector(A, i, x.k), [...x.v, A.of(1)]));
  },
  lift: (A, x, k, v, { V }) => ({
    f: x.fm,
    p: x.fe,
    c: A.mul(x.im, A.mul(x.k(k), withOne(A, x.v, V)(v))),
    e: x.ie,
  }),
  read(A, S, x, v, { K, V }) {
    const m = S(0, v, 1);
    const numerator = A.sum(K, (k) => A.mul(x.q(k), S(k, v)));
    const normaliser = A.abs(A.sum(K, (k) => A.mul(x.q(k), S(k, V))));
    return A.div(numerator, A.max(normaliser, A.scale2(A.of(1), A.neg(m))));
  },
});
