/** What a caller of the forward kernel may ask for. */

import type { Fault } from "../faults.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import type { TileChoice } from "./_tiles.ts";
import type { Decay } from "./family.ts";

/** How to run; what is left out is chosen for the device and the shape. */
export interface ChunkTuning extends TileChoice {
  /**
   * Chunks on tiles, one after the other; a walk through the tokens with the state in registers; or the chunkwise parallel
   * form, all chunks at once from the states at their starts, which is slower so far on an H200 (bench/NOTES.md). Default: the
   * walk where it can be, tiles on software adapters and where one of their tunings is given (_walked.ts).
   */
  readonly design?: "tiles" | "walk" | "parallel";
  readonly mode?: MatrixMode;
  readonly hardware?: boolean;
  /** Pieces of time that run side by side; default: as many as keep a large GPU busy. */
  readonly segments?: number;
  /** Of the parallel form: rows of a chunk's outputs in a workgroup, and the tile of a state that one carries along. */
  readonly rows?: number;
  readonly stateKeys?: number;
  readonly stateColumns?: number;
  readonly stateThreads?: number;
  /** Chunks that are loaded while one is multiplied: 1 or 2. */
  readonly stateAhead?: number;
  /** Whether states lie in memory as halves between its kernels, in the mode `f16`; default no. */
  readonly stateHalves?: boolean;
}

export interface ChunkForwardOptions extends ChunkTuning {
  readonly decay: Decay;
  /** Default 1. */
  readonly scale?: number;
  readonly fault?: Fault;
}
