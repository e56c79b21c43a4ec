/**
 * How the parameters of a network are named, begin and are looked up.
 *
 * @module
 */
import { normal } from "../domain.ts";
import { InputError } from "../error.ts";
import type { Initial, Parameters, ParameterSpec, ParameterSpecs } from "./ops.ts";
import { seeded } from "../random.ts";

/** The standard deviation that GPT-2's matrices begin with. */
const STD = 0.02;

/** A matrix `[from, to]`, normal with deviation `std` (0.02 unless told otherwise), subject to weight decay. */
export function weights(from: number, to: number, std: number = STD): ParameterSpec {
  return { shape: [from, to], initial: { kind: "normal", std }, decay: true };
}

/** The deviation of matrices that write to the residual stream of `layers` blocks, twice a block: 0.02 / √(2L). */
export function residualStd(layers: number): number {
  return STD / Math.sqrt(2 * layers);
}

/** A table of positions `[count, d]`, normal, without weight decay. */
export function positions(count: number, d: number): ParameterSpec {
  return { shape: [count, d], initial: { kind: "normal", std: STD }, decay: false };
}

/** A vector that begins at 0: a bias. */
export function zeros(n: number): ParameterSpec {
  return { shape: [n], initial: { kind: "zeros" }, decay: false };
}

/** A vector that begins at 1: a gain. */
export function ones(n: number): ParameterSpec {
  return { shape: [n], initial: { kind: "ones" }, decay: false };
}

/** A layer norm over d. */
export function normParameters(d: number): ParameterSpecs {
  return { gain: ones(d), bias: zeros(d) };
}

/** A parameter by its name; throws an {@link InputError} where there is none. */
export function parameter<T>(parameters: Parameters<T>, name: string): T {
  const value = parameters[name];
  if (value === undefined) {
    throw new InputError(
      `Cannot run a network: parameter ${name} is missing; given: ${Object.keys(parameters).join(", ")}`,
    );
  }
  return value;
}

function begun(initial: Initial, length: number, random: () => number): Float32Array {
  switch (initial.kind) {
    case "zeros":
      return new Float32Array(length);
    case "ones":
      return new Float32Array(length).fill(1);
    case "normal":
      return Float32Array.from({ length }, () => initial.std * normal(random));
    case "values":
      return Float32Array.from({ length }, (_, i) => initial.values[i % initial.values.length]!);
  }
}

/** What every parameter begins with: the same for the same seed and name, whatever else there is. */
export function initialParameters(specs: ParameterSpecs, seed: number): { [name: string]: Float32Array } {
  return Object.fromEntries(
    Object.entries(specs).map(([name, { shape, initial }]) => [
      name,
      begun(initial, shape.reduce((product, n) => product * n, 1), seeded(seed, "parameter", name)),
    ]),
  );
}
