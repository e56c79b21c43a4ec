/**
 * No timing of a wrong result: what a line's error has to be.
 *
 * @module
 */
import type { DType } from "../../kernels/tensor.ts";
import { WrongResult } from "../gate.ts";
import type { LineError } from "./line.ts";

/** A relative fault that every bound has to show: 2^−10, or for halves, whose own rounding is half of that, 2^−8. */
const FAULT: { readonly [dtype in DType]: number } = { f32: 2 ** -10, f16: 2 ** -8 };

/** @throws {WrongResult} if the error is larger than allowed, or no number. */
export function assertAllowed({ max, rms, allowed }: LineError): void {
  if (max <= allowed && Number.isFinite(max) && Number.isFinite(rms)) return;
  throw new WrongResult(
    `largest error ${short(max)}, rms ${short(rms)}, allowed ${short(allowed)} (of the rms of the truth)`,
  );
}

/** Why a bound is too wide to judge by, if it is: it would let a planted relative fault pass. */
export function looseness(dtype: DType, { allowed, peak = 1, shows }: LineError): string | undefined {
  if (shows !== undefined) {
    return shows < FAULT[dtype]
      ? undefined
      : `no number's own bound would be left by a relative fault below ${short(shows)}; one of 2^${
        Math.log2(FAULT[dtype])
      } would pass`;
  }
  if (allowed < FAULT[dtype] * peak) return undefined;
  return `the error allowed, ${short(allowed)}, would let a relative fault of 2^${
    Math.log2(FAULT[dtype])
  } pass, which ` +
    `is ${short(FAULT[dtype] * peak)} at the largest number`;
}

function short(x: number): string {
  return Number.isFinite(x) ? x.toPrecision(3) : String(x);
}
