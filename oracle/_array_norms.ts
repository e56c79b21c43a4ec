/**
 * Normalisation along the last axis.
 *
 * @module
 */
import type { Analytic } from "../models/arith.ts";
import type { TensorOps } from "../models/networks/ops.ts";
import { type IdArray, type NdArray, requireShapes, rowOf, rowsOf, sameShape } from "./nd_array.ts";

/** `layerNorm`, `rmsNorm` and `unitNorm`. */
export function arrayNorms<N>(
  A: Analytic<N>,
): Pick<TensorOps<NdArray<N>, IdArray>, "layerNorm" | "rmsNorm" | "unitNorm"> {
  const byRow = (x: NdArray<N>, row: (values: readonly N[]) => readonly N[]): NdArray<N> => ({
    shape: x.shape,
    data: Array.from({ length: rowsOf(x.shape).count }, (_, r) => row(rowOf(x, r))).flat() as N[],
  });
  const sum = (values: readonly N[]): N => A.sum(values.length, (i) => values[i as number]!);
  const squares = (values: readonly N[]): N => sum(values.map((v) => A.mul(v, v)));
  const mean = (values: readonly N[], total: N): N => A.div(total, A.of(values.length));
  const fit = (what: string, x: NdArray<N>, vector: NdArray<N> | undefined): void => {
    if (vector === undefined) return;
    const { width } = rowsOf(x.shape);
    requireShapes(what, sameShape(vector.shape, [width]), `gain and bias must be [${width}]`, vector.shape);
  };
  return {
    layerNorm(x, gain, bias, epsilon = 1e-5) {
      fit("normalise", x, gain);
      fit("normalise", x, bias);
      return byRow(x, (values) => {
        const middle = mean(values, sum(values));
        const centred = values.map((v) => A.sub(v, middle));
        const deviation = A.sqrt(A.add(mean(values, squares(centred)), A.of(epsilon)));
        return centred.map((v, i) => {
          const scaled = A.mul(A.div(v, deviation), gain.data[i]!);
          return bias === undefined ? scaled : A.add(scaled, bias.data[i]!);
        });
      });
    },
    rmsNorm(x, gain, epsilon = 1e-5) {
      fit("normalise", x, gain);
      return byRow(x, (values) => {
        const size = A.sqrt(A.add(mean(values, squares(values)), A.of(epsilon)));
        return values.map((v, i) => A.mul(A.div(v, size), gain.data[i]!));
      });
    },
    unitNorm: (x, epsilon = 1e-12) =>
      byRow(x, (values) => {
        const size = A.sqrt(A.add(squares(values), A.of(epsilon)));
        return values.map((v) => A.div(v, size));
      }),
  };
}
