/**
 * minLSTM, in the length-independent form: forget and input gates normalised to sum 1.
 *
 *     h_t = f′_t ⊙ h_{t−1} + i′_t ⊙ h̃_t        f′ = f / (f + i),  i′ = i / (f + i),  f = σ(f̃),  i = σ(ĩ)
 *
 * Both gates may be as small as the numbers go, so the quotient is taken in the exponent:
 * f′ = σ(log f − log i) with log σ(x) = −softplus(−x), and i′ = σ(log i − log f). The candidate is the plain linear
 * one (see min_gru.ts on the paper's g).
 *
 * | name | paper | shape per token |
 * |---|---|---|
 * | f, i (inputs) | f̃_t, ĩ_t, preactivations | `[D]` |
 * | candidate | h̃_t | `[D]` |
 * | f, i (fields) | f′_t, i′_t | `[D]` |
 *
 * @module
 */
import { affineModel, type AnyAffineModel } from "./affine.ts";
import { hadamard, plus } from "./linalg.ts";
import { between, type Domain, preactivation, real, sampled } from "./domain.ts";

const ratioPreactivation: Domain = {
  ...between(-(2 ** 15), 2 ** 15, "a preactivation in [−2^15, 2^15]"),
  sample: preactivation.sample,
};

export const minLstm: AnyAffineModel = affineModel({
  name: "min-lstm",
  paper: { title: "Were RNNs All We Needed?", arxiv: "2410.01201", where: "section 3.2" },
  action: "diagonal",
  heads: false,
  state: ["D"],
  inputs: {
    // Not clamped as a single gate's is: f′ = f / (f + i) depends on the difference of two saturated ones.
    // 1 − f′ = i / (f + i) < i / f ≤ 2 e^ĩ ≤ 1/T: f ≥ 1/2 where f̃ ≥ 0, and i < e^ĩ ≤ 1/2T.
    f: { axes: ["D"], domain: sampled(ratioPreactivation, { "long-memory": (r) => 2 * r() }) },
    i: {
      axes: ["D"],
      domain: sampled(ratioPreactivation, { "long-memory": (r, T) => -Math.log(2 * Math.max(T, 1)) - 2 ** -10 - r() }),
    },
    candidate: { axes: ["D"], domain: real },
  },
  fields: { f: ["D"], i: ["D"], candidate: ["D"] },
  gates(A, x) {
    const logRatio = (d: Parameters<typeof x.f>[0]) => A.sub(A.softplus(A.neg(x.i(d))), A.softplus(A.neg(x.f(d))));
    return {
      f: (d) => A.sigmoid(logRatio(d)),
      i: (d) => A.sigmoid(A.neg(logRatio(d))),
      candidate: x.candidate,
    };
  },
  step: (A, h, x) => plus(A, hadamard(A, [x.f], h), hadamard(A, [x.i], [x.candidate])),
  lift: (A, x, _, d) => ({ a: x.f(d), b: A.mul(x.i(d), x.candidate(d)) }),
  read: (_A, h, _x, d) => h(0, d),
});
