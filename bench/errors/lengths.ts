/**
 * Lengths on the command line: powers of two from one to another, or a list.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";

/** `64…2^20`, `64..4096`, `64-4096`, `64,100,1000`. Throws an {@link InputError}. */
export function parsedLengths(text: string): readonly number[] {
  const range = /^([\d^]+)\s*(?:…|\.\.\.?|-)\s*([\d^]+)$/.exec(text.trim());
  if (range === null) return text.split(",").map((part) => parsedLength(part, text));
  const [from, to] = [parsedLength(range[1]!, text), parsedLength(range[2]!, text)];
  const lengths: number[] = [];
  for (let length = from; length <= to; length *= 2) lengths.push(length);
  if (lengths.length === 0) refuse(text);
  return lengths;
}

function parsedLength(part: string, text: string): number {
  const [, base, power] = /^(\d+)(?:\^(\d+))?$/.exec(part.trim()) ?? [];
  const length = Number(base ?? NaN) ** Number(power ?? 1);
  if (!Number.isSafeInteger(length) || length < 1) refuse(text);
  return length;
}

function refuse(text: string): never {
  throw new InputError(`Cannot use --lengths: it must be lengths ≥ 1 such as 64…2^20 or 64,1000, got ${text}`);
}
