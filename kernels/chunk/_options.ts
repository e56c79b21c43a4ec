/** What a caller of the forward kernel may ask for. */

import type { Fault } from "../faults.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import type { TileChoice } from "./_tiles.ts";
import type { Decay } from "./family.ts";

/** How to run; what is left out is chosen for the device and the shape. */
export interface ChunkTuning extends TileChoice {
  /** Chunks on tiles, or a walk through the tokens with the state in registers; default: see _walked.ts. */
  readonly design?: "tiles" | "walk";
  readonly mode?: MatrixMode;
  readonly hardware?: boolean;
  /** Pieces of time that run side by side. */
  readonly segments?: number;
}

export interface ChunkForwardOptions extends ChunkTuning {
  readonly decay: Decay;
  /** Default 1. */
  readonly scale?: number;
  readonly fault?: Fault;
}
