/**
 * What the delta-rule kernels promise of their f32 arithmetic.
 *
 * Each token is taken by itself, in the factored form of the recurrence; nothing is carried but the f32 state. One step
 * on the exact state S (rows k, a column at a time), with δ's of at most u = 2^−24 each:
 *
 *     m_i = d_i S_i (1 + δ)                                     1 rounding
 *     c = Σ_j k_j m_j                                           n_dot per term; scalar gates: d · Σ_j k_j S_j, 1 more
 *     e = v − c;  u = β e;  S'_i = m_i + k_i u                  1, 1, 2 (1 where fused)
 *
 * n_dot: R rows of an invocation in two chains of R/2 multiply-adds (R/2, R/2 + 1 unfused), 1 to join them, log2 G over
 * the group by shuffles (G − 1 in workgroup memory). As R·G is K rounded up, and added zeros round nothing, n_dot ≤ K for every
 * K. Collected by what multiplies S_j in S'_i, with E = diag(d) − β k (d ∘ k)ᵀ and F = β k vᵀ:
 *
 *     j ≠ i    |E_ij| ((1 + u)^(K+5) − 1)        F    |F_i| ((1 + u)^4 − 1)
 *     j = i    2u d_i |S_i| next to the same with β k_i² d_i for |E_ij|
 *
 * d itself is off by the accuracy of `exp`. The judge's radius for one step (oracle/defect.ts) is that of a dense
 * product with entries lifted in f32: each off-diagonal E_ij in 4 roundings and the sum in K + 1, F in 2 and K: the same
 * counts, so the kernel is held to it step by step: `denseChunk` is 1. RWKV-7: b_i = κ_i η_i (1), u = −Σ κ_j S_j
 * (n_dot), and three products added to one another (at most 3): within the same.
 *
 * A read-out is Σ_k q_k S_k with n_dot roundings of a term and 1 for q's scale. With `f16` tensors outputs are rounded to
 * 11 bits besides; the state and all sums stay f32.
 *
 * Over many steps: ‖E_t‖₂ ≤ 1 for β in [0, 2], |k| ≤ 1, so an error of step t reaches a later state no larger in norm, and
 *
 *     ‖Ŝ_T − S_T‖₂ ≤ Σ_t ‖local_t‖₂ ≤ u Σ_t (2‖S_t‖ + (K + 6) β_t ‖k_t‖² ‖S_{t−1}‖ + 4 β_t ‖k_t‖ |v_t|)   per column.
 *
 * {@linkcode stepError} is that summand.
 *
 * @module
 */
import { wgslAccuracy } from "../../models/accuracy.ts";
import type { Rounding } from "../../models/rounding.ts";
import type { Tile } from "./tile.ts";

/** n_dot of a tile: what a term of a sum over the keys meets, at most. */
export function dotRoundings({ rows, group, subgroups }: Pick<Tile, "rows" | "group" | "subgroups">): number {
  return rows / 2 + 1 + (subgroups ? Math.log2(group) : group - 1);
}

/** Roundings of a term of the removal besides those of the sum over keys: gate, difference, β, product, addition. */
export const REMOVAL_ROUNDINGS = 5;
/** Roundings of the term of v. */
export const WRITE_ROUNDINGS = 4;
/** Roundings of what stays: the gate's product, and the last addition. */
export const KEPT_ROUNDINGS = 2;

/**
 * What one step adds at most to ‖Ŝ − S‖₂ of a column, from norms. `state`: of the column before; `removed`: β‖k‖², or
 * ‖b‖‖κ‖ for RWKV-7; `written`: of what is written, β‖k‖|v|; `gate`: the largest −log gate. `dot` is n_dot.
 */
export function stepError(
  dot: number,
  { state, removed, written, gate }: {
    readonly state: number;
    readonly removed: number;
    readonly written: number;
    readonly gate: number;
  },
): number {
  const u = 2 ** -24;
  const times = (n: number): number => (1 + u) ** n - 1;
  const exponential = (wgslAccuracy.exp.units + wgslAccuracy.exp.perArgument * gate) * u;
  const grown = (1 + removed) * state + written;
  return (times(KEPT_ROUNDINGS) + exponential) * state +
    (times(dot + REMOVAL_ROUNDINGS) + exponential) * removed * state +
    times(WRITE_ROUNDINGS) * written +
    times(1) * grown + 2 ** 12 * wgslAccuracy.flush * (1 + state + written);
}

/** Serial: no products of transitions are formed. */
export const deltaRounding: Rounding = {
  unit: 2 ** -24,
  rightCombines: (steps) => steps,
  accuracy: "wgsl",
  denseChunk: () => 1,
};
