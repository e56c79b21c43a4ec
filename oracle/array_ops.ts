/**
 * The reference instance of `TensorOps`: naive loops over arrays of numbers of any algebra. In f64 it says what a network
 * computes, over dual numbers what its derivatives are; kernels are held to it.
 *
 * Every entry of a result is computed by itself, in an order that depends only on its own operands: results for one row of
 * a batch, or one token, are bit for bit those of the row or token alone.
 *
 * @module
 */
import type { Analytic } from "../models/arith.ts";
import type { TensorOps } from "../models/networks/ops.ts";
import { arrayAttention } from "./_array_attention.ts";
import { arrayAttentionNext } from "./_array_attention_next.ts";
import { arrayEntries } from "./_array_entries.ts";
import { arrayCrossEntropy } from "./_array_loss.ts";
import { arrayMoves } from "./_array_moves.ts";
import { arrayNorms } from "./_array_norms.ts";
import { arrayProducts } from "./_array_products.ts";
import { arrayScan } from "./_array_scan.ts";
import type { IdArray, NdArray } from "./nd_array.ts";

/** Operations on arrays of the numbers of `A`. Dropout leaves everything. */
export function arrayOps<N>(A: Analytic<N>): TensorOps<NdArray<N>, IdArray> {
  return {
    shape: (x) => x.shape,
    idsShape: (ids) => ids.shape,
    ...arrayProducts(A),
    ...arrayEntries(A),
    ...arrayNorms(A),
    attention: (q, k, v, options) => arrayAttention(A, q, k, v, options),
    attentionNext: (tokens, cache, count, options) => arrayAttentionNext(A, tokens, cache, count, options),
    ...arrayMoves<N>(),
    scan: (model, inputs) => arrayScan(A, model, inputs).outputs,
    scanFrom: (model, inputs, state) => arrayScan(A, model, inputs, state),
    crossEntropy: (x, head, targets, weights) => arrayCrossEntropy(A, x, head, targets, weights),
  };
}
