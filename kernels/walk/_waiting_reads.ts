/** What a walk's kernel reads of the table of decays that wait (_waiting.ts). */
import { type AlsoLoaded, rowUnits } from "../delta/_staging.ts";
import type { Tile } from "../delta/tile.ts";
import type { Binding } from "../wgsl.ts";
import { waitingBinding, waitingFill, waitingInputs, type WaitingTable } from "./_waiting.ts";

/** WGSL of the reads; `n`, `i` and `t0` are as in a walk's statements of tokens. */
export interface Waiting {
  readonly bindings: readonly Binding[];
  readonly functions: string;
  /** Statements before the first token: they fill the table, where the workgroup does. */
  readonly start: string;
  /** What is loaded with a block. */
  readonly load: AlsoLoaded;
  /** Statements that declare `stop`: the first block from n on at a token of which the state is multiplied. */
  readonly search: string;
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
export function waitingReads(table: WaitingTable, tile: Tile): Waiting {
  const { decay, own } = table;
  const { block, rows, group, threads } = tile;
  const { count, token } = rowUnits(tile);
  const units = Array.from({ length: count }, (_, n) => n);
  const entry = (first: string, token: string): string =>
    decay === "head" ? `waits_from + ${token}` : `waits_from + (${token}) * waits_blocks + (${first}) / ${block}u`;
  const last = (first: string, token: string): string => `waits[2u * (${entry(first, token)}) + 1u].y`;
  /** `there`: the token of the block that is read for the one from `first` on. */
  const loads = (first: string, final: string, there: (token: string) => string): string =>
    [
      `last_ahead = ${last(first, final)};`,
      ...units.map((n) => `pair${n} = waits[2u * (${entry(first, there(token(n)))})];`),
    ].join("\n");
  // A half of x's rows is free between blocks: `vectorBetween` in ../delta/tile.ts.
  const half = block * rows * group / 4;
  const fits = half >= threads;
  const room = (at: string): string => fits ? `s_x[((n + 1u) & 1u) * ${half}u + ${at}]` : `s_room[${at}]`;
  // Where it fills blocks of its own an invocation knows the first of them whose state is multiplied; else it looks for it.
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
    functions: [own ? waitingFill(table, block) : "", fits ? "" : `var<workgroup> s_room: array<vec4f, ${threads}>;`]
      .join("\n"),
    start: /* wgsl */ `
  let waits_blocks = ${decay === "head" ? "1u" : `(p.T + ${block - 1}u) / ${block}u`};
  let waits_from = ${own && decay === "head" ? "id" : "sequence"} * ${block}u * waits_blocks;
  var last_ahead = 1.0;
  var found = ${own && decay !== "head" ? "blocks" : "lid"};
  ${own ? `${filled}\nstorageBarrier();` : ""}`,
    load: {
      declared: ["let last = last_ahead;", ...units.map((n) => `var pair${n} = vec2f();`)].join("\n"),
      whole: (first) => loads(first, `${block - 1}u`, (token) => token),
      // Behind the last token rows are zeros, and entries another sequence's, or behind the table.
      cut: (first) =>
        `if (${first} < end) {\n${
          loads(first, `min(${block - 1}u, end - 1u - (${first}))`, (token) => `min(${token}, end - 1u - (${first}))`)
        }\n}`,
    },
    search: /* wgsl */ `
    for (; found < blocks; found += ${threads}u) {
      let first = origin + found * ${block}u;
      if (found >= n && ${last("first", `min(${block - 1}u, end - 1u - first)`)} < 0.0) { break; }
    }
    ${room("lid")}.x = f32(found);
    for (var step = ${2 ** Math.ceil(Math.log2(threads)) / 2}u; step > 0u; step /= 2u) {
      workgroupBarrier();
      if (lid < step && lid + step < ${threads}u) { ${room("lid")}.x = min(${room("lid")}.x, ${room("lid + step")}.x); }
    }
    let stop = u32(workgroupUniformLoad(&${room("0u")}).x);`,
    factor: (n) => `waits[2u * (${entry("t0", `i + ${n}u`)}) + 1u].x`,
    last: "abs(last)",
  };
}
