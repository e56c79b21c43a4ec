/** What a matrix product is on given tensors, once its shapes are checked. */

import { InputError } from "../../models/error.ts";
import { assertShape, lengthOf, Tensor } from "../tensor.ts";

/** Batches of matrices as they lie: `[batches, outer, inner]`, the last axis contiguous. */
export interface Side {
  readonly tensor: Tensor;
  readonly outer: number;
  readonly inner: number;
  /** Whether every batch has a matrix of its own. */
  readonly batched: boolean;
  /** Whether the last axis is the one that is summed over. */
  readonly along: boolean;
}

/** `C[M, N] = A[M, K] · B[K, N]`, a number of times. */
export interface Problem {
  readonly batches: number;
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly a: Side;
  readonly b: Side;
  /** `[batches, M, N]`. */
  readonly c: Tensor;
  /** `[N]`, added to every row. */
  readonly bias: Tensor | undefined;
}

export interface MatmulTensors {
  /** `[…, M, K]`, or `[…, K, M]` with `transposeA`. */
  readonly a: Tensor;
  /** `[…, K, N]`, or `[…, N, K]` with `transposeB`; one `[K, N]` serves every batch. */
  readonly b: Tensor;
  /** `[…, M, N]`. */
  readonly c: Tensor;
  /** `[N]`, f32: added to every row of the product, once that is rounded to f32. */
  readonly bias?: Tensor;
}

export interface Transposes {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

/** Throws an {@link InputError} if the shapes do not fit each other. */
export function problemOf(
  { a, b, c, bias }: MatmulTensors,
  { transposeA = false, transposeB = false }: Transposes,
): Problem {
  for (const [name, tensor] of Object.entries({ a, b, c })) {
    if (tensor.shape.length >= 2) continue;
    throw new InputError(`Cannot multiply: ${name} must have at least 2 axes, got [${tensor.shape.join(", ")}]`);
  }
  if ([a, b, bias].some((input) => input?.buffer === c.buffer)) {
    throw new InputError("Cannot multiply: c must be a buffer of its own, got one of a's, b's or the bias's");
  }
  const [outerA, innerA] = a.shape.slice(-2) as [number, number];
  const [outerB, innerB] = b.shape.slice(-2) as [number, number];
  const [M, K] = transposeA ? [innerA, outerA] : [outerA, innerA];
  const N = transposeB ? outerB : innerB;
  const batch = a.shape.slice(0, -2);
  const shared = b.shape.length === 2;
  assertShape("b", b, [...(shared ? [] : batch), ...(transposeB ? [N, K] : [K, N])]);
  assertShape("c", c, [...batch, M, N]);
  if (bias !== undefined) assertShape("bias", bias, [N]);
  if (bias?.dtype === "f16") throw new InputError("Cannot multiply: bias must be f32, got f16");
  const batches = lengthOf(batch);
  // Rows of all batches are rows of one matrix where all meet the same B.
  const folded = shared && !transposeA;
  const matrices = folded ? [1, batches * M] as const : [batches, M] as const;
  return {
    batches: matrices[0],
    M: matrices[1],
    N,
    K,
    c: new Tensor(c.gpu, c.buffer, [...matrices, N], c.dtype),
    a: { tensor: a, outer: folded ? batches * outerA : outerA, inner: innerA, batched: true, along: !transposeA },
    b: { tensor: b, outer: outerB, inner: innerB, batched: !shared, along: transposeB },
    bias,
  };
}
