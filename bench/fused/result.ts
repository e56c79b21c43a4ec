/**
 * A timing of a fused kernel, as it is printed, saved, compared and plotted.
 *
 * @module
 */
import type { DType } from "../../kernels/tensor.ts";
import type { Timing } from "../result.ts";
import type { PeerFigures } from "./peer.ts";

/** One timing. Made only of a result whose error was allowed. */
export interface FusedResult extends Timing, Partial<PeerFigures> {
  readonly dtype: DType;
  /** The tuning's name. */
  readonly variant: string;
  /** What the kernels chose for device and shape, in words. */
  readonly plan: string;
  /** Whether `ms` is by the device's own clock. */
  readonly onDevice: boolean;
  /** Median milliseconds from submission to its end, on the host's clock. */
  readonly hostMs: number;
  /** Floating-point operations that one call has to do at least. */
  readonly operations: number;
  /** operations / ms as a share of a matrix product's, measured in the same run. */
  readonly matmulFraction?: number;
  /** The product's operations per second. */
  readonly matmulOperationsPerSecond?: number;
  /** Bytes of scratch buffers. */
  readonly scratchBytes: number;
  /** Largest |x − truth| over the root mean square of the truth. */
  readonly maxError: number;
  /** Root mean square of x − truth over that of the truth. */
  readonly rmsError: number;
  /** The same of what was judged: `maxError` itself, or that of parts which start from the kernel's own states. */
  readonly judgedError: number;
  /** What `judgedError` may be, derived. */
  readonly allowedError: number;
}

/** A case that was not timed, and why; in a file of results beside the others. */
export interface FusedFailure {
  readonly kernel: string;
  readonly shape: string;
  readonly dtype: DType;
  readonly variant: string;
  readonly adapter: string;
  readonly error: string;
  readonly date: string;
}
