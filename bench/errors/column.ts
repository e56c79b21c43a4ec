/**
 * One column of one head of a model. Columns of a state do not see one another, nor do heads, so the truth of one column
 * is that of a model with a single one: a truth at great lengths costs a small part of the whole state.
 *
 * @module
 */
import type { AnyAffineModel, Axis, Sizes } from "../../models/affine.ts";
import { type Dims, inputEntries, type Inputs } from "../../models/inputs.ts";

/** Which column of which head; the batch row is the first. */
export interface Place {
  readonly head: number;
  readonly column: number;
}

/** The axis that a model's outputs have: V, or D of an element-wise one. */
export function columnAxis(model: AnyAffineModel): Axis {
  return model.state.at(-1)!;
}

/** The extents of one column of one head. */
export function columnDims(model: AnyAffineModel, { T, sizes }: Dims): Dims {
  return { B: 1, T, H: 1, sizes: { ...sizes, [columnAxis(model)]: 1 } };
}

/** Numbers `[rows, H, …axes]` at one head and column: `[rows, …axes]` with an axis of one. */
export function columnOf<A extends Float32Array | Float64Array>(
  values: A,
  axes: readonly Axis[],
  own: Axis,
  H: number,
  sizes: Sizes,
  { head, column }: Place,
): A {
  const [first = 1, second = 1] = axes.map((axis) => sizes[axis]!);
  const width = first * second;
  const rows = values.length / (H * width);
  const keep = (axis: number, i: number): boolean => axes[axis] !== own || i === column;
  const offsets: number[] = [];
  for (let i = 0; i < first; i++) {
    for (let j = 0; j < second; j++) if (keep(0, i) && keep(1, j)) offsets.push(i * second + j);
  }
  const out = new (values.constructor as new (length: number) => A)(rows * offsets.length);
  for (let row = 0; row < rows; row++) {
    const start = (row * H + head) * width;
    offsets.forEach((offset, n) => out[row * offsets.length + n] = values[start + offset]!);
  }
  return out;
}

/** The inputs of one column of one head. */
export function columnInputs(
  model: AnyAffineModel,
  { B, H, sizes }: Dims,
  inputs: Inputs,
  place: Place,
): { [name: string]: Float32Array } {
  return Object.fromEntries(
    inputEntries(model).map(([name, { axes, per }]) => {
      const values = Float32Array.from(inputs[name]!);
      const row = per === "parameter" ? values : values.subarray(0, values.length / B);
      return [name, columnOf(row, axes, columnAxis(model), H, sizes, place)];
    }),
  );
}

/** Cotangents `[1, T, H, columns]` of the outputs that are zero but at one column of one head. */
export function columnCotangents(
  model: AnyAffineModel,
  { T, H, sizes }: Dims,
  values: Float64Array,
  { head, column }: Place,
): Float32Array {
  const columns = sizes[columnAxis(model)]!;
  const out = new Float32Array(T * H * columns);
  for (let t = 0; t < T; t++) out[(t * H + head) * columns + column] = values[t]!;
  return out;
}
