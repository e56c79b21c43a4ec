/**
 * What is done to every entry of an array by itself.
 *
 * @module
 */
import type { Analytic } from "../models/arith.ts";
import { silu } from "../models/activations.ts";
import type { Activation, TensorOps } from "../models/networks/ops.ts";
import { filled, type IdArray, type NdArray, requireShapes, sameShape, sizeOf } from "./nd_array.ts";

/** `add`, `mul`, `affine`, `map` and `dropout` (which leaves everything: this instance does not train). */
export function arrayEntries<N>(
  A: Analytic<N>,
): Pick<TensorOps<NdArray<N>, IdArray>, "add" | "mul" | "affine" | "map" | "dropout"> {
  const pairwise = (what: string, f: (a: N, b: N) => N) => (a: NdArray<N>, b: NdArray<N>): NdArray<N> => {
    const fits = sameShape(a.shape.slice(a.shape.length - b.shape.length), b.shape);
    requireShapes(what, fits && b.shape.length <= a.shape.length, "b must have the last axes of a", a.shape, b.shape);
    const period = sizeOf(b.shape);
    return filled(a.shape, (i) => f(a.data[i]!, b.data[i % period]!));
  };
  const functions: { readonly [P in Activation]: (x: N) => N } = {
    exp: (x) => A.exp(x),
    gelu: (x) => gelu(A, x),
    "log-sigmoid": (x) => A.neg(A.softplus(A.neg(x))),
    relu: (x) => A.atLeast(x, A.of(0), x, A.of(0)),
    sigmoid: (x) => A.sigmoid(x),
    silu: (x) => silu(A, x),
    softplus: (x) => A.softplus(x),
    tanh: (x) => tanh(A, x),
  };
  return {
    add: pairwise("add", A.add),
    mul: pairwise("multiply by entries", A.mul),
    affine: (x, factor, offset = 0) =>
      filled(x.shape, (i) => {
        const product = A.mul(A.of(factor), x.data[i]!);
        return offset === 0 ? product : A.add(product, A.of(offset));
      }),
    map: (activation, x) => filled(x.shape, (i) => functions[activation](x.data[i]!)),
    dropout: (x) => x,
  };
}

/** `0.5 x (1 + tanh u) = x σ(2u)`, `u = √(2/π) (x + 0.044715 x³)`. */
function gelu<N>(A: Analytic<N>, x: N): N {
  const cubic = A.add(x, A.mul(A.of(0.044715), A.mul(x, A.mul(x, x))));
  return A.mul(x, A.sigmoid(A.mul(A.of(2 * Math.sqrt(2 / Math.PI)), cubic)));
}

/** `tanh |x| = −e / (2 + e)` with `e = e^(−2|x|) − 1`: never overflows, never cancels. */
function tanh<N>(A: Analytic<N>, x: N): N {
  const e = A.expm1(A.mul(A.of(2), A.atLeast(x, A.of(0), A.neg(x), x)));
  const size = A.neg(A.div(e, A.add(A.of(2), e)));
  return A.atLeast(x, A.of(0), size, A.neg(size));
}
