/**
 * Arguments of a command, parsed and checked before anything runs: every mistake is one line.
 *
 * @module
 */
import { parseArgs, type ParseArgsConfig } from "node:util";
import { InputError } from "../models/error.ts";

/** Values by option name. */
export interface Parsed {
  readonly values: { readonly [name: string]: string | boolean | (string | boolean)[] | undefined };
  readonly positionals: readonly string[];
}

/** Parses strictly; an unknown option or a missing value is an {@link InputError} of one line. */
export function parse(
  command: string,
  args: readonly string[],
  options: NonNullable<ParseArgsConfig["options"]>,
): Parsed {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: false, strict: true }) as Parsed;
  } catch (error) {
    const [reason = ""] = (error as Error).message.split(/[.\n]/);
    const known = Object.keys(options).map((name) => `--${name}`).join(", ");
    throw new InputError(`Cannot run ${command}: ${reason}; its options are ${known}`);
  }
}

/** A whole number ≥ `least`. */
export function wholeNumber(what: string, text: string, least: number, most: number = Number.MAX_SAFE_INTEGER): number {
  const value = /^-?\d+$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value) || value < least || value > most) {
    const range = most === Number.MAX_SAFE_INTEGER ? `≥ ${least}` : `from ${least} to ${most}`;
    throw new InputError(
      `Cannot use ${what}: it must be a whole number ${range}, got ${text === "" ? "nothing" : text}`,
    );
  }
  return value;
}

/** One of a few words. */
export function oneOf<W extends string>(what: string, text: string, words: readonly W[]): W {
  const word = words.find((candidate) => candidate === text);
  if (word === undefined) {
    throw new InputError(`Cannot use ${what}: it must be one of ${words.join(", ")}, got ${text}`);
  }
  return word;
}
