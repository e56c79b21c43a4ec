/**
 * How exact the selective scan is, as the constants that error bounds are derived from.
 *
 * The native exponential takes e^x, x = Δ A, as exp2(Δ·(A·log2 e)). WGSL's exp2 errs by 3 + 2|y| ULP, y = x·log2 e, and an ULP
 * is at most 2u of the value: 6u + 4·1.4427u|x|. The argument carries a rounded product A·log2 e, the rounded
 * constant (0.22u) and the product with Δ, of which the model's own product ΔA pays for one: 1.22u|x|. Sum: 6 units and
 * 6.99 per unit of the argument; rounded up by more than second orders are (|x|·7u ≤ 5e-5 where e^x is not flushed).
 *
 * Additions that no gate pays for: a token's input is added once to the state of its segment, which is added once to what
 * comes in from the segments before. (A segment's decay is the product of its gates; scanning pairs costs each a
 * product and an addition, fewer than two a gate.) Four tokens are run at once: up to three beyond the last have Δ = 0
 * and pass the state on with e^0, off by 3 ULP or 6u, times a product and an addition: 24 for the end of a run, and as
 * many for the end of a run that it goes on from.
 *
 * @module
 */
import { type Accuracy, wgslAccuracy } from "../../models/accuracy.ts";
import type { Rounding } from "../../models/execution.ts";

/** WGSL's f32 with the native exponential. */
export const nativeAccuracy: Accuracy = { ...wgslAccuracy, exp: { units: 7, perArgument: 7.1 } };

/** Of an input into its segment, and of a segment into the sequence. */
const COMBINES = 2;
/** Tokens beyond the end of a run. */
const SURPLUS = 24;

/** What an error bound has to know of a selective scan. */
export function selectiveRounding(
  { exp = "native" }: { readonly exp?: "native" | "accurate" | undefined } = {},
): Rounding {
  return {
    unit: wgslAccuracy.unit,
    rightCombines: () => COMBINES + 2 * SURPLUS,
    accuracy: exp === "native" ? nativeAccuracy : "wgsl",
    denseChunk: () => 1,
    // Backwards the tokens beyond the end come first, once.
    gradient: () => ({ late: COMBINES + SURPLUS }),
  };
}
