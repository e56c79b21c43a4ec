/** What shapes operations accept; everything else is an `InputError` that names the operation. */
import { InputError } from "../../models/error.ts";
import { lengthOf } from "../tensor.ts";

export type Shape = readonly number[];

export function shown(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

/** Throws an {@link InputError} unless the array has the shape. */
export function expectShape(operation: string, name: string, got: Shape, wanted: Shape): void {
  if (!sameShape(got, wanted)) {
    throw new InputError(`Cannot ${operation}: ${name} must be ${shown(wanted)}, got ${shown(got)}`);
  }
}

/** Throws an {@link InputError} unless b has a's shape or that of its last axes. */
export function expectSuffix(operation: string, a: Shape, b: Shape): void {
  if (b.length <= a.length && sameShape(a.slice(a.length - b.length), b)) return;
  throw new InputError(
    `Cannot ${operation}: the second array must have the shape of the first, ${shown(a)}, or of its last axes, got ${
      shown(b)
    }`,
  );
}

/** The last extent, and the product of the others. Throws an {@link InputError} if there is no axis. */
export function rowsOf(operation: string, shape: Shape): { readonly rows: number; readonly width: number } {
  const width = shape.at(-1);
  if (width === undefined) throw new InputError(`Cannot ${operation}: the array must have an axis, got a number`);
  return { rows: lengthOf(shape.slice(0, -1)), width };
}

/** A shape around one axis: extents before it, its own, and those after it. */
export interface Around {
  readonly axis: number;
  readonly outer: number;
  readonly extent: number;
  readonly inner: number;
}

export function around(operation: string, shape: Shape, axis: number): Around {
  const index = axis < 0 ? axis + shape.length : axis;
  const extent = shape[index];
  if (!Number.isInteger(index) || extent === undefined) {
    throw new InputError(`Cannot ${operation}: ${shown(shape)} must have the axis, got ${axis}`);
  }
  return { axis: index, outer: lengthOf(shape.slice(0, index)), extent, inner: lengthOf(shape.slice(index + 1)) };
}

/** A shape with one extent replaced. */
export function withExtent(shape: Shape, axis: number, extent: number): number[] {
  return shape.map((given, i) => i === axis ? extent : given);
}
