/**
 * S4D: a diagonal, time-invariant state space with complex modes.
 *
 *     h_t = ā ⊙ h_{t−1} + b̄ u_t        y_t = 2 Re ⟨C, h_t⟩ + D u_t
 *
 * with the zero-order hold of h′ = A h + B u:  ā = e^{ΔA},  b̄ = A^{−1} (e^{ΔA} − 1) B.
 *
 * The modes come in conjugate pairs of which one is kept; hence 2 Re. ā and b̄ are parameters, discretised on the host
 * in f64 by `discretiseZoh` (zoh.ts): a GPU's sine and cosine are good to 2^−11 only, and the parameters are
 * the same at every token.
 *
 * | name | paper | shape |
 * |---|---|---|
 * | u | u_t | `[D]` per token |
 * | aRe, aIm | ā, modulus ≤ 1 | `[N, D]`, parameter |
 * | bRe, bIm | b̄ | `[N, D]`, parameter |
 * | cRe, cIm | C (as a field: 2C) | `[N, D]`, parameter |
 * | D | D | `[D]`, parameter |
 *
 * @module
 */
import { affineModel, type AnyAffineModel } from "./affine.ts";
import { complexHadamard, complexMatrix, complexPlus, complexScaleColumns } from "./linalg.ts";
import { between, real, sampled } from "./domain.ts";

// re and im are drawn independently, so each class keeps every pairing inside the unit disc.
const aRe = sampled(between(-1, 1, "the real part of ā, in [−1, 1]"), {
  random: (r) => 1.4 * r() - 0.7,
  // re = 1 − x with 1/2T ≤ x ≤ 1/T, so 1 − |ā| ≤ 1/T; im² ≤ 0.8/T·(1 − 1/4T) < x(2 − x) = 1 − re², rounding included.
  "long-memory": (r, T) => 1 - (0.5 + 0.5 * r()) / Math.max(T, 1),
  // Zero or nearly: beside im = ±1 a pure rotation, beside im = 0 a gate that is shut.
  adversarial: (r) => [0, -0, 2 ** -149, -1e-40][Math.floor(4 * r())]!,
});
const aIm = sampled(between(-1, 1, "the imaginary part of ā, in [−1, 1]"), {
  random: (r) => 1.4 * r() - 0.7,
  "long-memory": (r, T) => (2 * r() - 1) * Math.sqrt((0.8 / Math.max(T, 1)) * (1 - 0.25 / Math.max(T, 1))),
  adversarial: (r) => [0, 1, -1, 0.5, 2 * r() - 1][Math.floor(5 * r())]!,
});

export const s4d: AnyAffineModel = affineModel({
  name: "s4d",
  paper: {
    title: "On the Parameterization and Initialization of Diagonal State Space Models",
    arxiv: "2206.11893",
    where: "section 3: the discretised diagonal SSM, zero-order hold, conjugate pairs",
  },
  action: "complex",
  heads: false,
  state: ["N", "D"],
  inputs: {
    u: { axes: ["D"], domain: real },
    aRe: { axes: ["N", "D"], domain: aRe, per: "parameter" },
    aIm: { axes: ["N", "D"], domain: aIm, per: "parameter" },
    bRe: { axes: ["N", "D"], domain: real, per: "parameter" },
    bIm: { axes: ["N", "D"], domain: real, per: "parameter" },
    cRe: { axes: ["N", "D"], domain: real, per: "parameter" },
    cIm: { axes: ["N", "D"], domain: real, per: "parameter" },
    D: { axes: ["D"], domain: real, per: "parameter", initial: () => 0 },
  },
  fields: {
    u: ["D"],
    aRe: ["N", "D"],
    aIm: ["N", "D"],
    bRe: ["N", "D"],
    bIm: ["N", "D"],
    cRe: ["N", "D"],
    cIm: ["N", "D"],
    D: ["D"],
  },
  gates: (A, x) => ({
    ...x,
    cRe: (n, d) => A.mul(A.of(2), x.cRe(n, d)),
    cIm: (n, d) => A.mul(A.of(2), x.cIm(n, d)),
  }),
  step(A, h, x) {
    const a = complexMatrix(x.aRe, x.aIm);
    const b = complexMatrix(x.bRe, x.bIm);
    return complexPlus(A, complexHadamard(A, a, h), complexScaleColumns(A, b, x.u));
  },
  lift: (A, x, n, d) => ({
    a: { re: x.aRe(n, d), im: x.aIm(n, d) },
    b: { re: A.mul(x.bRe(n, d), x.u(d)), im: A.mul(x.bIm(n, d), x.u(d)) },
  }),
  read: (A, h, x, d, { N }) =>
    A.add(
      A.sum(N, (n) => A.sub(A.mul(x.cRe(n, d), h(n, d, 0)), A.mul(x.cIm(n, d), h(n, d, 1)))),
      A.mul(x.D(d), x.u(d)),
    ),
});
