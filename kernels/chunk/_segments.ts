/** Into how many pieces of time a forward pass is cut that run side by side. */

import { InputError } from "../../models/error.ts";
import type { Gpu } from "../gpu.ts";

/** Workgroups from which more would not be run at the same time on a large GPU. */
const ENOUGH = 256;

/** What time can be cut into: `most` pieces, `worth` of which are long enough to be run by themselves. */
export interface Pieces {
  /** Workgroups of one piece. */
  readonly workgroups: number;
  readonly most: number;
  readonly worth: number;
}

/** The pieces: those asked for, or so many that a large GPU is busy. Throws an {@link InputError} on less than one. */
export function chooseSegments(
  gpu: Pick<Gpu, "adapter">,
  { workgroups, most, worth }: Pieces,
  asked: number | undefined,
): number {
  if (asked !== undefined) {
    if (!Number.isSafeInteger(asked) || asked < 1) {
      throw new InputError(`Cannot run in chunks: segments must be a whole number ≥ 1, got ${asked}`);
    }
    return Math.max(1, Math.min(asked, most));
  }
  // Segments read k and v twice: less than four to a workgroup's place would not pay.
  const side = Math.min(Math.floor(ENOUGH / workgroups), Math.floor(worth));
  return gpu.adapter.software || side < 4 ? 1 : side;
}
