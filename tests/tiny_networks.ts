/** Small networks of every kind, with parameters far from where training begins: what whole networks are checked on. */
import { initialParameters } from "../models/networks/parameters.ts";
import { type ParameterSpecs, type TokenNetwork } from "../models/networks/ops.ts";
import { seeded } from "../models/random.ts";
import type { PsmNetwork } from "../models/networks/psm_parts.ts";
import { transformerPsm, type TransformerPsmOptions } from "../models/networks/transformer_psm.ts";

/** Ids of every network here. A multiple of four, as all widths: kernels of matrix products are then few. */
export const VOCABULARY = 8;

/** A Transformer-PSM of one block each in Agg and Inf. */
export function tinyPsm(changes: Partial<TransformerPsmOptions> = {}): PsmNetwork {
  return transformerPsm({ vocabulary: VOCABULARY, d: 8, heads: 2, chunk: 2, aggLayers: 1, infLayers: 1, ...changes });
}

/** Numbers so large that no term is 0 and every matrix, gate and shift matters. */
export function drawnParameters(
  { parameters }: { readonly parameters: ParameterSpecs },
  seed = 1,
): { readonly [name: string]: Float32Array } {
  return Object.fromEntries(
    Object.entries(initialParameters(parameters, seed)).map(([name, array]) => {
      const random = seeded(seed, "shift", name);
      return [name, array.map((x) => x + random() - 0.5)];
    }),
  );
}

/** Seeded ids. */
export function tinyTokens({ vocabulary }: Pick<TokenNetwork, "vocabulary">, n: number, row = 0): Uint32Array {
  const random = seeded(5, "tokens", row);
  return Uint32Array.from({ length: n }, () => Math.floor(vocabulary * random()));
}
