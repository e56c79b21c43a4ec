/**
 * Fields that lines of a file must have.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";

/** A JSON object. */
export type Fields = { readonly [key: string]: unknown };

/** Throws an {@link InputError} of one line, `what` first, unless all these fields are texts, or finite numbers. */
export function checkFields(
  what: string,
  object: Fields,
  { texts, numbers }: { readonly texts: readonly string[]; readonly numbers: readonly string[] },
): void {
  const refuse = (key: string, wanted: string): never => {
    throw new InputError(`${what}: ${key} must be ${wanted}, got ${JSON.stringify(object[key])}`);
  };
  for (const key of texts) if (typeof object[key] !== "string") refuse(key, "text");
  for (const key of numbers) if (!Number.isFinite(object[key])) refuse(key, "a finite number");
}
