/**
 * What gradient rows take from an execution: the promises that its backward pass is bounded by.
 *
 * @module
 */
import type { Accuracy } from "../../models/accuracy.ts";
import type { AnyAffineModel } from "../../models/affine.ts";
import type { Execution, GradientResult } from "../../models/execution.ts";
import type { Dims } from "../../models/inputs.ts";
import { accuracyOf } from "../allowance.ts";
import type { GradientPromise } from "../gradient_passes.ts";

/** What an execution's backward pass promises; undefined where it is the generic kernel's. */
export function gradientPromise(
  { rounding }: Execution,
  model: AnyAffineModel,
  dims: Dims,
): GradientPromise | undefined {
  const promise = rounding.gradient?.(model, dims);
  return promise && { logSums: rounding.logSums?.(model, dims), tiles: rounding.tiles?.(model, dims), ...promise };
}

/** The arithmetic of an execution's backward pass. */
export function gradientMachine({ rounding }: Execution, model: AnyAffineModel, dims: Dims): Accuracy {
  return accuracyOf({ ...rounding, accuracy: rounding.gradient?.(model, dims).accuracy ?? rounding.accuracy });
}

/** Gradients off by 2^−10. */
export function offGradients({ inputs, initialState }: GradientResult): GradientResult {
  const each = (values: Float32Array | Float64Array): Float32Array | Float64Array =>
    values.map((x) => x * (1 + 2 ** -10));
  return {
    inputs: Object.fromEntries(Object.entries(inputs).map(([name, values]) => [name, each(values)])),
    initialState: each(initialState),
  };
}
