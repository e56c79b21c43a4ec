/** The only list of models: a new model is its file and one line here. */
import type { AnyAffineModel } from "./affine.ts";
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
