/** The only list of models: a new model is its file and one line here. */
import type { AnyAffineModel } from "./affine.ts";
import { deltaNet } from "./delta_net.ts";
import { gla } from "./gla.ts";
import { mlstm } from "./mlstm.ts";

export const models: readonly AnyAffineModel[] = [
  gla,
  mlstm,
  deltaNet,
];
