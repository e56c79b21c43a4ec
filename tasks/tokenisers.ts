/**
 * Text as numbers: bytes, or GPT-2's pairs of bytes.
 *
 * @module
 */

/** How text becomes tokens. */
export interface Tokeniser {
  readonly name: TokeniserName;
  readonly vocabulary: number;
  /** What stands between two files. */
  readonly separator: readonly number[];
  /** Tokens of a text; texts cut by {@link pieces} give, one after the other, the tokens of the whole. */
  encode(text: string): Uint8Array | readonly number[];
  decode(tokens: Iterable<number>): string;
}

export type TokeniserName = "bytes" | "gpt2";
export const tokeniserNames: readonly TokeniserName[] = ["bytes", "gpt2"];

/** Tokens as they are kept: one or two bytes each. */
export type Tokens = Uint8Array | Uint16Array;

/** UTF-8; files are apart by a line feed. */
export const byteTokeniser: Tokeniser = {
  name: "bytes",
  vocabulary: 256,
  separator: [10],
  encode: (text) => new TextEncoder().encode(text),
  decode: (tokens) => new TextDecoder().decode(Uint8Array.from(tokens)),
};

/**
 * GPT-2's 50,257 tokens (Radford et al. 2019), by the package `gpt-tokenizer`; files are apart by `<|endoftext|>`. What
 * looks like such a mark in a text is text.
 */
export async function gpt2Tokeniser(): Promise<Tokeniser> {
  // Loaded when asked for: its table of merges takes half a second.
  const { decode, encode } = await import("gpt-tokenizer/encoding/r50k_base");
  return {
    name: "gpt2",
    vocabulary: 50257,
    separator: [50256],
    encode: (text) => encode(text, { disallowedSpecial: new Set() }),
    decode: (tokens) => decode([...tokens]),
  };
}

/** The tokeniser of a name. */
export async function tokeniserOf(name: TokeniserName): Promise<Tokeniser> {
  return name === "bytes" ? byteTokeniser : await gpt2Tokeniser();
}

const isSpace = (unit: string | undefined): boolean => unit !== undefined && /\s/.test(unit);

/**
 * A text in parts of about `size` characters, cut only before the last of some white space: GPT-2's pattern takes that
 * character with the word behind it, or alone, and what is before it together, so no token lies across a cut.
 */
export function pieces(text: string, size: number): readonly string[] {
  const parts: string[] = [];
  let from = 0;
  for (let at = size; at < text.length - 1; at++) {
    if (!isSpace(text[at]) || isSpace(text[at + 1])) continue;
    parts.push(text.slice(from, at));
    from = at;
    at += size;
  }
  parts.push(text.slice(from));
  return parts;
}

/** The last place where {@link pieces} could cut a text; 0 if there is none. */
export function lastCut(text: string): number {
  for (let at = text.length - 2; at > 0; at--) if (isSpace(text[at]) && !isSpace(text[at + 1])) return at;
  return 0;
}

/** All tokens of a text, in the fewest bytes. */
export function tokenise(tokeniser: Tokeniser, text: string): Tokens {
  const parts = pieces(text, 1 << 16).map((part) => tokeniser.encode(part));
  return joinTokens(tokeniser, parts);
}

/** Runs of tokens, one after the other. */
export function joinTokens({ vocabulary }: Tokeniser, parts: readonly ArrayLike<number>[]): Tokens {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const tokens = vocabulary <= 256 ? new Uint8Array(length) : new Uint16Array(length);
  let at = 0;
  for (const part of parts) {
    tokens.set(part, at);
    at += part.length;
  }
  return tokens;
}
