/**
 * Activations that several models share, over any Analytic.
 *
 * @module
 */
import type { Analytic } from "./arith.ts";

/**
 * `e^g` for a log gate that `gates` computes itself: g is brought to ≥ −104, as the contract of a given log gate says
 * (e^−104 < 2^−149), so that no algebra meets an exponent far outside f32.
 */
export function gateOf<N>(A: Analytic<N>, g: N): N {
  return A.exp(A.max(g, A.of(-104)));
}

/** `x · σ(x)`. */
export function silu<N>(A: Analytic<N>, x: N): N {
  return A.mul(x, A.sigmoid(x));
}
