/**
 * S6, the selective state space of Mamba: step size, input and read-out depend on the token.
 *
 *     h_{d,n} = e^{Δ_d A_{d,n}} h_{d,n} + Δ_d B_n u_d        y_d = (Σ_n C_n h_{d,n} + D_d u_d) · silu(z_d)
 *     Δ = softplus(δ + bias)
 *
 * The state is kept `[N, D]`: modes are rows, channels columns. Without the gate z, which the paper draws outside the
 * recurrence, use {@link selectiveScan}`({ gated: false })`.
 *
 * | name | paper | shape |
 * |---|---|---|
 * | u | u_t (the paper's x_t) | `[D]` per token |
 * | delta, deltaBias | δ_t before softplus, its bias | `[D]` per token; `[D]`, parameter |
 * | A | A < 0 | `[N, D]`, parameter |
 * | B, C | B_t, C_t | `[N]` per token |
 * | D | D | `[D]`, parameter |
 * | z | z_t | `[D]` per token |
 * | a | Ā = e^{ΔA} | `[N, D]` |
 * | gate | silu(z), or 1 | `[D]` |
 *
 * @module
 */
import type { Analytic, Index } from "./arith.ts";
import { affineModel, type AnyAffineModel, type Raw, type Token } from "./affine.ts";
import { gateOf, silu } from "./activations.ts";
import { hadamard, hadamardVector, outer, plus } from "./linalg.ts";
import { negative, real, sampled } from "./domain.ts";

const inputs = {
  u: { axes: ["D"], domain: real },
  delta: {
    axes: ["D"],
    domain: sampled(real, {
      // Δ = softplus(δ + bias) < e^{δ + bias} ≤ 1/2T for bias ≤ 0, and |A| ≤ 2: 1 − e^{ΔA} ≤ Δ|A| ≤ 1/T.
      "long-memory": (r, T) => -Math.log(2 * Math.max(T, 1)) - r(),
      adversarial: (r) => [-104, -100, -20, 0, 20, 88, 500, 4 * r() - 2][Math.floor(8 * r())]!,
    }),
  },
  A: { axes: ["N", "D"], domain: negative, per: "parameter" },
  B: { axes: ["N"], domain: real },
  C: { axes: ["N"], domain: real },
  D: { axes: ["D"], domain: real, per: "parameter", initial: () => 0 },
  deltaBias: {
    axes: ["D"],
    domain: sampled(real, {
      "long-memory": (r) => -2 * r(),
      adversarial: (r) => [0, -4, 1e-40, 8][Math.floor(4 * r())]!,
    }),
    per: "parameter",
    initial: () => 0,
  },
} as const;

const fields = {
  u: ["D"],
  delta: ["D"],
  a: ["N", "D"],
  B: ["N"],
  C: ["N"],
  D: ["D"],
  gate: ["D"],
} as const;

function discretised<N>(A: Analytic<N>, x: Raw<N, typeof inputs>, gate: (d: Index) => N): Token<N, typeof fields> {
  const delta = (d: Index): N => A.softplus(A.add(x.delta(d), x.deltaBias(d)));
  return { u: x.u, delta, a: (n, d) => gateOf(A, A.mul(delta(d), x.A(n, d))), B: x.B, C: x.C, D: x.D, gate };
}

/** Mamba's selective scan, with or without the output gate silu(z) (and its input z). */
export function selectiveScan({ gated }: { readonly gated: boolean }): AnyAffineModel {
  const plain = affineModel({
    name: gated ? "s6" : "s6-ungated",
    paper: {
      title: "Mamba: Linear-Time Sequence Modeling with Selective State Spaces",
      arxiv: "2312.00752",
      where: "eq. 2 and algorithm 2",
    },
    action: "diagonal",
    heads: false,
    state: ["N", "D"],
    inputs,
    fields,
    gates: (A, x) => discretised(A, x, () => A.of(1)),
    step: (A, h, x) => plus(A, hadamard(A, x.a, h), outer(A, x.B, hadamardVector(A, x.delta, x.u))),
    lift: (A, x, n, d) => ({ a: x.a(n, d), b: A.mul(A.mul(x.delta(d), x.B(n)), x.u(d)) }),
    read: (A, h, x, d, { N }) =>
      A.mul(A.add(A.sum(N, (n) => A.mul(x.C(n), h(n, d))), A.mul(x.D(d), x.u(d))), x.gate(d)),
  });
  if (!gated) return plain;
  return affineModel({
    ...plain,
    inputs: { ...inputs, z: { axes: ["D"], domain: real } },
    gates: (A, x) => discretised(A, x, (d) => silu(A, x.z(d))),
  });
}

export const s6: AnyAffineModel = selectiveScan({ gated: true });
