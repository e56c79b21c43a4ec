/**
 * Decays of a chunk on matrix units, by blocks of 16 tokens: w(s, t) is a direct product inside a block, and otherwise that from s to its
 * block's end, times whole blocks between, times that from t's block's first token on: never a quotient, never more roundings
 * than gates. Tables are of two chunks in turn; `table` is where one's begin.
 */
import type { UnitsConfig } from "./_units_config.ts";
import { multiplier } from "./_units_staging.ts";

/** The workgroup arrays. */
export function decayArrays({ chunk }: UnitsConfig): string {
  return [
    ...["gate", "prefix", "suffix"].map((name) => `var<workgroup> ${name}: array<f32, ${2 * chunk}>;`),
    ...["from_start", "until_end"].map((name) => `var<workgroup> ${name}: array<f32, ${chunk}>;`),
  ].join("\n");
}

/** Statement: loads the gate of token `from + lid`, by all invocations, of a token that is there: in a branch an H200 waits for the load. */
export function fetchGate({ kind, chunk }: UnitsConfig, from: string): string {
  return kind === "none" ? "" : `g = raw_gate(b, ${from} + lid % ${chunk}u, h);`;
}

/** Statement: puts what that stands for into the table. */
export function putGate(config: UnitsConfig, table: string, from: string): string {
  const { kind, chunk } = config;
  return kind === "none"
    ? ""
    : `if (lid < ${chunk}u) { gate[${table} + lid] = select(1.0, ${
      multiplier(config, "g")
    }, ${from} + lid < params.T); }`;
}

/** Decays of whole blocks `b` of the table at `table` of which `holds(b)`, as factors to append. */
function wholeBlocks({ chunk }: UnitsConfig, table: string, holds: (b: number) => string): string {
  return Array.from(
    { length: chunk / 16 },
    (_, b) => ` * select(1.0, prefix[${table} + ${16 * b + 15}u], ${holds(b)})`,
  ).join("");
}

/** Statement: `prefix` and `suffix` of a chunk's tokens: decays from their block's first token on, and from behind them to its end. */
export function blockTables({ kind, chunk }: UnitsConfig, table: string): string {
  if (kind === "none") return "";
  return `if (lid < ${chunk}u) {
let first_of = ${table} + (lid & ~15u);
var before = 1.0;
var behind = 1.0;
${
    Array.from({ length: 16 }, (_, n) =>
      `{ let here = gate[first_of + ${n}u];
before *= select(1.0, here, ${n}u <= (lid & 15u));
behind *= select(1.0, here, ${n}u > (lid & 15u)); }`).join("\n")
  }
prefix[${table} + lid] = before;
suffix[${table} + lid] = behind;
}`;
}

/** Statement: `from_start` and `until_end` of a chunk's tokens, from its tables. */
export function chunkTables(config: UnitsConfig, table: string): string {
  const { kind, chunk } = config;
  if (kind === "none") return "";
  return `if (lid < ${chunk}u) {
from_start[lid] = prefix[${table} + lid]${wholeBlocks(config, table, (b) => `${b}u < lid / 16u`)};
until_end[lid] = suffix[${table} + lid]${wholeBlocks(config, table, (b) => `${b}u > lid / 16u`)};
}`;
}

/** Statement: declares `whole`, the decay of the chunk. */
export function wholeChunk(config: UnitsConfig): string {
  return `let whole = 1.0${wholeBlocks(config, "table", () => "true")};`;
}

/** Statements: declare `w`, from each of four tokens `own_early` … of a block to token `own_late` of it, 0 where that is earlier. */
export const withinBlock: string = `let first_of = table + 16u * late_block;
    var within = 1.0;
    ${
  Array.from({ length: 12 }, (_, n) => {
    const t = `first_of + ${n + 4}u`;
    return `within *= select(1.0, gate[${t}], ${n + 4}u > own_early + 3u && ${n + 4}u <= own_late);`;
  }).join("\n    ")
}
    var w = vec4f();
    ${
  [3, 2, 1, 0].map((n) =>
    `w[${n}] = select(0.0, within, own_early + ${n}u <= own_late);
    within *= select(1.0, gate[first_of + own_early + ${n}u], own_early + ${n}u <= own_late);`
  ).join("\n    ")
}`;

/** Statements: multiply `scores` by the decays from four tokens of block `early_block` to a token of block `late_block`, a later one. */
export function betweenBlocks(config: UnitsConfig): string {
  const between = wholeBlocks(config, "table", (b) => `early_block < ${b}u && ${b}u < late_block`);
  return `let early = table + 16u * early_block + own_early;
    scores *= vec4f(${[0, 1, 2, 3].map((n) => `suffix[early + ${n}u]`).join(", ")}) *
      (prefix[table + 16u * late_block + own_late]${between});`;
}
