/**
 * How much of a sequence a backward pass takes at a time.
 *
 * @module
 */
import type { AnyAffineModel, InputSpec } from "../models/affine.ts";
import { InputError } from "../models/error.ts";
import { type Dims, inputEntries, inputWidth, microSteps } from "../models/inputs.ts";
import { CHUNK } from "./_backward_shader.ts";
import type { Gpu } from "./gpu.ts";

/**
 * Tokens of a slab: all, or whole chunks of steps, as many as fit `budget` bytes a batch row, at least one. `numbers`: of a
 * head's state. Throws an {@link InputError} where one chunk is more than the device can bind.
 */
export function slabTokens(
  gpu: Gpu,
  model: AnyAffineModel,
  { B, T, H, sizes }: Dims,
  numbers: number,
  budget: number,
): number {
  const n = microSteps(model);
  const step = inputEntries(model).reduce(
    (sum, [, spec]) => sum + (spec.per === "parameter" ? 0 : inputWidth(spec, sizes)),
    0,
  );
  const rowBytes = (tokens: number): number => 4 * H * Math.max((tokens * n + 1) * numbers, tokens * n * step);
  const limit = Math.min(gpu.limits.maxBufferSize, gpu.limits.maxStorageBufferBindingSize, 2 ** 32 - 4) / B;
  let unit = CHUNK;
  for (let two = n; two % 2 === 0 && unit > 1; two /= 2) unit /= 2;
  if (rowBytes(T) <= Math.min(budget, limit)) return T;
  if (rowBytes(unit) > limit) {
    throw new InputError(
      `Cannot run ${model.name} backward: the states of ${CHUNK} steps must be ≤ ${limit * B} bytes, got ${
        B * rowBytes(unit)
      }`,
    );
  }
  let units = 1;
  while (rowBytes((units + 1) * unit) <= Math.min(budget, limit)) units++;
  return units * unit;
}

/** Rows of the array that an input, and so its gradient, is given in. */
export function inputRows(model: AnyAffineModel, spec: InputSpec, { B, T, H }: Dims): number {
  if (spec.per === "parameter") return H;
  return B * T * H * (spec.micro === undefined || spec.micro === "every" ? microSteps(model) : 1);
}
