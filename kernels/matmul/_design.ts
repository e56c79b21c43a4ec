/** What the designs of a product hand over, and what they decide alike. */

import type { Dispatch } from "../gpu.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import type { Tensor } from "../tensor.ts";
import type { Problem } from "./_problem.ts";

/** How a product is computed: what `matmulBound` has to know. */
export interface Summation {
  readonly mode: MatrixMode;
  readonly hardware: boolean;
  /** Terms of the sum that are added up before they are added to the rest. */
  readonly chunk: number;
  /** Whether operands are used as they lie, unscaled. */
  readonly direct: boolean;
  /** Parts of the sum, each by workgroups of its own. */
  readonly parts: number;
}

export interface Design extends Summation {
  readonly variant: string;
  /** Writes to C's buffer, or f32 partial sums `[parts, batches, M, N]`; see {@linkcode writesPartial}. */
  dispatches(result: GPUBuffer): Promise<Dispatch[]>;
}

/** Makes a buffer that a product needs only while it runs. */
export type Scratch = (bytes: number, label: string) => GPUBuffer;

/** Makes a uniform buffer of these words, or finds one. */
export type Uniform = (words: Uint32Array<ArrayBuffer>) => GPUBuffer;

/** Where the buffers come from that are not the tensors'. */
export interface Memory {
  readonly scratch: Scratch;
  readonly uniform: Uniform;
}

/** Workgroups that keep a large device busy; sums are cut into parts where C alone has fewer. */
export const BUSY = 128;

/** Whether a kernel cannot write C itself: several parts, or halves that are not addressable. */
export function writesPartial(c: Tensor, { parts, hardware }: Pick<Summation, "parts" | "hardware">): boolean {
  return parts > 1 || c.dtype === "f16" && !hardware;
}

/** Parts of the sum: as asked for, or as many as fill the device, each of at least `least` terms. */
export function partsOf(problem: Problem, workgroups: number, asked: number | undefined, least: number): number {
  if (asked !== undefined) return Math.min(asked, Math.ceil(problem.K / 16));
  return Math.min(Math.ceil(BUSY / workgroups), Math.max(1, Math.floor(problem.K / least)));
}
