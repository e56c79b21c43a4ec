/**
 * Mamba-2 (SSD): a selective state space whose A is one number per head.
 *
 *     S_t = e^{Δ_t A_h} S_{t−1} + Δ_t B_t x_tᵀ        y_t = C_tᵀ S_t + D_h x_t        (no scale)
 *
 * | name | paper | shape per token and head |
 * |---|---|---|
 * | x | x_t | `[V]` (the paper's head dimension P) |
 * | B, C | B_t, C_t | `[K]` (the paper's state dimension N) |
 * | delta | Δ_t, after its softplus | scalar > 0 |
 * | A | A_h < 0 | scalar per head, parameter |
 * | D | D_h | scalar per head, parameter |
 * | a | e^{ΔA} | scalar |
 *
 * @module
 */
import { affineModel, type AnyAffineModel } from "./affine.ts";
import { gateOf } from "./activations.ts";
import { outer, plus, scale, scaleVector } from "./linalg.ts";
import { negative, real, stepSize } from "./domain.ts";

export const mamba2: AnyAffineModel = affineModel({
  name: "mamba2",
  paper: {
    title: "Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured State Space Duality",
    arxiv: "2405.21060",
    where: "eq. 1 with A_t = a_t I; listing 1",
  },
  action: "scalar",
  heads: true,
  state: ["K", "V"],
  inputs: {
    x: { axes: ["V"], domain: real },
    B: { axes: ["K"], domain: real },
    C: { axes: ["K"], domain: real },
    delta: { axes: [], domain: stepSize },
    A: { axes: [], domain: negative, per: "parameter" },
    D: { axes: [], domain: real, per: "parameter", initial: () => 0 },
  },
  fields: { x: ["V"], B: ["K"], C: ["K"], delta: [], a: [], D: [] },
  gates: (A, x) => ({
    x: x.x,
    B: x.B,
    C: x.C,
    delta: x.delta,
    a: gateOf(A, A.mul(x.delta, x.A)),
    D: x.D,
  }),
  step: (A, S, x) => plus(A, scale(A, x.a, S), outer(A, scaleVector(A, x.delta, x.B), x.x)),
  lift: (A, x, k, v) => ({ a: x.a, b: A.mul(x.delta, A.mul(x.B(k), x.x(v))) }),
  read: (A, S, x, v, { K }) => A.add(A.sum(K, (k) => A.mul(x.C(k), S(k, v))), A.mul(x.D, x.x(v))),
});
