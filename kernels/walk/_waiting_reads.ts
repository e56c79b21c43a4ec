/** What a walk's kernel reads of the table of decays that wait (_waiting.ts). */
import { type AlsoLoaded, rowUnits } from "../delta/_staging.ts";
import type { Shortcut } from "../delta/_serial_shader.ts";
import type { Tile } from "../delta/tile.ts";
import type { Binding } from "../wgsl.ts";
import {
  waitingBinding,
  waitingFill,
  waitingInputs,
  WaitingKind,
  waitingMarks,
  type WaitingTable,
  waitsFrom,
} from "./_waiting.ts";

/** WGSL of the reads; `n`, `i` and `t0` are as in a walk's statements of tokens. */
export interface Waiting {
  readonly bindings: readonly Binding[];
  readonly functions: string;
  /** Statements before the first token: they fill the table, where the workgroup does. */
  readonly start: string;
  /** What is loaded with a block. */
  readonly load: AlsoLoaded;
  /** For the first block from n on at a token of which the state is multiplied, and the first behind n of another kind than it. */
  readonly search: NonNullable<Shortcut["search"]>;
  /** Whether the blocks from n on, up to `calm`, multiply it at the first tokens of bodies at most: a WGSL bool. */
  readonly atBodies: string;
  /** Statement: declares `f${token}`, by what it is multiplied at token `i + token`. */
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
 * Pairs come with the rows of x and z, whose units are of the same tokens. A block's factors and its last mark come a block ahead too:
 * nothing else could be done while they are waited for.
 */
export function waitingReads(table: WaitingTable, tile: Tile): Waiting {
  const { decay, own } = table;
  const { block, rows, group, interleaved, threads, unroll } = tile;
  const { count, token } = rowUnits(tile);
  const units = Array.from({ length: count }, (_, n) => n);
  const entry = (first: string, token: string): string =>
    decay === "head" ? `waits_from + ${token}` : `waits_from + ${first} + ${token}`;
  const mark = (first: string, token: string): string => `waits[${entry(first, token)}].w`;
  // An invocation holds the factor of one token of a block, a subgroup those of all where it is as wide.
  const shuffled = tile.subgroups && block <= group * interleaved;
  const mine = `lid % ${block}u`;
  // A half of x's rows is free between blocks: `vectorBetween` in ../delta/tile.ts.
  const half = block * rows * group / 4;
  const [array, room] = half >= threads ? ["s_x", `((n + 1u) & 1u) * ${half}u`] : ["s_room", "0u"];
  const kind = (b: string): string =>
    `wait_kind(${
      mark(`(origin + (${b}) * ${block}u)`, `min(${block - 1}u, end - 1u - (origin + (${b}) * ${block}u))`)
    })`;
  // An invocation has the blocks `lid`, `lid + threads` and so on to look at, and has come to `found`: of those before it none that is
  // still to come multiplies the state. Where it fills them itself it knows the first that may.
  const filled = decay === "head"
    ? /* wgsl */ `
  if (lid == 0u) { _ = fill_waits(0u, waits_from); }`
    : /* wgsl */ `
  for (var b = lid; b < blocks; b += ${threads}u) {
    let nth = origin / ${block}u + b;
    if (fill_waits(nth * ${block}u, waits_from + nth * ${block}u)) { found = min(found, b); }
  }`;
  return {
    bindings: [...(own ? waitingInputs(table) : []), waitingBinding(own ? "read_write" : "read")],
    functions: /* wgsl */ `
${own ? waitingFill(table, block, unroll) : ""}
${waitingMarks}
${array === "s_x" ? "" : `var<workgroup> s_room: array<vec4f, ${threads}>;`}
// The least of all invocations' blocks, by way of a vector of workgroup memory each, and the kind that all of them have. From 2^24 on
// it may be a lesser one.
fn least_block(mine: u32, kind: u32, lid: u32, room: u32) -> vec2u {
  ${array}[room + lid] = vec4f(f32(min(mine, 0xffffffu)), f32(kind), 0.0, 0.0);
  for (var distance = ${2 ** Math.ceil(Math.log2(threads)) / 2}u; distance > 0u; distance /= 2u) {
    workgroupBarrier();
    if (lid < distance && lid + distance < ${threads}u) {
      ${array}[room + lid].x = min(${array}[room + lid].x, ${array}[room + lid + distance].x);
    }
  }
  return vec2u(workgroupUniformLoad(&${array}[room]).xy);
}`,
    start: /* wgsl */ `
  let waits_from = ${waitsFrom(own && decay === "head" ? "id" : "sequence", decay, block)};
  var last_ahead = 1.0;
  var factor_ahead = 1.0;
  var found = ${own && decay !== "head" ? "blocks" : "lid"};
  ${own ? `${filled}\nstorageBarrier();` : ""}`,
    load: {
      declared: [
        "let last = wait_last(last_ahead);",
        shuffled ? "let factor = factor_ahead;" : "",
        ...units.map((n) => `var pair${n} = vec2f();`),
      ].join("\n"),
      // With the pairs before one of the others an H200 takes a third longer, and up to four times as long.
      whole: (first) =>
        [
          shuffled ? `factor_ahead = waits[${entry(first, mine)}].z;` : "",
          `last_ahead = ${mark(first, `${block - 1}u`)};`,
          ...units.map((n) => `pair${n} = waits[${entry(first, token(n))}].xy;`),
        ].join("\n"),
      // Behind the last token rows are zeros, entries nobody's, and the state stays.
      cut: (first) =>
        [
          `if (${first} < end) {`,
          `let ending = min(${block - 1}u, end - 1u - (${first}));`,
          `last_ahead = ${mark(first, "ending")};`,
          shuffled
            ? `factor_ahead = select(1.0, waits[${entry(first, `min(${mine}, ending)`)}].z, ${mine} <= ending);`
            : "",
          ...units.map((n) => `pair${n} = waits[${entry(first, `min(${token(n)}, ending)`)}].xy;`),
          "}",
        ].join("\n"),
    },
    search: {
      stop: /* wgsl */ `
    for (; found < blocks; found += ${threads}u) {
      // Tokens that are not there may have been counted as the table was filled.
      if (found >= n && ${kind("found")} != ${WaitingKind.nowhere}u) { break; }
    }
    let stop = min(blocks, least_block(found, 0u, lid, ${room}).x);`,
      calm: /* wgsl */ `
    let kind = ${kind("n")};
    var other = n + 1u + lid;
    for (; other < blocks; other += ${threads}u) {
      if (${kind("other")} != kind) { break; }
    }
    let least = least_block(other, kind, lid, ${room});
    let calm = max(n + 1u, min(blocks, least.x));`,
    },
    atBodies: `least.y != ${WaitingKind.anywhere}u`,
    factor: (token) =>
      `let f${token} = ` +
      (shuffled
        ? `subgroupShuffle(factor, i + ${token}u);`
        : `select(1.0, waits[${entry("t0", `min(i + ${token}u, end - 1u - t0)`)}].z, t0 + i + ${token}u < end);`),
    last: "last",
  };
}
