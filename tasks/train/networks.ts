/**
 * The networks that can be trained, by name.
 *
 * @module
 */
import { decayAggregator } from "../../models/decay_aggregator.ts";
import { InputError } from "../../models/error.ts";
import { gatedMlpAggregator } from "../../models/gated_mlp_aggregator.ts";
import type { ChunkAggregator, PsmNetwork } from "../../models/psm_network.ts";
import type { ResumableNetwork } from "../../models/resumable.ts";
import { gpt2, slidingWindow } from "../../models/transformer.ts";
import { transformerPsm } from "../../models/transformer_psm.ts";
import type { ModelSetup } from "./setup.ts";

/** A network's sizes as it takes them. */
export interface NetworkContext {
  readonly vocabulary: number;
  /** Longest sequence of the run. */
  readonly longest: number;
}

/** Trains on the CPU, and is no `TokenNetwork`. */
export const CONTROL = "bigram";

type Sizes = ModelSetup["sizes"];
type Build = (sizes: Sizes, context: NetworkContext) => PsmNetwork | ResumableNetwork;

function psm(
  { d, heads, layers, aggLayers, agg, chunk, dropout }: Sizes,
  { vocabulary }: NetworkContext,
  own?: ChunkAggregator,
): PsmNetwork {
  const mask = own ?? agg;
  return transformerPsm({
    vocabulary,
    d,
    heads,
    chunk,
    aggLayers,
    infLayers: layers,
    dropout,
    ...(mask === undefined ? {} : { agg: mask }),
  });
}

const builders: { readonly [name: string]: Build } = {
  "t-psm": psm,
  "t-psm-gated-mlp": (sizes, context) => psm(sizes, context, gatedMlpAggregator(sizes)),
  "t-psm-decay": (sizes, context) => psm(sizes, context, decayAggregator(sizes)),
  gpt2: ({ d, heads, layers, dropout }, { vocabulary, longest }) =>
    gpt2({ vocabulary, d, heads, layers, dropout, context: longest }),
  // As many keys as Inf of a Transformer-PSM sees: prefix and chunk.
  "sliding-window": ({ d, heads, layers, chunk, dropout }, { vocabulary }) =>
    slidingWindow({ vocabulary, d, heads, layers, dropout, window: 2 * chunk }),
};

/** All names, the control last. */
export const modelNames: readonly string[] = [...Object.keys(builders), CONTROL];

/** Whether a network works in chunks. */
export function chunkOf({ name, sizes }: ModelSetup): number | undefined {
  return name.startsWith("t-psm") ? sizes.chunk : undefined;
}

/** The network of a setup; undefined for the control. Throws an {@link InputError} in one line. */
export function networkOf(
  { name, sizes }: ModelSetup,
  context: NetworkContext,
): PsmNetwork | ResumableNetwork | undefined {
  if (name === CONTROL) return undefined;
  const build = builders[name];
  if (build === undefined) {
    throw new InputError(`Cannot train ${name}: the models are ${modelNames.join(", ")}`);
  }
  return build(sizes, context);
}
