/**
 * Arrays with a shape, and the conversions that any two conventions need: axis order, scale, plain and log gates.
 *
 * @module
 */
import { InputError } from "../error.ts";

/** A row-major array. */
export interface NdArray {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** Moves axes: axis i of the result is axis `order[i]` of `x`. */
export function permute({ shape, data }: NdArray, order: readonly number[]): NdArray {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, n) => product * n, 1));
  const target = order.map((axis) => shape[axis]!);
  const moved = order.map((axis) => strides[axis]!);
  const out = new Float64Array(data.length);
  const position = new Array<number>(target.length).fill(0);
  let from = 0;
  for (let i = 0; i < out.length; i++) {
    out[i] = data[from]!;
    for (let axis = target.length - 1; axis >= 0; axis--) {
      from += moved[axis]!;
      if (++position[axis]! < target[axis]!) break;
      from -= moved[axis]! * target[axis]!;
      position[axis] = 0;
    }
  }
  return { shape: target, data: out };
}

/** Exchanges the second and the third axis: `[B, H, T, …]` ↔ `[B, T, H, …]`. */
export function swapHeadsAndTime(x: NdArray): NdArray {
  return permute(x, x.shape.map((_, axis) => axis === 1 ? 2 : axis === 2 ? 1 : axis));
}

/** Exchanges the last two axes: `[B, D, L]` ↔ `[B, L, D]`, `[…, V, K]` ↔ `[…, K, V]`. */
export function swapLastTwo(x: NdArray): NdArray {
  const n = x.shape.length;
  return permute(x, x.shape.map((_, axis) => axis === n - 2 ? n - 1 : axis === n - 1 ? n - 2 : axis));
}

/** Every number through `f`. */
export function mapped({ shape, data }: NdArray, f: (x: number, i: number) => number): NdArray {
  return { shape, data: Float64Array.from(data, f) };
}

/** Plain gates in [0, 1] as log gates; 0 becomes −∞, which the contract of a log gate clamps. */
export function toLogGates(gates: NdArray): NdArray {
  return mapped(gates, Math.log);
}

/** Log gates as plain ones. */
export function toPlainGates(logGates: NdArray): NdArray {
  return mapped(logGates, Math.exp);
}

/**
 * A query for a model that multiplies it by K^−1/2, from one that the upstream multiplies by `scale` (its default is
 * K^−1/2 too, and then nothing happens). K is the last axis.
 */
export function queryOf(q: NdArray, scale?: number): NdArray {
  return scale === undefined ? q : mapped(q, (x) => x * scale * Math.sqrt(q.shape.at(-1)!));
}

/** A query for a model without a scale, from one that the upstream multiplies by `scale`. */
export function scaledQuery(q: NdArray, scale: number): NdArray {
  return mapped(q, (x) => x * scale);
}

/** Throws an {@link InputError} unless `x` has this shape. */
export function expectShape(op: string, name: string, x: NdArray, shape: readonly number[]): void {
  const length = shape.reduce((product, n) => product * n, 1);
  if (x.shape.length !== shape.length || shape.some((n, axis) => x.shape[axis] !== n) || x.data.length !== length) {
    throw new InputError(
      `Cannot convert ${op}: ${name} must have shape [${shape.join(", ")}], got [${x.shape.join(", ")}] and ` +
        `${x.data.length} numbers`,
    );
  }
}
