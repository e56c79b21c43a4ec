/**
 * Shapes of fused lines as text: `B=8 T=4096 H=16 K=64 V=64`, in bench results and in the peers' too.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { FusedLine, LineShape } from "./line.ts";

/** `B=8 T=4096`, in the line's order. */
export function shapeText(shape: LineShape): string {
  return Object.entries(shape).map(([axis, extent]) => `${axis}=${extent}`).join(" ");
}

/** The extents that a text names, separated by blanks or commas. Throws an {@link InputError}. */
export function parsedShape(text: string): LineShape {
  const shape: Record<string, number> = {};
  for (const part of text.split(/[\s,]+/).filter((part) => part !== "")) {
    const [, axis, extent] = /^([A-Za-z]\w*)=(\d+)$/.exec(part) ?? [];
    if (axis === undefined || !Number.isSafeInteger(Number(extent))) {
      throw new InputError(`Cannot use --shape: it must be extents such as B=8,T=4096, got ${part}`);
    }
    shape[axis] = Number(extent);
  }
  if (Object.keys(shape).length === 0) {
    throw new InputError("Cannot use --shape: it must be extents such as B=8,T=4096, got nothing");
  }
  return shape;
}

/**
 * The shapes of a line that are asked for: those of `from` with the given extents; or the given shape itself, where it
 * names all axes of the line. None if neither is so.
 */
export function chosenShapes(
  line: FusedLine,
  from: readonly LineShape[],
  wanted: LineShape | undefined,
): readonly LineShape[] {
  if (wanted === undefined) return from;
  const matching = from.filter((shape) => Object.entries(wanted).every(([axis, extent]) => shape[axis] === extent));
  if (matching.length > 0) return matching;
  const axes = Object.keys(line.small);
  const whole = axes.length === Object.keys(wanted).length && axes.every((axis) => wanted[axis] !== undefined);
  return whole ? [Object.fromEntries(axes.map((axis) => [axis, wanted[axis]!]))] : [];
}
