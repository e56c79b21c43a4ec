/**
 * No timing of a wrong result: a kernel is checked, timed, and what was timed is checked again.
 *
 * @module
 */
import type { Verdict } from "../oracle/compare.ts";
import type { Opened, Timed } from "./kernel.ts";

/** A result that may not be timed; the message says what is wrong with it. */
export class WrongResult extends Error {}

/**
 * Lets a verdict through if every number is within its bound and the bound is tight enough to have shown a relative
 * fault of 2^−10.
 *
 * @throws {WrongResult} otherwise.
 */
export function assertRight({ ok, first, planted }: Verdict): void {
  if (!ok) {
    throw new WrongResult(
      first === undefined
        ? "out of its bound"
        : `first bad index ${first.index}: got ${first.got}, truth ${first.want}, ${
          first.ulps.toPrecision(3)
        } ulp, allowed ${first.allowed.toPrecision(3)}`,
    );
  }
  if (planted !== "seen") throw new WrongResult("the derived bound is too wide to see a relative fault of 2^-10");
}

/**
 * Checks, times, checks again; the verdict returned is of what was timed.
 *
 * @throws {WrongResult} before any timing if the result is wrong, and after it if a timed one was.
 */
export async function gated(opened: Opened): Promise<Timed> {
  assertRight(await opened.check());
  const timed = await opened.time();
  assertRight(timed.verdict);
  return timed;
}
