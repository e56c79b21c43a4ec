/**
 * What moves numbers and computes none.
 *
 * @module
 */
import { InputError } from "../models/error.ts";
import type { TensorOps } from "../models/networks/ops.ts";
import { filled, type IdArray, type NdArray, requireShapes, sameShape, sizeOf } from "./nd_array.ts";

/** The axis that `axis` names, a negative one counted from the last; throws where there is none. */
function axisOf(what: string, shape: readonly number[], axis: number): number {
  const place = axis < 0 ? shape.length + axis : axis;
  const named = Number.isInteger(axis) && place >= 0 && place < shape.length;
  requireShapes(what, named, `the axis must be one of the array's, not ${axis}`, shape);
  return place;
}

function checkRange(what: string, from: number, to: number, n: number): void {
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || to < from || to > n) {
    throw new InputError(`Cannot ${what}: a range must lie within 0 … ${n}, got ${from} … ${to}`);
  }
}

/** `embedding`, `reshape`, `transpose`, `slice`, `concat`, `take` and `repeat`. */
export function arrayMoves<N>(): Pick<
  TensorOps<NdArray<N>, IdArray>,
  "embedding" | "reshape" | "transpose" | "slice" | "concat" | "take" | "repeat"
> {
  return {
    embedding(table, ids) {
      requireShapes("embed", table.shape.length === 2, "the table must be [vocabulary, d]", table.shape);
      const [vocabulary, d] = table.shape as readonly [number, number];
      const bad = ids.data.find((id) => !Number.isSafeInteger(id) || id < 0 || id >= vocabulary);
      if (bad !== undefined) throw new InputError(`Cannot embed: ids must be whole and < ${vocabulary}, got ${bad}`);
      return filled([...ids.shape, d], (i) => table.data[ids.data[Math.floor(i / d)]! * d + i % d]!);
    },
    reshape(x, shape) {
      requireShapes(
        "reshape",
        sizeOf(shape) === sizeOf(x.shape),
        "both shapes must have as many entries",
        x.shape,
        shape,
      );
      return { shape: [...shape], data: x.data };
    },
    transpose(x) {
      requireShapes("transpose", x.shape.length === 2, "the array must be [n, m]", x.shape);
      const [n, m] = x.shape as readonly [number, number];
      return filled([m, n], (i) => x.data[i % n * m + Math.floor(i / n)]!);
    },
    slice(x, axis, from, to) {
      const place = axisOf("slice", x.shape, axis);
      const n = x.shape[place]!;
      checkRange("slice", from, to, n);
      const inner = sizeOf(x.shape.slice(place + 1));
      const part = (to - from) * inner;
      return filled(
        x.shape.map((size, i) => i === place ? to - from : size),
        (i) => x.data[Math.floor(i / part) * n * inner + from * inner + i % part]!,
      );
    },
    concat(parts, axis) {
      const [first] = parts;
      if (first === undefined) throw new InputError("Cannot concatenate: at least one array is needed, got none");
      const place = axisOf("concatenate", first.shape, axis);
      const without = (shape: readonly number[]): number[] => shape.toSpliced(place, 1);
      for (const { shape } of parts) {
        const fits = shape.length === first.shape.length && sameShape(without(shape), without(first.shape));
        requireShapes("concatenate", fits, `shapes must agree but for axis ${place}`, first.shape, shape);
      }
      const outer = sizeOf(first.shape.slice(0, place));
      const data: N[] = [];
      for (let o = 0; o < outer; o++) {
        for (const part of parts) {
          const block = sizeOf(part.shape.slice(place));
          for (let i = 0; i < block; i++) data.push(part.data[o * block + i]!);
        }
      }
      const length = parts.reduce((sum, { shape }) => sum + shape[place]!, 0);
      return { shape: first.shape.with(place, length), data };
    },
    take(sources, rows) {
      const [first] = sources;
      if (first === undefined) throw new InputError("Cannot take rows: at least one array is needed, got none");
      const inner = first.shape.slice(1);
      for (const { shape } of sources) {
        requireShapes(
          "take rows",
          shape.length >= 1 && sameShape(shape.slice(1), inner),
          "sources must agree but for their first axis",
          first.shape,
          shape,
        );
      }
      const row = sizeOf(inner);
      const data: N[] = [];
      let taken = 0;
      for (const { source, from, count } of rows) {
        const array = sources[source];
        if (array === undefined) {
          throw new InputError(`Cannot take rows: there are ${sources.length} sources, got number ${source}`);
        }
        checkRange("take rows", from, from + count, array.shape[0]!);
        for (let i = from * row; i < (from + count) * row; i++) data.push(array.data[i]!);
        taken += count;
      }
      return { shape: [taken, ...inner], data };
    },
    repeat(x, count) {
      const size = sizeOf(x.shape);
      return filled([count, ...x.shape], (i) => x.data[i % size]!);
    },
  };
}
