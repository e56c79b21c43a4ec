/**
 * The zero-order hold of a diagonal state space, on the host in f64.
 *
 * @module
 */
import { InputError } from "./error.ts";

/** A diagonal continuous-time state space, flat arrays of one length but `delta`, which repeats along the modes. */
export interface ContinuousDiagonal {
  /** A, real and imaginary parts, `[N, D]`; Re A ≤ 0. */
  readonly aRe: ArrayLike<number>;
  readonly aIm: ArrayLike<number>;
  /** B, `[N, D]`. */
  readonly bRe: ArrayLike<number>;
  readonly bIm: ArrayLike<number>;
  /** Step size Δ > 0 per channel, `[D]`. */
  readonly delta: ArrayLike<number>;
}

/** The parameters `aRe, aIm, bRe, bIm` of the model `s4d`, `[N, D]`. */
export interface DiscreteDiagonal {
  readonly aRe: Float32Array;
  readonly aIm: Float32Array;
  readonly bRe: Float32Array;
  readonly bIm: Float32Array;
}

const ulpTowardsZero = (x: number): number => Math.fround(x * (1 - 2 ** -23.5));

/**
 * `ā = e^{ΔA}`, `b̄ = A^{−1}(e^{ΔA} − 1) B` (and `ΔB` where A = 0), rounded to f32 so that still |ā| ≤ 1.
 *
 * Throws an {@link InputError} where Re A > 0, Δ ≤ 0 or the shapes disagree.
 */
export function discretiseZoh({ aRe, aIm, bRe, bIm, delta }: ContinuousDiagonal): DiscreteDiagonal {
  const length = aRe.length;
  const D = delta.length;
  if (D === 0 || length % D !== 0 || [aIm, bRe, bIm].some((x) => x.length !== length)) {
    throw new InputError(
      `Cannot discretise: A and B must be [N, D] and delta [D], got ${length}, ${aIm.length}, ${bRe.length}, ` +
        `${bIm.length} and ${D} numbers`,
    );
  }
  const out = {
    aRe: new Float32Array(length),
    aIm: new Float32Array(length),
    bRe: new Float32Array(length),
    bIm: new Float32Array(length),
  };
  for (let i = 0; i < length; i++) {
    const step = delta[i % D]!;
    const re = aRe[i]!;
    const im = aIm[i]!;
    if (!(step > 0) || !Number.isFinite(step)) {
      throw new InputError(`Cannot discretise: delta must be a finite number > 0, got ${step} at ${i % D}`);
    }
    if (!(re <= 0) || !Number.isFinite(im)) {
      throw new InputError(`Cannot discretise: A must have a real part ≤ 0, got ${re} + ${im}i at ${i}`);
    }
    // e^z − 1 without cancellation: e^x cos y − 1 = expm1(x) cos y − 2 sin²(y/2).
    const x = step * re;
    const y = step * im;
    const mRe = Math.expm1(x) * Math.cos(y) - 2 * Math.sin(y / 2) ** 2;
    const mIm = Math.exp(x) * Math.sin(y);
    const square = re * re + im * im;
    const hRe = square === 0 ? step : (mRe * re + mIm * im) / square;
    const hIm = square === 0 ? 0 : (mIm * re - mRe * im) / square;
    out.bRe[i] = hRe * bRe[i]! - hIm * bIm[i]!;
    out.bIm[i] = hRe * bIm[i]! + hIm * bRe[i]!;
    let aR = Math.fround(1 + mRe);
    let aI = Math.fround(mIm);
    // Rounding may leave the unit disc by an ulp, which 2^20 tokens would raise to a factor.
    while (aR * aR + aI * aI > 1) {
      if (Math.abs(aR) > Math.abs(aI)) aR = ulpTowardsZero(aR);
      else aI = ulpTowardsZero(aI);
    }
    out.aRe[i] = aR;
    out.aIm[i] = aI;
  }
  return out;
}
