/**
 * A part of the README that is made of the results in a folder: it stands between two marks.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";

/** What a part is made into. */
export interface Made {
  /** Markdown. */
  readonly text: string;
  /** File names and texts of plots beside the results, which the text shows. */
  readonly plots?: readonly (readonly [string, string])[];
}

export interface Section {
  /** Of its marks: `<!-- bench NAME: start -->`. */
  readonly name: string;
  /** Makes it of a folder of results. Throws an {@link InputError} at what is unusable there. */
  readonly make: (results: string) => Made;
}

/** The text with what stands between a section's marks replaced. Throws an {@link InputError} if they are not there. */
export function withSection(text: string, name: string, made: string): string {
  const marks = ["start", "end"].map((mark) => `<!-- bench ${name}: ${mark} -->`) as [string, string];
  const [start, end] = [text.indexOf(marks[0]), text.indexOf(marks[1])];
  if (start < 0 || end < start) {
    throw new InputError(`Cannot write the ${name}: README.md must hold ${marks[0]} and then ${marks[1]}`);
  }
  return `${text.slice(0, start + marks[0].length)}\n${made}\n${text.slice(end)}`;
}
