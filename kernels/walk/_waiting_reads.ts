/** What a walk's kernel reads of the table of decays that wait (_waiting.ts). */
import { type AlsoLoaded, rowUnits } from "../delta/_staging.ts";
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
  /** Which blocks from n on are of one kind: `search` of a shortcut. */
  readonly search: string;
  /** Whether the blocks that are not for the straight text multiply it at the first tokens of bodies at most: a WGSL bool. */
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
  const filled = decay === "head"
    ? /* wgsl */ `
  if (lid == 0u) { fill_waits(0u, waits_from); }`
    : /* wgsl */ `
  for (var b = lid; b < blocks; b += ${threads}u) {
    let nth = origin / ${block}u + b;
    fill_waits(nth * ${block}u, waits_from + nth * ${block}u);
  }`;
  // Invocations that are of one subgroup in any case.
  const together = tile.subgroups ? group * interleaved : 1;
  const parts = Math.ceil(threads / together);
  return {
    bindings: [...(own ? waitingInputs(table) : []), waitingBinding(own ? "read_write" : "read")],
    functions: /* wgsl */ `
${own ? waitingFill(table, block, unroll) : ""}
${waitingMarks}
${array === "s_x" ? "" : `var<workgroup> s_room: array<vec4f, ${threads}>;`}
// The least of all invocations' numbers, by way of workgroup memory.
fn least_of(mine: vec3f, lid: u32, room: u32) -> vec3f {
  ${
      together === 1 ? `${array}[room + lid] = vec4f(mine, 0.0);` : `let least = vec4f(subgroupMin(mine), 0.0);
  if (lid % ${together}u == 0u) { ${array}[room + lid / ${together}u] = least; }`
    }
  for (var distance = ${Math.floor(2 ** Math.ceil(Math.log2(parts)) / 2)}u; distance > 0u; distance /= 2u) {
    workgroupBarrier();
    if (lid < distance && lid + distance < ${parts}u) {
      ${array}[room + lid] = min(${array}[room + lid], ${array}[room + lid + distance]);
    }
  }
  return workgroupUniformLoad(&${array}[room]).xyz;
}`,
    start: /* wgsl */ `
  let waits_from = ${waitsFrom(own && decay === "head" ? "id" : "sequence", decay, block)};
  var last_ahead = 1.0;
  var factor_ahead = 1.0;
  var kind = ${WaitingKind.nowhere}u;
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
    // An invocation knows the kind of one block of as many as there are invocations, of all of which the first from n on of each kind
    // is found.
    search: /* wgsl */ `
    let known = n - n % ${threads}u;
    let nth = known + lid;
    if (n == known && nth < blocks) {
      let first = origin + nth * ${block}u;
      kind = wait_kind(${mark("first", `min(${block - 1}u, end - 1u - first)`)});
      ${
      tile.unchecked && !tile.whole
        ? `// The straight text does not look whether tokens are there.
      kind = max(kind, select(${WaitingKind.nowhere}u, ${WaitingKind.atBodies}u, first + ${block}u > end));`
        : ""
    }
    }
    let kinds = vec3u(${WaitingKind.nowhere}u, ${WaitingKind.atBodies}u, ${WaitingKind.anywhere}u);
    let there = vec3<bool>(nth >= n && nth < blocks) & (vec3u(kind) == kinds);
    let least = known + vec3u(least_of(select(vec3f(${threads}.0), vec3f(f32(lid)), there), lid, ${room}));
    let stop = min(blocks, min(least.y, least.z));
    let calm = min(blocks, min(least.x, max(least.y, least.z)));
    let at_bodies = least.y < least.z;`,
    atBodies: "at_bodies",
    factor: (token) =>
      `let f${token} = ` +
      (shuffled
        ? `subgroupShuffle(factor, i + ${token}u);`
        : `select(1.0, waits[${entry("t0", `min(i + ${token}u, end - 1u - t0)`)}].z, t0 + i + ${token}u < end);`),
    last: "last",
  };
}
