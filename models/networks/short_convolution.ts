/**
 * A causal convolution over a few tokens, each channel by itself: what most recurrent layers put before their recurrence.
 *
 *     y_t = bias + Σ_{j < width} w_j ⊙ x_{t−j}        x before the first token is 0
 *
 * @module
 */
import type { Parameters, ParameterSpecs, TensorOps } from "./ops.ts";
import { parameter, zeros } from "./parameters.ts";

/** Taps, as everywhere in the field. */
export const TAPS = 4;

/** `taps` `[4, e]`, tap 0 the token itself; normal with deviation 1/√4; `bias` `[e]`. */
export function convolutionParameters(e: number): ParameterSpecs {
  return {
    taps: { shape: [TAPS, e], initial: { kind: "normal", std: TAPS ** -0.5 }, decay: true },
    bias: zeros(e),
  };
}

/** x `[B, n, e]` behind the three tokens of `before` `[B, 3, e]` (0 where not given) → `[B, n, e]`, and the last three. */
export function shortConvolution<T, I>(
  ops: TensorOps<T, I>,
  p: Parameters<T>,
  x: T,
  before?: T,
): { readonly y: T; readonly last: T } {
  const [, n, e] = ops.shape(x) as [number, number, number];
  const nothing = (): T => ops.affine(ops.slice(x, 1, 0, 1), 0);
  const all = ops.concat([...(before === undefined ? Array.from({ length: TAPS - 1 }, nothing) : [before]), x], 1);
  const taps = parameter(p, "taps");
  let y: T | undefined;
  for (let j = 0; j < TAPS; j++) {
    const tap = ops.reshape(ops.slice(taps, 0, j, j + 1), [e]);
    const term = ops.mul(ops.slice(all, 1, TAPS - 1 - j, TAPS - 1 - j + n), tap);
    y = y === undefined ? ops.add(term, parameter(p, "bias")) : ops.add(y, term);
  }
  return { y: y!, last: ops.slice(all, 1, n, n + TAPS - 1) };
}
