/**
 * The element-wise scan `h_t = a_t·h_{t−1} + b_t`, as fast as memory: every number is read once and written once.
 *
 * ```ts
 * const plan = await planScan(gpu, { a, b, h }, { layout: "rows" });
 * await runPlans(gpu, "scan", [plan]);
 * ```
 *
 * Storage may be f32 or f16, tensor by tensor; arithmetic and states are f32. (An output beyond 65504 has no meaning in
 * f16.) Gates are ordinary numbers: 0, 1 and subnormal ones included, infinities and NaN excluded.
 *
 * @module
 */
import type { Fault } from "../faults.ts";
import type { Gpu } from "../gpu.ts";
import type { Tensor } from "../tensor.ts";
import type { ScanLayout } from "./_job.ts";
import { extentOf, planJob, type ScanPlan } from "./_plan.ts";
import type { ScanTuning } from "./_tuning.ts";

export type { ScanLayout } from "./_job.ts";
export type { ScanPlan } from "./_plan.ts";
export type { ScanPath, ScanTuning } from "./_tuning.ts";

/** The tensors of a scan: `[B, D, T]` (rows) or `[B, T, D]` (columns), states `[B, D]` in f32. */
export interface ScanTensors {
  /** Gates; 1 where not given: a cumulative sum. */
  readonly a?: Tensor;
  readonly b: Tensor;
  /** Outputs. */
  readonly h: Tensor;
  /** State before the first step; zero where not given. */
  readonly h0?: Tensor;
  /** State after the last step, where wanted. */
  readonly final?: Tensor;
}

/** Direction, and how to run. */
export interface ScanOptions extends ScanTuning {
  /** `rows`: time is contiguous. `columns`: channels are. */
  readonly layout: ScanLayout;
  /** The first step is the last token: `h_t = a_t·h_{t+1} + b_t`. Default false. */
  readonly reverse?: boolean;
  /**
   * The gate acts after its token: `h_t = s + b_t`, then `s = a_t·h_t`. In reverse that is `h_t = a_{t+1}·h_{t+1} + b_t` with
   * `h0` for what comes in from beyond the end, and `final = a_0·h_0`: a cotangent. Default false.
   */
  readonly shifted?: boolean;
  /** For tests. */
  readonly fault?: Fault;
}

/**
 * Plans a scan. Throws an {@link InputError} where tensors do not fit together, a tuning does not fit the device, or one
 * row (of columns: one batch row) exceeds what the device can bind.
 */
export function planScan(gpu: Gpu, tensors: ScanTensors, options: ScanOptions): Promise<ScanPlan> {
  const { layout, reverse = false, shifted = false, fault, ...tuning } = options;
  return Promise.resolve().then(() =>
    planJob(
      gpu,
      `scan ${layout} ${reverse ? "reverse" : "forward"}`,
      {
        what: "scan",
        layout,
        ...extentOf("scan: b", tensors.b, layout),
        reverse,
        shifted,
        tensors: { gates: tensors.a, inputs: tensors.b, outputs: tensors.h },
        initial: tensors.h0,
        final: tensors.final,
        fault,
      },
      tuning,
      tensors.a === undefined ? 1 : 2,
    )
  );
}
