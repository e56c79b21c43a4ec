/**
 * The golden vectors as calls of this kit, through the converters.
 *
 * @module
 */
import { type Call, fla, mamba, mlstmKernels, type NdArray } from "../models/convert/mod.ts";
import data from "./golden/peers_small.json" with { type: "json" };

interface Golden {
  readonly inputs: { readonly [name: string]: NdArray };
  readonly outputs: { readonly [name: string]: NdArray };
}

/** One golden vector: the call that means the same, and what the reference returned. */
export interface GoldenCall {
  readonly op: string;
  readonly call: Call;
  readonly expected: { readonly [name: string]: NdArray };
}

// The converters check shapes and names; what is missing would be undefined and fail there.
// deno-lint-ignore no-explicit-any -- golden inputs are named as the converters name them
const converters: { readonly [op: string]: (inputs: any) => Call } = {
  linear_attention: fla.linearAttention,
  linear_attention_normalized: fla.linearAttentionNormalized,
  retnet: fla.retention,
  gla: fla.gla,
  simple_gla: fla.simpleGla,
  hgrn: fla.hgrn,
  rwkv6: fla.rwkv6,
  delta_net: fla.deltaRule,
  gated_delta_net: fla.gatedDeltaRule,
  kda: fla.kda,
  gated_delta_product: (inputs) => fla.gatedDeltaProduct({ ...inputs, steps: 2, scale: 1 }),
  mamba_s6: ({ delta_bias, ...inputs }) => mamba.selectiveScan({ ...inputs, deltaBias: delta_bias }),
  mamba2_ssd: mamba.ssdMinimalDiscrete,
  mlstm: (inputs) => mlstmKernels.mlstm({ ...inputs, layout: "BTHD" }),
};

/** All fourteen, in the file's order. */
export const goldenCalls: readonly GoldenCall[] = Object.entries(data as { readonly [op: string]: Golden }).map(
  ([op, { inputs, outputs }]) => {
    const convert = converters[op];
    if (convert === undefined) throw new Error(`Cannot convert golden vector ${op}: no converter`);
    return { op, call: convert(inputs), expected: outputs };
  },
);
