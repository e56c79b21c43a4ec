/**
 * Lengths on the command line: powers of two from one to another, or a list.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";

/** `64…2^20`, `64..4096`, `64-4096`, `64,100,1000`, given to `option`. Throws an {@link InputError}. */
export function parsedLengths(text: string, option: string = "--lengths"): readonly number[] {
  const refuse = (): never => {
    throw new InputError(`Cannot use ${option}: it must be lengths ≥ 1 such as 64…2^20 or 64,1000, got ${text}`);
  };
  const range = /^([\d^]+)\s*(?:…|\.\.\.?|-)\s*([\d^]+)$/.exec(text.trim());
  if (range === null) return text.split(",").map((part) => parsedLength(part) ?? refuse());
  const [from, to] = [range[1]!, range[2]!].map((part) => parsedLength(part) ?? refuse()) as [number, number];
  const lengths: number[] = [];
  for (let length = from; length <= to; length *= 2) lengths.push(length);
  if (lengths.length === 0) refuse();
  return lengths;
}

function parsedLength(part: string): number | undefined {
  const [, base, power] = /^(\d+)(?:\^(\d+))?$/.exec(part.trim()) ?? [];
  const length = Number(base ?? NaN) ** Number(power ?? 1);
  return Number.isSafeInteger(length) && length >= 1 ? length : undefined;
}
