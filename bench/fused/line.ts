/**
 * What a bench line of a fused kernel is made of: tensors on the GPU, plans that run on them, and an f64 reference of some
 * of the result.
 *
 * @module
 */
import type { Gpu } from "../../kernels/device.ts";
import type { Plan } from "../../kernels/plan.ts";
import type { DType } from "../../kernels/tensor.ts";

/** Extents by axis: `{ B: 8, T: 4096, H: 16, K: 64, V: 64 }`. */
export type LineShape = Readonly<Record<string, number>>;

/** A tuning of a kernel, to be compared with others: its name, and options that the line's `prepare` understands. */
export interface Variant {
  readonly name: string;
  readonly options: Readonly<Record<string, number | string | boolean>>;
}

/** Errors of a result against an f64 reference. */
export interface LineError {
  /** Largest |x − truth| over the root mean square of the truth. */
  readonly max: number;
  /** Root mean square of x − truth over that of the truth. */
  readonly rms: number;
  /** What `max` may be, derived; a line whose error exceeds it is a failure and is not timed. */
  readonly allowed: number;
  /** Largest |truth| over the root mean square of the truth; default 1, the least it can be. */
  readonly peak?: number;
  /** Where every number has a bound of its own: the least relative fault of the whole result that takes one beyond it for certain. */
  readonly shows?: number;
  /**
   * The same errors against the recurrence from its very start, where `max` and `rms` are of a part that starts from the
   * kernel's own state (a defect): what peers' errors are compared with.
   */
  readonly whole?: { readonly max: number; readonly rms: number };
}

/** A line made ready for one shape and variant. */
export interface Prepared {
  /** What is timed: one submit. */
  readonly plans: readonly Plan[];
  /** Tokens of one run, over all sequences and heads. */
  readonly tokens: number;
  /** Numbers that the plans read and wrote on their last run, against f64: whole, or of sampled sequences. */
  check(): Promise<LineError>;
  /** Frees tensors and scratch. */
  release(): void;
}

/** A fused kernel as it is timed. */
export interface FusedLine {
  /** As `bench/peers.py` names the same work too: `gla chunk forward`. */
  readonly name: string;
  readonly dtype: DType;
  /** On a real GPU: those of the peers' own figures. */
  readonly shapes: readonly LineShape[];
  /** On a software adapter. */
  readonly small: LineShape;
  /** Tunings that a sweep compares; the first is the default choice. */
  readonly variants: readonly Variant[];
  prepare(gpu: Gpu, shape: LineShape, variant: Variant): Promise<Prepared>;
}
