/**
 * The truth of a gradient: forward-mode dual numbers through `gates`, `step` and `read`, over certified dyadics.
 * Nothing here knows of reverse mode.
 *
 * @module
 */
import { type AnyAffineModel, outputColumns } from "../models/affine.ts";
import type { Complex } from "../models/arith.ts";
import type { GradientOptions } from "../models/execution.ts";
import { lanesOf } from "../models/execution.ts";
import { type Batch, inputEntries, inputWidth, microSteps, stateLength, stateWidth } from "../models/inputs.ts";
import { type LaneState, readOut } from "../models/run.ts";
import { activate, type FieldValues, rawValues } from "../models/token.ts";
import { certified } from "./activations.ts";
import { constant, type Dual, dual, variable } from "./dual.ts";
import { type Dyadic, fromNumber, sign, toNumber } from "./dyadic.ts";
import { stepLanes, stepState } from "./run.ts";

/** One number that a gradient is taken with respect to: entry `index` of a sequence's input at a step, or of its state. */
export type Argument =
  | { readonly kind: "input"; readonly name: string; readonly step: number; readonly index: number }
  | { readonly kind: "parameter"; readonly name: string; readonly index: number }
  | { readonly kind: "state"; readonly index: number };

/**
 * ∂/∂argument of Σ dO·o + Σ dS·S_T for one sequence. For a scaled state dS is by s where S = s·2^m, pairs (λ, m); so is
 * the derivative by the initial state, with the exponent that it was given with.
 */
export function sequenceGradient(
  batch: Batch,
  b: number,
  h: number,
  initialState: ArrayLike<number>,
  cotangents: GradientOptions,
  wanted: readonly Argument[],
): number[] {
  const { model, dims, steps } = batch;
  const { sizes, T, H } = dims;
  const A = dual(certified, sign);
  const lift = (x: number): Dual<Dyadic> => constant(fromNumber(x));
  const numbers = new Map(wanted.map((argument, n) => [keyOf(argument), n]));
  const seeded = (key: string, value: Dyadic): Dual<Dyadic> => {
    const n = numbers.get(key);
    return n === undefined ? constant(value) : variable(certified, value, n);
  };
  const width = stateWidth(model);
  const initial: LaneState<Dual<Dyadic>> = lanesOf(initialState, model, dims, b, h).map((lane, l) =>
    lane.map((x, c) => seeded(keyOf({ kind: "state", index: l * width + c }), fromNumber(x)))
  );
  const rawOf = (s: number): FieldValues<Dual<Dyadic>> => {
    const values = rawValues(certified, batch, b, s, h);
    return Object.fromEntries(
      inputEntries(model).map(([name, spec]) => [
        name,
        values[name]!.map((x, index) =>
          seeded(
            keyOf(
              spec.per === "parameter" ? { kind: "parameter", name, index } : { kind: "input", name, step: s, index },
            ),
            x,
          )
        ),
      ]),
    );
  };
  let loss = A.of(0);
  const weigh = (weight: number, x: Dual<Dyadic>): void => {
    loss = A.add(loss, A.mul(lift(weight), x));
  };
  const n = microSteps(model);
  const columns = outputColumns(model, sizes);
  let state = initial;
  for (let s = 0; s < steps; s++) {
    const token = activate(A, model, sizes, rawOf(s));
    const after = stepLanes(A, model, sizes, token, state);
    if (s % n === n - 1) {
      const t = (s + 1) / n - 1;
      readOut(A, model, sizes, model.reads === "pre" ? state : after, token).forEach((o, v) =>
        weigh(cotangents.outputs[((b * T + t) * H + h) * columns + v]!, o)
      );
    }
    state = after;
  }
  if (cotangents.finalState !== undefined) {
    const start = (b * H + h) * stateLength(model, { ...dims, B: 1, H: 1 });
    (stepState(A, model, sizes, state) as unknown[][]).flat().forEach((entry, lane) => {
      const at = start + lane * width;
      if (model.action === "complex") {
        const { re, im } = entry as Complex<Dual<Dyadic>>;
        weigh(cotangents.finalState![at]!, re);
        weigh(cotangents.finalState![at + 1]!, im);
      } else {
        const exponent = model.action === "scaled" ? cotangents.finalState![at + 1]! : 0;
        weigh(cotangents.finalState![at]! * 2 ** -exponent, entry as Dual<Dyadic>);
      }
    });
  }
  const out = new Array<number>(wanted.length).fill(0);
  loss.indices.forEach((index, i) => out[index] = toNumber(loss.partials[i]!));
  return out;
}

function keyOf(argument: Argument): string {
  return argument.kind === "input"
    ? `${argument.name} ${argument.step} ${argument.index}`
    : argument.kind === "parameter"
    ? `${argument.name} ${argument.index}`
    : `state ${argument.index}`;
}

/** Every argument of one sequence that has a gradient: inputs at every step where they are given, parameters, the state. */
export function argumentsOf(batch: Batch): Argument[] {
  const { model, steps, dims: { sizes } } = batch;
  const n = microSteps(model);
  const given = (micro: "every" | "first" | "last" | undefined, s: number): boolean =>
    micro === undefined || micro === "every" || s % n === (micro === "first" ? 0 : n - 1);
  const inputs = inputEntries(model).flatMap(([name, spec]): Argument[] => {
    const indices = Array.from({ length: inputWidth(spec, sizes) }, (_, index) => index);
    if (spec.per === "parameter") return indices.map((index) => ({ kind: "parameter", name, index }));
    return Array.from({ length: steps }, (_, step) => step)
      .filter((step) => given(spec.micro, step))
      .flatMap((step) => indices.map((index): Argument => ({ kind: "input", name, step, index })));
  });
  const state = Array.from({ length: stateLength(model, { ...batch.dims, B: 1, H: 1 }) }, (_, index) => index)
    .filter((index) => model.action !== "scaled" || index % 2 === 0)
    .map((index): Argument => ({ kind: "state", index }));
  return [...inputs, ...state];
}

/** Where an argument's gradient is in an execution's result, for B = H = 1. */
export function argumentPlace(
  model: AnyAffineModel,
  batch: Batch,
  argument: Argument,
): { readonly name: string | undefined; readonly index: number } {
  if (argument.kind === "state") return { name: undefined, index: argument.index };
  const spec = batch.model.inputs[argument.name]!;
  const width = inputWidth(spec, batch.dims.sizes);
  if (argument.kind === "parameter") return { name: argument.name, index: argument.index };
  const every = spec.micro === undefined || spec.micro === "every";
  const row = every ? argument.step : Math.floor(argument.step / microSteps(model));
  return { name: argument.name, index: row * width + argument.index };
}
