/**
 * RG-LRU, the recurrence of Griffin and RecurrentGemma.
 *
 *     h_t = a_t ⊙ h_{t−1} + √(1 − a_t²) ⊙ (i_t ⊙ x_t)        a_t = σ(Λ)^{c r_t},  c = 8
 *     r_t = σ(W_a x_t),  i_t = σ(W_x x_t)
 *
 * computed as log a = −c · softplus(−Λ) · r and 1 − a² = −expm1(2 log a), which keep their accuracy as a → 1.
 *
 * | name | paper | shape |
 * |---|---|---|
 * | x | x_t | `[D]` per token |
 * | r, i (inputs) | W_a x_t, W_x x_t, preactivations of r_t and i_t | `[D]` per token |
 * | lambda | Λ | `[D]`, parameter |
 * | a, mult, i (fields) | a_t, √(1 − a_t²), i_t | `[D]` |
 *
 * @module
 */
import type { Index } from "./arith.ts";
import { affineModel, type AnyAffineModel } from "./affine.ts";
import { gateOf } from "./activations.ts";
import { hadamard, plus } from "./linalg.ts";
import { between, preactivation, real, sampled } from "./domain.ts";

const c = 8;

/** Λ for which a^c, at r = 1, runs through [0.9, 0.999], the range of the paper's initialisation. */
function initialLambda(_head: number, d: number): number {
  const golden = (Math.sqrt(5) - 1) / 2;
  const a = 0.9 + 0.099 * ((d * golden) % 1);
  const root = a ** (1 / c);
  return Math.log(root / (1 - root));
}

export const rgLru: AnyAffineModel = affineModel({
  name: "rg-lru",
  paper: {
    title: "Griffin: Mixing Gated Linear Recurrences with Local Attention for Efficient Language Models",
    arxiv: "2402.19427",
    where: "section 2.4; log a as in appendix A",
  },
  action: "diagonal",
  heads: false,
  state: ["D"],
  inputs: {
    x: { axes: ["D"], domain: real },
    // Within ±40 the product softplus(−Λ)·σ(r) stays a normal f32, whose square root is meaningful.
    r: {
      axes: ["D"],
      domain: {
        ...sampled(between(-40, 40, "a preactivation in [−40, 40]"), { random: (r) => 6 * r() - 3 }),
        squash: preactivation.squash!,
      },
    },
    i: { axes: ["D"], domain: preactivation },
    lambda: {
      axes: ["D"],
      domain: sampled(between(-40, 40, "a number in [−40, 40]"), {
        random: (r) => 8 * r() - 2,
        // 1 − a ≤ −log a = 8·softplus(−Λ)·r ≤ 8 e^−Λ ≤ 1/T.
        "long-memory": (r, T) => Math.log(8 * Math.max(T, 1)) + 2 ** -10 + r(),
      }),
      per: "parameter",
      initial: initialLambda,
    },
  },
  fields: { a: ["D"], mult: ["D"], i: ["D"], x: ["D"] },
  gates(A, x) {
    const logA = (d: Index) => A.mul(A.of(-c), A.mul(A.softplus(A.neg(x.lambda(d))), A.sigmoid(x.r(d))));
    return {
      a: (d) => gateOf(A, logA(d)),
      mult: (d) => A.sqrt(A.neg(A.expm1(A.mul(A.of(2), logA(d))))),
      i: (d) => A.sigmoid(x.i(d)),
      x: x.x,
    };
  },
  step: (A, h, x) => plus(A, hadamard(A, [x.a], h), hadamard(A, [x.mult], hadamard(A, [x.i], [x.x]))),
  lift: (A, x, _, d) => ({ a: x.a(d), b: A.mul(A.mul(x.mult(d), x.i(d)), x.x(d)) }),
  read: (_A, h, _x, d) => h(0, d),
});
