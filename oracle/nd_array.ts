/**
 * Arrays of the numbers of any algebra, row-major: what the reference instance of `TensorOps` computes on.
 *
 * @module
 */
import { InputError } from "../models/error.ts";

/** Numbers with a shape; the last axis is contiguous. */
export interface NdArray<N> {
  readonly shape: readonly number[];
  readonly data: readonly N[];
}

/** Token ids with a shape. */
export interface IdArray {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** Entries of a shape: 1 for `[]`. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** A shape as it reads in a message: `[2, 3]`. */
export function shown(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}

/** Whether two shapes are the same. */
export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

/** Throws an {@link InputError} `Cannot <what>: <constraint>, got <shapes>` unless `holds`. */
export function requireShapes(
  what: string,
  holds: boolean,
  constraint: string,
  ...shapes: readonly (readonly number[])[]
): void {
  if (!holds) throw new InputError(`Cannot ${what}: ${constraint}, got ${shapes.map(shown).join(" and ")}`);
}

/** An array whose entry at flat index i is `entry(i)`. */
export function filled<N>(shape: readonly number[], entry: (i: number) => N): NdArray<N> {
  return { shape, data: Array.from({ length: sizeOf(shape) }, (_, i) => entry(i)) };
}

/**
 * An array of given numbers. Throws an {@link InputError} unless there are as many as the shape asks for.
 */
export function arrayOf<N>(data: ArrayLike<N>, shape: readonly number[]): NdArray<N> {
  if (data.length !== sizeOf(shape)) {
    throw new InputError(
      `Cannot make an array: shape ${shown(shape)} has ${sizeOf(shape)} entries, got ${data.length}`,
    );
  }
  return { shape: [...shape], data: Array.from(data) };
}

/** Rows along the last axis: how many, and how wide. */
export function rowsOf(shape: readonly number[]): { readonly count: number; readonly width: number } {
  const width = shape.at(-1) ?? 1;
  return { count: sizeOf(shape.slice(0, -1)), width };
}

/** The numbers of one row along the last axis. */
export function rowOf<N>({ shape, data }: NdArray<N>, row: number): readonly N[] {
  const width = shape.at(-1) ?? 1;
  return data.slice(row * width, (row + 1) * width);
}
