/**
 * Log-linear attention over a whole sequence, level by level: in every pair of neighbouring blocks of 2^j tokens, the tokens
 * of the right one read all of the left one with their weight for blocks of that size. The decay between them is split at the
 * end of the left block, `e^{G_t − G_m} · e^{G_m − G_s}` with G the sum of the log decays, so that no exponent is positive.
 *
 * @module
 */
import type { Projected, Widen } from "./_log_linear_inputs.ts";
import { linearRecurrence } from "../linear_recurrence.ts";
import type { TensorOps } from "./ops.ts";

/** Outputs `[B·H, N, V]` of whole sequences of N = 2^m tokens of inputs `[B·H, N, w]`. */
export function byLevel<T, I>(
  ops: TensorOps<T, I>,
  { q, k, v, g, lambda }: Projected<T>,
  wide: Widen<T>,
): T {
  const [BH, N, K] = ops.shape(q) as [number, number, number];
  const V = ops.shape(v)[2]!;
  const level = (i: number): T => ops.slice(lambda, -1, i, i + 1);
  const [q1, k1] = [q, k].map((x) => ops.reshape(x, [BH * N, 1, K])) as [T, T];
  const own = ops.mul(ops.reshape(ops.matmul(q1, k1, { transposeB: true }), [BH, N, 1]), level(0));
  let output = ops.mul(wide(own, V), v);
  // A sum over all tokens before: the linear recurrence whose gate is 1.
  const G = ops.reshape(
    ops.scan(linearRecurrence, {
      a: ops.reshape(ops.affine(g, 0, 1), [BH, N, 1, 1]),
      b: ops.reshape(g, [BH, N, 1, 1]),
    }),
    [BH, N, 1],
  );
  for (let j = 0, c = 1; 2 * c <= N; j++, c *= 2) {
    const pairs = BH * N / (2 * c);
    const half = (x: T, side: 0 | 1): T =>
      ops.slice(ops.reshape(x, [pairs, 2 * c, ops.shape(x)[2]!]), 1, side * c, side * c + c);
    const middle = ops.reshape(wide(ops.reshape(ops.slice(half(G, 0), 1, c - 1, c), [pairs, 1]), c), [pairs, c, 1]);
    const less = (x: T, y: T): T => ops.map("exp", ops.add(x, ops.affine(y, -1)));
    const written = ops.mul(half(v, 0), wide(less(middle, half(G, 0)), V));
    const scores = ops.matmul(half(q, 1), half(k, 0), { transposeB: true });
    const factor = ops.mul(less(half(G, 1), middle), half(level(j + 1), 1));
    const read = ops.mul(ops.matmul(scores, written), wide(factor, V));
    output = ops.add(output, ops.reshape(ops.concat([ops.affine(read, 0), read], 1), [BH, N, V]));
  }
  return output;
}
