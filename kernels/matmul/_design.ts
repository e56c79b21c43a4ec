/** What the designs of a product hand over, and what they decide alike. */

import type { Dispatch } from "../gpu.ts";
import type { MatrixMode } from "../matrix_unit.ts";
import type { Problem } from "./_problem.ts";

/** How a product is computed: what `matmulBound` has to know. */
export interface Summation {
  readonly mode: MatrixMode;
  readonly hardware: boolean;
  /** Terms of the sum that are added up before they are added to the rest. */
  readonly chunk: number;
  /** Rows of A, and columns of B, that have one scale; without, numbers are as they lie. */
  readonly scaled?: { readonly a: number; readonly b: number } | undefined;
  /** Parts of the sum, each by workgroups of its own. */
  readonly parts: number;
}

export interface Design extends Summation {
  readonly variant: string;
  /** All kernels of the product. */
  dispatches(): Promise<Dispatch[]>;
}

/** Makes a buffer that a product needs only while it runs. */
export type Scratch = (bytes: number, label: string) => GPUBuffer;

/** A buffer that is wanted. */
export interface Wanted {
  readonly bytes: number;
  readonly label: string;
}

/**
 * Buffers for an operand that other products, whose sizes and tilings make the same key, bring into the same order: who asks
 * first fills them.
 */
export type Shared = (
  key: string,
  wanted: readonly Wanted[],
) => { readonly buffers: readonly GPUBuffer[]; readonly filled: boolean };

/** Makes a uniform buffer of these words, or finds one. */
export type Uniform = (words: Uint32Array<ArrayBuffer>) => GPUBuffer;

/** Where the buffers come from that are not the tensors'. */
export interface Memory {
  readonly scratch: Scratch;
  readonly uniform: Uniform;
  /** Of packed operands that are not this product's alone. */
  readonly shared?: SharedOperands;
}

export interface SharedOperands {
  readonly a?: Shared | undefined;
  readonly b?: Shared | undefined;
}

/** Workgroups that keep a large device busy; sums are cut into parts where C alone has fewer. */
export const BUSY = 128;

/** Parts of the sum: as asked for, or as many as make `busy` workgroups, each of at least `least` terms. */
export function partsOf(
  problem: Problem,
  workgroups: number,
  { asked, least, busy = BUSY }: {
    readonly asked?: number | undefined;
    readonly least: number;
    readonly busy?: number;
  },
): number {
  if (asked !== undefined) return Math.min(asked, Math.ceil(problem.K / 16));
  return Math.min(Math.ceil(busy / workgroups), Math.max(1, Math.floor(problem.K / least)));
}
