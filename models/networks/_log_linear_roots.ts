/**
 * Log-linear attention one token at a time: the counter's roots, each with a flag that says whether it is there, so that every
 * token is the same text of operations. An increment is carried out on the flags.
 *
 * @module
 */
import type { Projected, Widen } from "./_log_linear_inputs.ts";
import type { TensorOps } from "./ops.ts";

/** One token `[B, H, w]` after the roots of `state`: `[S_0, there_0, S_1, …]`, `[B, H, K, V]` each. */
export function byRoots<T, I>(
  ops: TensorOps<T, I>,
  { q, k, v, g, lambda }: Projected<T>,
  state: readonly T[],
  levels: number,
  wide: Widen<T>,
): { readonly output: T; readonly state: readonly T[] } {
  const [B, H, K] = ops.shape(q) as [number, number, number];
  const V = ops.shape(v)[2]!;
  const written = ops.matmul(ops.reshape(k, [B, H, K, 1]), ops.reshape(v, [B, H, 1, V]));
  const nothing = ops.affine(written, 0);
  const not = (flag: T): T => ops.affine(flag, -1, 1);
  const read = (S: T, level: number): T =>
    ops.mul(
      ops.reshape(ops.matmul(ops.reshape(q, [B, H, 1, K]), S), [B, H, V]),
      wide(ops.slice(lambda, -1, level, level + 1), V),
    );
  const decay = ops.reshape(wide(ops.map("exp", g), K * V), [B, H, K, V]);
  let output = read(written, 0);
  let carried = written;
  let carry = not(nothing);
  const next: T[] = [];
  for (let j = 0; j < levels - 1; j++) {
    const root = ops.mul(state[2 * j] ?? nothing, decay);
    const there = state[2 * j + 1] ?? nothing;
    // A root that is not there is 0.
    output = ops.add(output, read(root, j + 1));
    const both = ops.mul(carry, there);
    const placed = ops.add(carry, ops.affine(both, -1));
    const stays = not(carry);
    next.push(
      ops.add(ops.mul(placed, carried), ops.mul(stays, root)),
      ops.add(placed, ops.mul(stays, there)),
    );
    carried = ops.add(carried, root);
    carry = both;
  }
  return { output, state: next };
}
