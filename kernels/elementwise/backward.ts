/**
 * The gradient of the element-wise scan in one pass: with the cotangents dh of the outputs and dhT of the final state,
 *
 *     λ_t = dh_t + a_{t+1} λ_{t+1}   (λ_{T−1} = dh_{T−1} + dhT)
 *     db_t = λ_t,   da_t = λ_t h_{t−1}   (h_{−1} = h0),   dh0 = a_0 λ_0
 *
 * It reads a, h and dh and writes da and db: 20 bytes for a number in f32, where the forward scan moves 12.
 *
 * @module
 */
import type { Fault } from "../faults.ts";
import type { Gpu } from "../gpu.ts";
import type { Tensor } from "../tensor.ts";
import type { ScanLayout } from "./_job.ts";
import { extentOf, planJob, type ScanPlan } from "./_plan.ts";
import type { ScanTuning } from "./_tuning.ts";

/** The tensors of a backward scan: `[B, D, T]` (rows) or `[B, T, D]` (columns), states `[B, D]` in f32. */
export interface ScanBackwardTensors {
  /** Gates of the forward scan. */
  readonly a: Tensor;
  /** Outputs of the forward scan. */
  readonly h: Tensor;
  /** State before the first step; zero where not given. */
  readonly h0?: Tensor;
  /** Cotangent of the outputs. */
  readonly dh: Tensor;
  /** Cotangent of the final state; zero where not given. */
  readonly dhT?: Tensor;
  /** Gradient of the gates. */
  readonly da: Tensor;
  /** Gradient of b. */
  readonly db: Tensor;
  /** Gradient of h0, where wanted. */
  readonly dh0?: Tensor;
}

/** How to run. */
export interface ScanBackwardOptions extends ScanTuning {
  readonly layout: ScanLayout;
  /** For tests. */
  readonly fault?: Fault;
}

/** Plans a backward scan; throws as {@link planScan} does. */
export function planScanBackward(
  gpu: Gpu,
  tensors: ScanBackwardTensors,
  options: ScanBackwardOptions,
): Promise<ScanPlan> {
  const { layout, fault, ...tuning } = options;
  return Promise.resolve().then(() =>
    planJob(
      gpu,
      `scan ${layout} backward`,
      {
        what: "scan backward",
        layout,
        ...extentOf("scan backward: dh", tensors.dh, layout),
        reverse: true,
        shifted: true,
        tensors: {
          gates: tensors.a,
          inputs: tensors.dh,
          previous: tensors.h,
          outputs: tensors.db,
          gate_outputs: tensors.da,
        },
        initial: tensors.dhT,
        final: tensors.dh0,
        start: tensors.h0,
        fault,
      },
      tuning,
      3,
    )
  );
}
