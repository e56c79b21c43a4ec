/**
 * The position-wise half of a block: `x + down(gelu(up(norm(x))))`.
 *
 * @module
 */
import { joined, type Parameters, type ParameterSpecs, type TensorOps, under } from "./ops.ts";
import { normParameters, parameter, residualStd, weights, zeros } from "./parameters.ts";

/** Parameters of the MLP of one of `layers` blocks. */
export function mlpParameters(d: number, hidden: number, layers: number): ParameterSpecs {
  return {
    ...joined({ norm: normParameters(d) }),
    up: weights(d, hidden),
    upBias: zeros(hidden),
    down: weights(hidden, d, residualStd(layers)),
    downBias: zeros(d),
  };
}

/** `norm(x)`, by the gain and bias among the parameters. */
export function layerNorm<T, I>(ops: TensorOps<T, I>, p: Parameters<T>, x: T): T {
  return ops.layerNorm(x, parameter(p, "gain"), parameter(p, "bias"));
}

/** x `[…, d]` and what the MLP adds to it. */
export function mlp<T, I>(ops: TensorOps<T, I>, p: Parameters<T>, x: T, dropout: number): T {
  const normed = layerNorm(ops, under(p, "norm"), x);
  const inner = ops.map("gelu", ops.linear(normed, parameter(p, "up"), parameter(p, "upBias")));
  return ops.add(x, ops.dropout(ops.linear(inner, parameter(p, "down"), parameter(p, "downBias")), dropout));
}
