/** What a walk's kernel reads of the table of decays that wait (_waiting.ts). */
import { type AlsoLoaded, rowUnits } from "../delta/_staging.ts";
import type { Shortcut } from "../delta/_serial_shader.ts";
import type { Tile } from "../delta/tile.ts";
import type { Binding } from "../wgsl.ts";
import { waitingBinding, waitingFill, waitingInputs, type WaitingTable, waitsFrom } from "./_waiting.ts";

/** WGSL of the reads; `n`, `i` and `t0` are as in a walk's statements of tokens. */
export interface Waiting {
  readonly bindings: readonly Binding[];
  readonly functions: string;
  /** Statements before the first token: they fill the table, where the workgroup does. */
  readonly start: string;
  /** What is loaded with a block. */
  readonly load: AlsoLoaded;
  /** For the first block from n on at a token of which the state is multiplied, and the first behind n at none of which it is. */
  readonly search: NonNullable<Shortcut["search"]>;
  /**
   * Statements that declare `f0 …`, by what it is multiplied at the tokens from i on, and read those of the tokens behind them, which
   * are wanted next: nothing waits for them.
   */
  readonly factors: string;
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
export function waitingReads(table: WaitingTable, tile: Tile): Waiting {
  const { decay, own } = table;
  const { block, rows, group, threads, unroll } = tile;
  const tokens = Array.from({ length: unroll }, (_, k) => k);
  const { count, token } = rowUnits(tile);
  const units = Array.from({ length: count }, (_, n) => n);
  const entry = (first: string, token: string): string =>
    decay === "head" ? `waits_from + ${token}` : `waits_from + (${token}) * waits_blocks + (${first}) / ${block}u`;
  const last = (first: string, token: string): string => `waits[2u * (${entry(first, token)}) + 1u].y`;
  /** The factor of token `t`, or of the last if that is not there. */
  const factorAt = (t: string): string =>
    `waits[2u * (${entry(`min(${t}, end - 1u)`, `min(${t}, end - 1u) % ${block}u`)}) + 1u].x`;
  /** `there`: the token of the block that is read for the one from `first` on. */
  const loads = (first: string, final: string, there: (token: string) => string): string =>
    [
      `last_ahead = ${last(first, final)};`,
      ...units.map((n) => `pair${n} = waits[2u * (${entry(first, there(token(n)))})];`),
    ].join("\n");
  // A half of x's rows is free between blocks: `vectorBetween` in ../delta/tile.ts.
  const half = block * rows * group / 4;
  const [array, room] = half >= threads ? ["s_x", `((n + 1u) & 1u) * ${half}u`] : ["s_room", "0u"];
  const multiplied = (b: string): string =>
    `${last(`(origin + (${b}) * ${block}u)`, `min(${block - 1}u, end - 1u - (origin + (${b}) * ${block}u))`)} < 0.0`;
  // An invocation has the blocks `lid`, `lid + threads` and so on to look at, and has come to `found`: of those before it none that is
  // still to come multiplies the state. Where it fills them itself it knows the first that may.
  const filled = decay === "head"
    ? /* wgsl */ `
  if (lid == 0u) { _ = fill_waits(0u, waits_from, 1u); }`
    : /* wgsl */ `
  for (var b = lid; b < blocks; b += ${threads}u) {
    let nth = origin / ${block}u + b;
    if (fill_waits(nth * ${block}u, waits_from + nth, waits_blocks)) { found = min(found, b); }
  }`;
  return {
    bindings: [...(own ? waitingInputs(table) : []), waitingBinding(own ? "read_write" : "read")],
    functions: /* wgsl */ `
${own ? waitingFill(table, block) : ""}
${array === "s_x" ? "" : `var<workgroup> s_room: array<vec4f, ${threads}>;`}
// The least of all invocations' blocks, by way of a vector of workgroup memory each. From 2^24 on it may be a lesser one.
fn least_block(mine: u32, lid: u32, room: u32) -> u32 {
  ${array}[room + lid].x = f32(min(mine, 0xffffffu));
  for (var distance = ${2 ** Math.ceil(Math.log2(threads)) / 2}u; distance > 0u; distance /= 2u) {
    workgroupBarrier();
    if (lid < distance && lid + distance < ${threads}u) {
      ${array}[room + lid].x = min(${array}[room + lid].x, ${array}[room + lid + distance].x);
    }
  }
  return u32(workgroupUniformLoad(&${array}[room]).x);
}`,
    start: /* wgsl */ `
  let waits_blocks = ${decay === "head" ? "1u" : `(p.T + ${block - 1}u) / ${block}u`};
  let waits_from = ${waitsFrom(own && decay === "head" ? "id" : "sequence", decay, block)};
  var last_ahead = 1.0;
  var found = ${own && decay !== "head" ? "blocks" : "lid"};
  ${own ? `${filled}\nstorageBarrier();` : ""}`,
    load: {
      declared: ["let last = last_ahead;", ...units.map((n) => `var pair${n} = vec2f();`)].join("\n"),
      whole: (first) => loads(first, `${block - 1}u`, (token) => token),
      // Behind the last token rows are zeros, and entries nobody's.
      cut: (first) =>
        `if (${first} < end) {\n${
          loads(first, `min(${block - 1}u, end - 1u - (${first}))`, (token) => `min(${token}, end - 1u - (${first}))`)
        }\n}`,
    },
    search: {
      stop: /* wgsl */ `
    for (; found < blocks; found += ${threads}u) {
      // Tokens that are not there may have been counted as the table was filled.
      if (found >= n && ${multiplied("found")}) { break; }
    }
    let stop = min(blocks, least_block(found, lid, ${room}));`,
      calm: /* wgsl */ `
    var at_rest = n + 1u + lid;
    for (; at_rest < blocks; at_rest += ${threads}u) {
      if (!(${multiplied("at_rest")})) { break; }
    }
    let calm = max(n + 1u, min(blocks, least_block(at_rest, lid, ${room})));
    ${tokens.map((k) => `var factor${k} = ${factorAt(`origin + n * ${block}u + ${k}u`)};`).join(" ")}`,
    },
    factors: [
      ...tokens.map((k) => `let f${k} = select(1.0, factor${k}, t0 + i + ${k}u < end);`),
      ...tokens.map((k) => `factor${k} = ${factorAt(`t0 + i + ${unroll + k}u`)};`),
    ].join("\n"),
    last: "abs(last)",
  };
}
