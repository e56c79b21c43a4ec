/**
 * What a bench line is made of: a kernel, opened on inputs of its own, that can be checked and then timed.
 *
 * @module
 */
import type { Gpu } from "../kernels/device.ts";
import type { Verdict } from "../oracle/compare.ts";

/** How large and how long. */
export interface Effort {
  /** Smaller sizes, shorter times. */
  readonly quick: boolean;
  /** Milliseconds of timed calls per kernel. */
  readonly time: number;
  /** Timed calls per kernel, at least. */
  readonly calls: number;
}

/** The effort of a run: with `quick`, all CPU kernels take a few seconds. */
export function effortOf(quick: boolean): Effort {
  return quick ? { quick, time: 60, calls: 5 } : { quick, time: 300, calls: 10 };
}

/** Milliseconds of each call, and the judgement of what the timed calls computed. */
export interface Timed {
  readonly samples: readonly number[];
  readonly verdict: Verdict;
}

/** A kernel with its inputs and their truth. */
export interface Opened {
  /** `T=16384 D=1` */
  readonly shape: string;
  /** Tokens of one call, over all sequences. */
  readonly tokens: number;
  /** Bytes that one call has to move at least: inputs once, outputs once. */
  readonly bytes: number;
  /** Runs once, untimed, and holds the result to the oracle's derived bound. */
  check(): Promise<Verdict>;
  /** Times, and judges the result of the last timed call too. */
  time(): Promise<Timed>;
}

/** Runs on the CPU. */
export interface CpuKernel {
  readonly name: string;
  readonly device: "cpu";
  open(effort: Effort): Promise<Opened>;
}

/** Runs on a GPU. */
export interface GpuKernel {
  readonly name: string;
  readonly device: "gpu";
  open(effort: Effort, gpu: Gpu): Promise<Opened>;
}

export type Kernel = CpuKernel | GpuKernel;
