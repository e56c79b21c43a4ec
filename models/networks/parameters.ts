/**
 * How the parameters of a network are named, begin and are looked up.
 *
 * @module
 */
import { InputError } from "../error.ts";
import { fillNormal } from "../normals.ts";
import type { Initial, Parameters, ParameterSpec, ParameterSpecs } from "./ops.ts";
import { seededBits } from "../random.ts";

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

/** Numbers of a piece. */
const PIECE = 1 << 20;

/** Fills a piece whose first number is number `from`. */
function fill(piece: Float32Array, from: number, initial: Initial, bits: () => number): void {
  switch (initial.kind) {
    case "zeros":
      piece.fill(0);
      break;
    case "ones":
      piece.fill(1);
      break;
    case "normal":
      fillNormal(piece, initial.std, bits);
      break;
    case "values":
      for (let i = 0; i < piece.length; i++) piece[i] = initial.values[(from + i) % initial.values.length]!;
  }
}

/**
 * What a parameter begins with, piece by piece: the same for the same seed and name on every runtime, whatever else there
 * is. A piece is good until the next is asked for: fresh memory costs more than the numbers.
 */
export function* initialPieces(name: string, { shape, initial }: ParameterSpec, seed: number): Generator<Float32Array> {
  const length = shape.reduce((product, n) => product * n, 1);
  const bits = seededBits(seed, "parameter", name);
  const piece = new Float32Array(Math.min(length, PIECE));
  for (let from = 0; from < length; from += PIECE) {
    const part = piece.subarray(0, length - from);
    fill(part, from, initial, bits);
    yield part;
  }
}

/** What all parameters begin with. */
export function initialParameters(specs: ParameterSpecs, seed: number): { [name: string]: Float32Array } {
  return Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => {
      const numbers = new Float32Array(spec.shape.reduce((product, n) => product * n, 1));
      let from = 0;
      for (const piece of initialPieces(name, spec, seed)) {
        numbers.set(piece, from);
        from += piece.length;
      }
      return [name, numbers];
    }),
  );
}
