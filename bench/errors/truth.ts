/**
 * Outputs and gradients of one sequence in f64, at lengths whose states do not fit in memory all at once: the same
 * text as `reference` and `backward`, with only the states that are needed.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import { outputColumns } from "../../models/affine.ts";
import { backwardSequence, gradientRow, readStep } from "../../models/backward.ts";
import { eachToken } from "../../models/execution.ts";
import { traceGradient } from "../../models/gradient.ts";
import {
  type Dims,
  inputEntries,
  type Inputs,
  inputWidth,
  microSteps,
  prepare,
  stateLength,
  stateWidth,
} from "../../models/inputs.ts";
import { f64 } from "../../models/number.ts";
import { type LaneState, readOut } from "../../models/run.ts";
import { rawValues } from "../../models/token.ts";
import { stepLanes } from "../../oracle/run.ts";

/** Steps between states that are kept for the backward pass. */
const SEGMENT = 256;

function zeroLanes(model: AnyAffineModel, dims: Dims): LaneState<number> {
  const width = stateWidth(model);
  return Array.from({ length: stateLength(model, dims) / width }, () => Array.from({ length: width }, () => 0));
}

/** The outputs `[T, columns]` of one sequence (B and H are 1) from zero, by `step` and `read`. */
export function trueOutputs64(model: AnyAffineModel, dims: Dims, inputs: Inputs): Float64Array {
  const batch = prepare(model, dims, inputs);
  const columns = outputColumns(model, dims.sizes);
  const n = microSteps(model);
  const out = new Float64Array(dims.T * columns);
  let state = zeroLanes(model, dims);
  let s = 0;
  for (const token of eachToken(f64, batch, 0, 0)) {
    const after = stepLanes(f64, model, dims.sizes, token, state);
    if ((s + 1) % n === 0) {
      out.set(
        readOut(f64, model, dims.sizes, model.reads === "pre" ? state : after, token),
        ((s + 1) / n - 1) * columns,
      );
    }
    state = after;
    s++;
  }
  return out;
}

/** Whether {@link trueGradients64} can: a shared exponent's cotangents cannot be handed on from part to part. */
export function hasGradients64(model: AnyAffineModel): boolean {
  return model.action !== "scaled";
}

/**
 * Gradients of Σ cotangent · o of one sequence (B and H are 1) from zero, by input: the stages of `backward`, part by
 * part from the end, each from the state it begins with.
 */
export function trueGradients64(
  model: AnyAffineModel,
  dims: Dims,
  inputs: Inputs,
  cotangents: Float64Array,
): { readonly [name: string]: Float64Array } {
  const batch = prepare(model, dims, inputs);
  const gradient = traceGradient(model, dims.sizes);
  const columns = outputColumns(model, dims.sizes);
  const outputs = new Map(
    Array.from({ length: dims.T }, (_, t) => [
      readStep(model, t),
      Array.from(cotangents.subarray(t * columns, (t + 1) * columns)),
    ]),
  );
  const starts = startingStates(model, dims, inputs);
  const out = Object.fromEntries(inputEntries(model).map(([name]) => [name, new Float64Array(inputs[name]!.length)]));
  let lambda: readonly number[] = Array.from(
    { length: starts[0]!.length / gradient.width * gradient.cotangents },
    () => 0,
  );
  for (let part = starts.length - 1; part >= 0; part--) {
    const from = part * SEGMENT;
    const length = Math.min(SEGMENT, batch.steps - from);
    const result = backwardSequence(
      f64,
      gradient,
      Array.from({ length }, (_, step) => rawValues(f64, batch, 0, from + step, 0)),
      starts[part]!,
      Array.from({ length }, (_, step) => outputs.get(from + step)),
      () => lambda,
    );
    lambda = result.initial;
    result.tokens.forEach((token, step) => {
      for (const [name, spec] of inputEntries(model)) {
        const row = gradientRow(batch, name, 0, from + step, 0);
        const width = inputWidth(spec, dims.sizes);
        if (row >= 0) token[name]!.forEach((value, n) => out[name]![row * width + n]! += value);
      }
    });
  }
  return out;
}

/** The state before every part, flat. */
function startingStates(model: AnyAffineModel, dims: Dims, inputs: Inputs): number[][] {
  const batch = prepare(model, dims, inputs);
  const starts: number[][] = [];
  let state = zeroLanes(model, dims);
  let s = 0;
  for (const token of eachToken(f64, batch, 0, 0)) {
    if (s % SEGMENT === 0) starts.push(state.flat());
    state = stepLanes(f64, model, dims.sizes, token, state);
    s++;
  }
  return starts;
}
