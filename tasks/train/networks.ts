/**
 * The networks that can be trained, by name.
 *
 * @module
 */
import { decayAggregator } from "../../models/networks/decay_aggregator.ts";
import { InputError } from "../../models/error.ts";
import { gatedMlpAggregator } from "../../models/networks/gated_mlp_aggregator.ts";
import { languageModel } from "../../models/networks/language_model.ts";
import { layerNames } from "../../models/networks/layer_presets.ts";
import { matchedWindow } from "../../models/networks/matched_compute.ts";
import type { PsmNetwork } from "../../models/networks/psm_parts.ts";
import type { ResumableNetwork } from "../../models/networks/resumable.ts";
import { gpt2, slidingWindow } from "../../models/networks/transformer.ts";
import { transformerPsm, type TransformerPsmOptions } from "../../models/networks/transformer_psm.ts";
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

/** What the Transformer-PSM of these sizes takes. */
function psmOptions(
  { d, heads, layers, aggLayers, agg, chunk, dropout, tied = false }: Sizes,
  { vocabulary }: NetworkContext,
): TransformerPsmOptions {
  return {
    vocabulary,
    d,
    heads,
    chunk,
    aggLayers,
    infLayers: layers,
    dropout,
    tied,
    ...(agg === undefined ? {} : { agg }),
  };
}

/** As many blocks as Agg and Inf have together. */
const blocks = ({ layers, aggLayers }: Sizes): number => layers + aggLayers;

const builders: { readonly [name: string]: Build } = {
  "t-psm": (sizes, context) => transformerPsm(psmOptions(sizes, context)),
  "t-psm-gated-mlp": (sizes, context) =>
    transformerPsm({ ...psmOptions(sizes, context), agg: gatedMlpAggregator(sizes) }),
  "t-psm-decay": (sizes, context) => transformerPsm({ ...psmOptions(sizes, context), agg: decayAggregator(sizes) }),
  gpt2: (sizes, { vocabulary, longest }) => {
    const { d, heads, dropout, tied = false } = sizes;
    return gpt2({ vocabulary, d, heads, layers: blocks(sizes), dropout, tied, context: longest });
  },
  // As many multiplications a token as the Transformer-PSM.
  "sliding-window": (sizes, context) => slidingWindow(matchedWindow(psmOptions(sizes, context))),
  ...Object.fromEntries(
    layerNames.map((layer): [string, Build] => [layer, (sizes, { vocabulary }) => {
      const { d, heads, dropout, tied = false } = sizes;
      return languageModel({ vocabulary, d, heads, layers: blocks(sizes), dropout, tied, layer });
    }]),
  ),
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
