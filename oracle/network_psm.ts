/**
 * A prefix-scannable network as a {@link Psm} over f64 arrays, so that the judge of any such model (`checkPsm`) takes it too:
 * one token is an id, a summary an array, an output the vector of its token.
 *
 * @module
 */
import { f64 } from "../models/number.ts";
import { type Parameters, under } from "../models/networks/ops.ts";
import type { Psm } from "../models/psm.ts";
import { leavesOf, readOf } from "../models/networks/psm_network.ts";
import type { PsmNetwork } from "../models/networks/psm_parts.ts";
import { arrayOps } from "./array_ops.ts";
import { arrayOf, type NdArray } from "./nd_array.ts";

/** Parameters as arrays, from numbers by name. */
export function parameterArrays(
  { parameters }: Pick<PsmNetwork, "parameters">,
  values: { readonly [name: string]: ArrayLike<number> },
): Parameters<NdArray<number>> {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, { shape }]) => [name, arrayOf(values[name] ?? [], shape)]),
  );
}

/** The network's parts one chunk at a time: nothing of its own tree and batches. */
export function networkPsm(
  network: PsmNetwork,
  parameters: Parameters<NdArray<number>>,
): Psm<number, NdArray<number>, readonly number[]> {
  const ops = arrayOps(f64);
  const { d, enc, agg, inf } = network;
  const encoded = (tokens: readonly number[], from: number): NdArray<number> => {
    const embedded = enc.embed(ops, under(parameters, "enc"), arrayOf(tokens, [1, tokens.length]));
    return enc.place(ops, under(parameters, "enc"), embedded, from);
  };
  const seen = (prefix: NdArray<number>): NdArray<number> => readOf(ops, parameters, network, prefix);
  const vectors = ({ data }: NdArray<number>): (readonly number[])[] =>
    Array.from({ length: data.length / d }, (_, i) => data.slice(i * d, (i + 1) * d));
  return {
    name: network.name,
    chunk: network.chunk,
    enc: (chunk) => leavesOf(ops, parameters, network, encoded(chunk, 0)),
    agg: (earlier, later) => agg.combine(ops, under(parameters, "agg"), earlier, later),
    inf: (prefix, chunk) =>
      vectors(inf.whole(ops, under(parameters, "inf"), prefix && seen(prefix), encoded(chunk, 0))),
    open(prefix) {
      let cache = prefix === undefined ? [] : inf.seed(ops, under(parameters, "inf"), seen(prefix));
      let place = 0;
      return (token) => {
        const next = inf.append(ops, under(parameters, "inf"), cache, encoded([token], place++));
        cache = next.cache;
        return vectors(next.hidden)[0]!;
      };
    },
  };
}
