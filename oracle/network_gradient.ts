/**
 * The loss of a network in f64 and its slopes in given directions, by dual numbers: what a gradient is held to.
 *
 * @module
 */
import type { Analytic } from "../models/arith.ts";
import { InputError } from "../models/error.ts";
import { f64 } from "../models/number.ts";
import { headOf } from "../models/networks/head.ts";
import type { TokenNetwork } from "../models/networks/ops.ts";
import type { TokenBatch } from "../models/networks/training.ts";
import { arrayOps } from "./array_ops.ts";
import { constant, type Dual, dual } from "./dual.ts";
import { arrayOf, type NdArray, sizeOf } from "./nd_array.ts";

/** Numbers of each parameter, by name. */
export type ParameterValues = { readonly [name: string]: ArrayLike<number> };

function lossOver<N>(
  A: Analytic<N>,
  network: TokenNetwork,
  parameters: { readonly [name: string]: NdArray<N> },
  { B, n, tokens, targets, weights }: TokenBatch,
): N {
  const ops = arrayOps(A);
  const ids = (data: ArrayLike<number>): NdArray<number> => arrayOf(data, [B, n]);
  const hidden = network.hidden(ops, parameters, ids(tokens));
  const weighted = arrayOf(Array.from(weights, (w) => A.of(w)), [B, n]);
  return ops.crossEntropy(hidden, headOf(network, ops, parameters), ids(targets), weighted).data[0]!;
}

function arraysOf<N>(
  network: TokenNetwork,
  values: ParameterValues,
  entry: (name: string, value: number, i: number) => N,
): { [name: string]: NdArray<N> } {
  return Object.fromEntries(
    Object.entries(network.parameters).map(([name, { shape }]) => {
      const given = values[name];
      if (given?.length !== sizeOf(shape)) {
        throw new InputError(
          `Cannot run ${network.name}: ${name} has ${sizeOf(shape)} numbers, got ${given?.length ?? 0}`,
        );
      }
      return [name, arrayOf(Array.from(given, (value, i) => entry(name, value, i)), shape)];
    }),
  );
}

/** `Σ w·(−log p[target]) / Σ w` of a batch, without dropout. */
export function networkLoss(network: TokenNetwork, parameters: ParameterValues, batch: TokenBatch): number {
  return lossOver(f64, network, arraysOf(network, parameters, (_, value) => value), batch);
}

/** The loss and `d/dε loss(parameters + ε·direction)` for each direction, in one run; a name left out does not move. */
export function networkSlopes(
  network: TokenNetwork,
  parameters: ParameterValues,
  directions: readonly ParameterValues[],
  batch: TokenBatch,
): { readonly loss: number; readonly slopes: readonly number[] } {
  const moved = arraysOf(network, parameters, (name, value, i): Dual<number> => {
    const indices: number[] = [];
    const partials: number[] = [];
    directions.forEach((direction, index) => {
      const partial = direction[name]?.[i] ?? 0;
      if (partial === 0) return;
      indices.push(index);
      partials.push(partial);
    });
    return indices.length === 0 ? constant(value) : { value, indices, partials };
  });
  const loss = lossOver(dual(f64, Math.sign), network, moved, batch);
  const slopes = directions.map((_, index) => loss.partials[loss.indices.indexOf(index)] ?? 0);
  return { loss: loss.value, slopes };
}

/** The slope that a gradient claims in a direction: the sum of their products. */
export function slopeOf(gradient: ParameterValues, direction: ParameterValues): number {
  let slope = 0;
  for (const [name, step] of Object.entries(direction)) {
    for (let i = 0; i < step.length; i++) slope += step[i]! * (gradient[name]?.[i] ?? 0);
  }
  return slope;
}
