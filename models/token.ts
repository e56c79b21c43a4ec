/**
 * One token of a checked batch, in any algebra: its raw inputs, and its activated fields in the two forms the stages
 * take (accessors for what may be traced, arrays for `step`).
 *
 * @module
 */
import type { Analytic, Index, Ring } from "./arith.ts";
import type { AnyAffineModel, Axes, Fields, Sizes } from "./affine.ts";
import { type Batch, inputEntries, inputWidth } from "./inputs.ts";

/** The values of one field at one token and head, row-major. */
export type FieldValues<N> = { readonly [name: string]: readonly N[] };

/** The sizes with every axis present, as the stages take them. */
export function allSizes(sizes: Sizes): Required<Sizes> {
  return { K: 0, V: 0, D: 0, N: 0, ...sizes };
}

/** The shape of a field: `[]`, `[n]` or `[n, m]`. */
export function fieldShape(axes: Axes, sizes: Sizes): readonly number[] {
  return axes.map((axis) => sizes[axis]!);
}

/** A field as an accessor over its values. */
function accessor<N>(values: readonly N[], shape: readonly number[]): unknown {
  if (shape.length === 0) return values[0];
  if (shape.length === 1) return (i: Index) => values[i as number];
  const columns = shape[1]!;
  return (i: Index, j: Index) => values[(i as number) * columns + (j as number)];
}

/** A field as `step` takes it. */
function dense<N>(values: readonly N[], shape: readonly number[]): unknown {
  if (shape.length === 0) return values[0];
  if (shape.length === 1) return values;
  const [rows, columns] = shape as readonly [number, number];
  return Array.from({ length: rows }, (_, i) => values.slice(i * columns, (i + 1) * columns));
}

/** All values of a field that `gates` returned. */
function evaluate<N>(field: unknown, shape: readonly number[]): readonly N[] {
  if (shape.length === 0) return [field as N];
  if (shape.length === 1) return Array.from({ length: shape[0]! }, (_, i) => (field as (i: Index) => N)(i));
  const columns = shape[1]!;
  return Array.from(
    { length: shape[0]! * columns },
    (_, n) => (field as (i: Index, j: Index) => N)(Math.floor(n / columns), n % columns),
  );
}

/** The raw inputs at batch row b, step s, head h, as numbers of the algebra. */
export function rawValues<N>(A: Ring<N>, batch: Batch, b: number, s: number, h: number): FieldValues<N> {
  const { dims, inputs, model, steps } = batch;
  return Object.fromEntries(
    inputEntries(model).map(([name, spec]) => {
      const width = inputWidth(spec, dims.sizes);
      const row = spec.per === "parameter" ? h : (b * steps + s) * dims.H + h;
      return [name, Array.from(inputs[name]!.subarray(row * width, (row + 1) * width), (x) => A.of(x))];
    }),
  );
}

/** Runs a model's `gates` on raw values: the activated fields. */
export function activate<N>(A: Analytic<N>, model: AnyAffineModel, sizes: Sizes, raw: FieldValues<N>): FieldValues<N> {
  const accessors = Object.fromEntries(
    inputEntries(model).map(([name, spec]) => [name, accessor(raw[name]!, fieldShape(spec.axes, sizes))]),
  );
  const fields = model.gates(A, accessors, allSizes(sizes)) as { readonly [name: string]: unknown };
  return Object.fromEntries(
    Object.entries(model.fields as Fields).map((
      [name, axes],
    ) => [name, evaluate<N>(fields[name], fieldShape(axes, sizes))]),
  );
}

/** Activated fields as accessors, for `lift` and `read`. */
export function tokenAccessors<N>(
  model: AnyAffineModel,
  sizes: Sizes,
  values: FieldValues<N>,
): { [name: string]: unknown } {
  return Object.fromEntries(
    Object.entries(model.fields as Fields).map((
      [name, axes],
    ) => [name, accessor(values[name]!, fieldShape(axes, sizes))]),
  );
}

/** Activated fields as arrays, for `step`. */
export function tokenArrays<N>(
  model: AnyAffineModel,
  sizes: Sizes,
  values: FieldValues<N>,
): { [name: string]: unknown } {
  return Object.fromEntries(
    Object.entries(model.fields as Fields).map(([name, axes]) => [name, dense(values[name]!, fieldShape(axes, sizes))]),
  );
}
