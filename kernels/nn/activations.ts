/** The activations of a network in WGSL, with their derivatives. */
import type { Activation } from "../../models/networks/ops.ts";

export interface ActivationText {
  /** Of `a`. */
  readonly value: string;
  /** The derivative at `a`, times the gradient `b`. */
  readonly pull: string;
}

/** 1 − σ(x) is written σ(−x), and 1 − tanh² as such, so that nothing cancels. */
export const activations: { readonly [name in Activation]: ActivationText } = {
  exp: { value: "ds_exp(a)", pull: "b * ds_exp(a)" },
  gelu: { value: "ds_gelu(a)", pull: "b * ds_gelu_slope(a)" },
  "log-sigmoid": { value: "-ds_softplus(-a)", pull: "b * ds_sigmoid(-a)" },
  relu: { value: "max(a, 0.0)", pull: "select(0.0, b, a > 0.0)" },
  sigmoid: { value: "ds_sigmoid(a)", pull: "b * ds_sigmoid(a) * ds_sigmoid(-a)" },
  silu: { value: "a * ds_sigmoid(a)", pull: "b * ds_silu_slope(a)" },
  softplus: { value: "ds_softplus(a)", pull: "b * ds_sigmoid(a)" },
  tanh: { value: "ds_tanh(a)", pull: "b * ds_sech2(a)" },
};
