/** What a walk's kernel reads of the table of decays that wait (_waiting.ts), bound in pairs: (scale · c, 1/c), then (f, c). */
import { type AlsoLoaded, rowUnits } from "../delta/_staging.ts";
import type { Tile } from "../delta/tile.ts";
import type { Binding } from "../wgsl.ts";
import type { WaitingDecay } from "./_waiting.ts";

/** WGSL of the reads; `i` and `t0` are as in a walk's statements of tokens. */
export interface Waiting {
  readonly binding: Binding;
  /** Statements before the first token. */
  readonly start: string;
  /** What is loaded with a block. */
  readonly load: AlsoLoaded;
  /** Whether the state is multiplied at no token of the block. */
  readonly straight: string;
  /** By what it is multiplied at token `i + token`. */
  factor(token: number): string;
  /** By what it is multiplied after the block. */
  readonly last: string;
}

/** What is kept of the numbers of x and z that an invocation has loaded as its unit `unit`. */
export const waitingRows: { readonly [name in "x" | "z"]: (raw: string, unit: number) => string } = {
  x: (raw, unit) => `${raw} * pair${unit}.y`,
  z: (raw, unit) => `${raw} * pair${unit}.x`,
};

/**
 * Pairs come with the rows of x and z, whose units are of the same tokens. A block's last entry comes a block ahead too:
 * nothing else could be done while it is waited for.
 */
export function waitingReads(decay: WaitingDecay, tile: Tile): Waiting {
  const { block } = tile;
  const { count, token } = rowUnits(tile);
  const units = Array.from({ length: count }, (_, n) => n);
  const entry = (first: string, token: string): string =>
    decay === "head" ? `waits_from + ${token}` : `waits_from + (${first} + ${token}) * p.H`;
  /** `there`: the token of the block that is read for the one from `first` on. */
  const loads = (first: string, last: string, there: (token: string) => string): string =>
    [
      `last_ahead = waits[2u * (${entry(first, last)}) + 1u].y;`,
      ...units.map((n) => `pair${n} = waits[2u * (${entry(first, there(token(n)))})];`),
    ].join("\n");
  return {
    binding: { name: "waits", access: "read", type: "array<vec2f>" },
    start: [
      decay === "head"
        ? `let waits_from = sequence % p.H * ${block}u;`
        : "let waits_from = sequence / p.H * p.T * p.H + sequence % p.H;",
      "var last_ahead = 1.0;",
    ].join("\n"),
    load: {
      declared: ["let last = last_ahead;", ...units.map((n) => `var pair${n} = vec2f();`)].join("\n"),
      whole: (first) => loads(first, `${block - 1}u`, (token) => token),
      // Behind the last token rows are zeros, and entries another sequence's, or behind the table.
      cut: (first) =>
        `if (${first} < end) {\n${
          loads(first, `min(${block - 1}u, end - 1u - ${first})`, (token) => `min(${token}, end - 1u - ${first})`)
        }\n}`,
    },
    straight: "last_ahead > 0.0",
    factor: (n) => `waits[2u * (${entry("t0", `i + ${n}u`)}) + 1u].x`,
    last: "abs(last)",
  };
}
