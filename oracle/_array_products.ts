/**
 * Products of arrays, by their definition: every entry is one sum, from 0, in the order of its index.
 *
 * @module
 */
import type { Ring } from "../models/arith.ts";
import type { TensorOps } from "../models/networks/ops.ts";
import { filled, type IdArray, type NdArray, requireShapes, rowsOf, sameShape } from "./nd_array.ts";

/** `linear` and `matmul`. */
export function arrayProducts<N>(A: Ring<N>): Pick<TensorOps<NdArray<N>, IdArray>, "linear" | "matmul"> {
  return {
    linear(x, w, bias) {
      const { width: d } = rowsOf(x.shape);
      const e = w.shape[1] ?? 0;
      requireShapes(
        "apply linear",
        w.shape.length === 2 && w.shape[0] === d,
        "w must be [d, e], x […, d]",
        x.shape,
        w.shape,
      );
      if (bias !== undefined) {
        requireShapes("apply linear", sameShape(bias.shape, [e]), `bias must be [${e}]`, bias.shape);
      }
      return filled([...x.shape.slice(0, -1), e], (n) => {
        const [row, j] = [Math.floor(n / e), n % e];
        const sum = A.sum(d, (i) => A.mul(x.data[row * d + (i as number)]!, w.data[(i as number) * e + j]!));
        return bias === undefined ? sum : A.add(sum, bias.data[j]!);
      });
    },
    matmul(a, b, { transposeB = false } = {}) {
      const [n, d] = a.shape.slice(-2) as [number, number];
      const [inner, e] = (transposeB ? b.shape.slice(-2).reverse() : b.shape.slice(-2)) as [number, number];
      const leading = a.shape.slice(0, -2);
      const fits = a.shape.length >= 2 && inner === d && sameShape(leading, b.shape.slice(0, -2));
      requireShapes(
        "multiply",
        fits,
        `b must be […, ${transposeB ? "e, d" : "d, e"}] for a […, n, d]`,
        a.shape,
        b.shape,
      );
      return filled([...leading, n, e], (index) => {
        const [batch, i, j] = [Math.floor(index / (n * e)), Math.floor(index / e) % n, index % e];
        return A.sum(d, (k) => {
          const right = transposeB ? j * d + (k as number) : (k as number) * e + j;
          return A.mul(a.data[(batch * n + i) * d + (k as number)]!, b.data[batch * d * e + right]!);
        });
      });
    },
  };
}
