/**
 * Which lines, shapes and variants a run times, and in which order.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import { hasWords } from "../words.ts";
import type { FusedLine, LineShape, Variant } from "./line.ts";
import { chosenShapes, shapeText } from "./shape.ts";

/** One timing. */
export interface FusedCase {
  readonly line: FusedLine;
  readonly shape: LineShape;
  readonly variant: Variant;
}

/** What is asked for. */
export interface CaseChoice {
  /** Words of lines' names; all lines if none is given. */
  readonly words: readonly string[];
  readonly shape: LineShape | undefined;
  /** Words of variants' names; the default variant of each line if none is given. */
  readonly variants: readonly string[];
  /** Every variant. */
  readonly sweep: boolean;
}

/** The lines meant: by their whole name, or, where none has that, by words of it. Throws an {@link InputError} if none is. */
export function chosenLines(lines: readonly FusedLine[], words: readonly string[]): readonly FusedLine[] {
  for (const wanted of words) {
    if (!lines.some(({ name }) => hasWords(name, wanted))) {
      const names = [...new Set(lines.map(({ name }) => name))].join(", ") || "none yet";
      throw new InputError(`Cannot bench ${wanted || '""'}: it must be words of a line's name; the lines are ${names}`);
    }
  }
  const meant = (name: string, wanted: string): boolean =>
    lines.some((line) => line.name === wanted) ? name === wanted : hasWords(name, wanted);
  return words.length === 0 ? lines : lines.filter(({ name }) => words.some((wanted) => meant(name, wanted)));
}

/** Whether a tuning is meant: by its whole name, or, where no tuning has that, by words of it. */
function isMeant({ variants }: FusedLine, name: string, wanted: string): boolean {
  return variants.some((variant) => variant.name === wanted) ? name === wanted : hasWords(name, wanted);
}

/** The shapes of a line that are timed: the peers' own, or the small one. */
export function lineShapes(line: FusedLine, small: boolean): readonly LineShape[] {
  return small ? [line.small] : line.shapes;
}

/**
 * All that is asked for: the default variant of every line first, then the second of each, so that a run that is out of
 * time has a figure for every line. Throws an {@link InputError} where nothing is left.
 */
export function chosenCases(
  lines: readonly FusedLine[],
  small: boolean,
  { words, shape, variants, sweep }: CaseChoice,
): readonly FusedCase[] {
  const ranked: { readonly rank: number; readonly item: FusedCase }[] = [];
  const chosen = chosenLines(lines, words);
  for (const line of chosen) {
    const named = line.variants.filter(({ name }) => variants.some((wanted) => isMeant(line, name, wanted)));
    const tuned = variants.length > 0 ? named : sweep ? line.variants : line.variants.slice(0, 1);
    for (const extent of chosenShapes(line, lineShapes(line, small), shape)) {
      tuned.forEach((variant, rank) => ranked.push({ rank, item: { line, shape: extent, variant } }));
    }
  }
  if (ranked.length === 0) {
    const shapes = new Set(chosen.flatMap((line) => lineShapes(line, small).map(shapeText)));
    const names = new Set(chosen.flatMap(({ variants }) => variants.map(({ name }) => name)));
    throw new InputError(
      `Cannot bench: no line has the shape and variant asked for; shapes are ${[...shapes].join(", ") || "none"}; ` +
        `variants are ${[...names].join(", ") || "none"}`,
    );
  }
  return ranked.sort((a, b) => a.rank - b.rank).map(({ item }) => item);
}

/** `gla chunk forward f32, B=8 T=4096, 128 threads` */
export function caseText({ line, shape, variant }: FusedCase): string {
  return `${line.name} ${line.dtype}, ${shapeText(shape)}, ${variant.name}`;
}
