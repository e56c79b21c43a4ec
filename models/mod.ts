/** The only lists of models: a new model is its file and one line here. */
import type { AnyAffineModel, Paper } from "./affine.ts";
import { deltaNet } from "./delta_net.ts";
import { deltaProduct } from "./delta_product.ts";
import { gatedDeltaNet } from "./gated_delta_net.ts";
import { gatedRfa } from "./gated_rfa.ts";
import { gla } from "./gla.ts";
import { hgrn } from "./hgrn.ts";
import { hgrn2 } from "./hgrn2.ts";
import { kda } from "./kda.ts";
import { linearAttention } from "./linear_attention.ts";
import { linearAttentionNormalised } from "./linear_attention_normalised.ts";
import { linearRecurrence } from "./linear_recurrence.ts";
import { logLinearLayer } from "./networks/log_linear_layer.ts";
import { mamba2 } from "./mamba2.ts";
import { minGru } from "./min_gru.ts";
import { minLstm } from "./min_lstm.ts";
import { mlstm } from "./mlstm.ts";
import { qrnn } from "./qrnn.ts";
import { retnet } from "./retnet.ts";
import { rgLru } from "./rg_lru.ts";
import { rwkv6 } from "./rwkv6.ts";
import { rwkv7 } from "./rwkv7.ts";
import { s4d } from "./s4d.ts";
import { s6 } from "./s6.ts";
import type { LayerSizes, SequenceLayer } from "./networks/sequence_layer.ts";
import { sru } from "./sru.ts";

export const models: readonly AnyAffineModel[] = [
  linearRecurrence,
  s4d,
  s6,
  hgrn,
  qrnn,
  sru,
  minGru,
  minLstm,
  rgLru,
  linearAttention,
  linearAttentionNormalised,
  retnet,
  mamba2,
  gatedRfa,
  mlstm,
  gla,
  hgrn2,
  rwkv6,
  deltaNet,
  gatedDeltaNet,
  deltaProduct,
  kda,
  rwkv7,
];

/** A model that no affine recurrence states. */
export interface NonAffineModel {
  readonly name: string;
  readonly paper: Paper;
  /** What a stream holds after n tokens. */
  readonly memory: string;
  /** As a layer of a language model, where it is one. */
  readonly layer?: (sizes: LayerSizes) => SequenceLayer;
}

export const nonAffineModels: readonly NonAffineModel[] = [
  {
    name: "t-psm",
    paper: {
      title: "Sequential-Parallel Duality in Prefix-Scannable Models",
      arxiv: "2506.10918",
      where: "section 4, the Transformer-PSM (transformer_psm.ts)",
    },
    memory: "O(c log(n/c))",
  },
  {
    name: "log-linear-attention",
    paper: { title: "Log-Linear Attention", arxiv: "2506.04761", where: "section 3 (log_linear_attention.ts)" },
    memory: "O(log n)",
    layer: logLinearLayer,
  },
  {
    name: "gpt2",
    paper: { title: "Attention Is All You Need", arxiv: "1706.03762", where: "softmax attention (transformer.ts)" },
    memory: "O(n)",
  },
  {
    name: "sliding-window",
    paper: {
      title: "Longformer: The Long-Document Transformer",
      arxiv: "2004.05150",
      where: "section 3.1, sliding window (transformer.ts)",
    },
    memory: "O(w)",
  },
];
