/** What a caller of the forward kernel may ask for. */

import type { Fault } from "../faults.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import type { TileChoice } from "./_tiles.ts";
import type { Decay } from "./family.ts";

/** How to run; what is left out is chosen for the device and the shape. */
export interface ChunkTuning extends TileChoice {
  /**
   * Chunks on tiles, one after the other; a walk through the tokens with the state in registers; or chunks on matrix units by a
   * kernel of their own, for no decay or one a head or token, faster than a walk in halves on an H200 (bench/NOTES.md). Default:
   * the walk where it can be, tiles on software adapters and where one of their tunings is given (_walked.ts).
   */
  readonly design?: "tiles" | "walk" | "units";
  readonly mode?: MatrixMode;
  readonly hardware?: boolean;
  /** Pieces of time that run side by side; default: as many as keep a large GPU busy. */
  readonly segments?: number;
}

export interface ChunkForwardOptions extends ChunkTuning {
  readonly decay: Decay;
  /** Default 1. */
  readonly scale?: number;
  readonly fault?: Fault;
}
