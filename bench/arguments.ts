/**
 * Arguments of a bench command, parsed and checked before anything runs: every mistake is one line.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { oneOf } from "../cli/arguments.ts";
import { type GpuPolicy, gpuPolicy } from "../kernels/device.ts";
import { InputError } from "../models/error.ts";

/** The options of a command, as `parseArgs` takes them. */
export interface OptionTypes {
  readonly [name: string]: { readonly type: "string" | "boolean"; readonly short?: string };
}

/** What was given. */
export interface GivenArguments {
  /** The value of an option; undefined where it is absent. Throws an {@link InputError} if it is empty. */
  text(name: string): string | undefined;
  /** Whether a switch is there. */
  flag(name: string): boolean;
  readonly words: readonly string[];
}

/** Parses strictly. `command` is the whole of it: `bench fused`. Throws an {@link InputError}. */
export function benchOptions(command: string, args: readonly string[], options: OptionTypes): GivenArguments {
  const { values, positionals } = parsed(command, args, options);
  return {
    words: positionals,
    flag: (name) => values[name] === true,
    text(name) {
      const value = values[name];
      if (value === "") throw new InputError(`Cannot use --${name}: it must have a value, got nothing`);
      return typeof value === "string" ? value : undefined;
    },
  };
}

interface Parsed {
  readonly values: { readonly [name: string]: string | boolean | undefined };
  readonly positionals: readonly string[];
}

function parsed(command: string, args: readonly string[], options: OptionTypes): Parsed {
  try {
    return parseArgs({ args: [...args], options: { ...options }, allowPositionals: true, strict: true }) as Parsed;
  } catch (error) {
    const [reason = ""] = (error as Error).message.split(/[.\n]/);
    const known = Object.keys(options).map((name) => `--${name}`).join(", ");
    throw new InputError(`Cannot run ${command}: ${reason}; its options are ${known}`);
  }
}

/** The value of `--gpu`, or what the environment says. Throws an {@link InputError}. */
export function gpuOption({ text }: GivenArguments): GpuPolicy {
  const given = text("gpu");
  return given === undefined ? gpuPolicy() : oneOf("--gpu", given, ["auto", "off", "require"]);
}

/** Refuses words where a command takes exactly so many. Throws an {@link InputError}. */
export function exactWords(command: string, words: readonly string[], names: readonly string[]): void {
  if (words.length === names.length) return;
  throw new InputError(
    `Cannot run ${command}: it takes ${names.length === 0 ? "no file" : names.join(" and ")}, got ${
      words.join(" ") || "nothing"
    }`,
  );
}
