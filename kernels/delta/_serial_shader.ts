/** The frame of a kernel that walks through the tokens of a sequence with its part of a state in registers. */
import type { DType } from "../tensor.ts";
import { f32Profile } from "../profile.ts";
import { assemble, type Binding, type Shader } from "../wgsl.ts";
import { type Registers, registers } from "./_registers.ts";
import { type AlsoLoaded, type Extents, type Staged, staging } from "./_staging.ts";
import { loadRow, storedType, storeRow } from "./_stores.ts";
import type { Tile } from "./tile.ts";

/** A written array of rows of V numbers. */
export interface Stored {
  readonly name: string;
  readonly dtype: DType;
}

/** Another way through a block. */
export interface Shortcut {
  /** Whether it is only for blocks whose tokens are all there. */
  readonly whole: boolean;
  /**
   * Where it may not be taken everywhere: statements that declare `stop` and `calm`. From block n on it is taken for the blocks before
   * `stop`, or, where that is n, one of the other texts for those before `calm`. Both are `blocks` at most.
   */
  readonly search?: string;
  /** As {@linkcode Walk.tokens}. */
  tokens(meanwhile: readonly string[]): string;
  /** Another text for the blocks from `stop` to `calm`, where the WGSL bool `where` holds, which is the same for all invocations. */
  readonly second?: { readonly where: string; tokens(meanwhile: readonly string[]): string };
}

/** A number that is summed up beside the outputs: token n leaves what this invocation adds in `beside${n}`. */
export interface Beside {
  /** Of one column. Its sum is `beside_sum` where {@linkcode Walk.store} stands. */
  readonly lanes: Registers;
  /**
   * Statements that load what is needed in row `row` of `[B, T, H]` besides, where there is such a row, the WGSL bool `there`;
   * some tokens before {@linkcode Walk.store}, in a branch of their own.
   */
  load(row: string, there: string): string;
}

/** A walk through all tokens. */
export interface Walk {
  /** From the last token to the first. */
  readonly reverse: boolean;
  /** The staged arrays that it reads; default all. */
  readonly reads?: readonly string[];
  /** What is loaded with a block of tokens, before the one before it is walked through. */
  readonly load?: AlsoLoaded;
  /** Statements at the start of the block of tokens from `t0`, before it is walked through, and after. */
  atBlock(lanes: Registers): string;
  afterBlock?(lanes: Registers): string;
  /**
   * Statements of `tile.unroll` tokens, the first of which is `i` of the block, in half `half`. With {@linkcode Walk.store}, token n
   * of them leaves what this invocation adds to its output in `late${n}`, after the first of `meanwhile`, which stand between the
   * tokens: see {@linkcode interspersed}.
   */
  tokens(lanes: Registers, meanwhile: readonly string[]): string;
  /** Another way through a block, where its tokens allow it: {@linkcode Shortcut}. */
  shortcut?(lanes: Registers): Shortcut;
  readonly beside?: Beside | undefined;
  /** Statement: stores the output `sum` of the token in row `row` of `[B, T, H]`. */
  store?(row: string, sum: string): string;
}

/**
 * Statements of tokens with the exchanges that add up the outputs of the tokens before them in between: each of these waits for
 * the one before, and there is something to do meanwhile. `each`: tokens from one to the next.
 */
export function interspersed(tokens: readonly string[], meanwhile: readonly string[], each?: number): string {
  const [first = "", ...others] = meanwhile;
  const apart = each ?? Math.max(1, Math.floor(tokens.length / (others.length + 1)));
  return [
    first,
    ...tokens.flatMap((token, n) => {
      const last = n === tokens.length - 1;
      const turn = (n + 1) / apart - 1;
      return [
        token,
        ...(last ? others.slice(Math.ceil(turn)) : Number.isInteger(turn) ? others.slice(turn, turn + 1) : []),
      ];
    }),
  ].join("\n");
}

export interface Serial {
  readonly label: string;
  readonly extents: Extents;
  readonly tile: Tile;
  readonly staged: readonly Staged[];
  readonly stored: readonly Stored[];
  /** Whether the state starts from a buffer `initial`. */
  readonly initial: boolean;
  /** Which of the `[K, V]` states of `initial` a workgroup starts from, a WGSL u32; default: its sequence's. */
  readonly initialAt?: string;
  /** Every chunk of so many tokens by itself, in workgroups of its own, next to each other. Default: whole sequences. */
  readonly chunk?: number;
  /** Buffers besides, and functions that use them. */
  readonly extra?: readonly Binding[];
  readonly functions?: string;
  /** Statements before the first token, with the registers zero or as `initial` has them. */
  start?(lanes: Registers): string;
  /** One after the other. */
  readonly walks: readonly Walk[];
  /** Statements at the end. */
  atEnd(lanes: Registers): string;
}

const mostParameters = /* wgsl */ `
struct Params { T: u32, H: u32, sequences: u32, chunks: u32 }
var<private> batch: u32;
// The first token that is not there.
var<private> behind: u32;
var<private> head: u32;
var<private> first_column: u32;
var<private> column: u32;
fn ds_decay4(x: vec4f) -> vec4f { return vec4f(ds_decay(x.x), ds_decay(x.y), ds_decay(x.z), ds_decay(x.w)); }
`;

/** Workgroups that a sequence's columns take. */
export function columnTiles(V: number, tile: Tile): number {
  return Math.ceil(V / tile.width);
}

export function serialShader(serial: Serial): Shader {
  const { label, extents, tile, staged, stored, walks, initial, initialAt = "sequence", chunk, extra = [] } = serial;
  const { K, V } = extents;
  const { threads, group, interleaved, columns, width, block, unroll } = tile;
  const stage = staging(staged, extents, tile);
  const lanes = registers(tile);
  const bindings: Binding[] = [
    { name: "p", access: "uniform", type: "Params" },
    ...staged.map(({ name }): Binding => ({
      name: `in_${name}`,
      access: "read",
      type: stage.types[`in_${name}`]!,
    })),
    ...(initial ? [{ name: "initial", access: "read", type: storedType("f32", V, columns) } as const] : []),
    ...extra,
    ...stored.map(({ name, dtype }): Binding => ({
      name: `out_${name}`,
      access: "read_write",
      type: storedType(dtype, V, columns),
    })),
  ];
  const tiles = columnTiles(V, tile);
  // Whether every invocation has columns to store.
  const everyone = V % width === 0 && width / columns * group === threads;
  // While a block, in workgroup memory by then, is walked through, the next one is on its way from memory. What follows the
  // last is no tokens.
  const walked = ({ reverse, reads, load, atBlock, afterBlock, tokens, shortcut, beside, store }: Walk): string => {
    const blockAt = (n: string): string => `origin + ${reverse ? `(blocks - 1u - (${n}))` : `(${n})`} * ${block}u`;
    /** Statements: the outputs of the tokens from `late_from` on; `there`: all of them are. */
    const outputs = (there: boolean): readonly string[] => {
      if (store === undefined) return [];
      const conditions = [
        ...(there && group === unroll ? [] : [`lane < ${unroll}u`]),
        ...(there ? [] : ["late_from + lane < p.T"]),
      ].join(" && ");
      const row = "late_row + late_from * p.H";
      const stores = store(row, "out");
      const more = beside === undefined ? undefined : [
        [beside.load(row, there ? "late_from < end" : "late_from + lane < p.T")],
        beside.lanes.spreadParts("beside_sum", "beside"),
      ];
      // The first reads what tokens will write over.
      const parts = lanes.spreadParts("out", "late").map((part, n) =>
        [part, ...(more ?? []).map((texts) => texts[n] ?? "")].join("\n")
      );
      return [...parts, conditions === "" ? stores : `if (${conditions}) { ${stores} }`];
    };
    /** Statements: block n. `there`: all of its tokens are. */
    const blockOf = (tokens: string, there: boolean): string => /* wgsl */ `
    let half = n & 1u;
    let t0 = ${blockAt("n")};
    let next = select(p.T, ${blockAt("n + 1u")}, n + 1u < blocks);
    ${stage.load("next", reads, load)}
    ${atBlock(lanes)}
    for (var j = 0u; j < ${block}u; j += ${unroll}u) {
      let i = ${reverse ? `${block - unroll}u - j` : "j"};
      // Where tokens are taken by several, those behind the end cost less than asking for them.
      ${there || unroll > 1 ? "" : "if (t0 + i < end)"} {
        ${tokens}
        ${store === undefined ? "" : "late_from = t0 + i;"}
      }
    }
    ${afterBlock?.(lanes) ?? ""}
    ${stage.keep("(n + 1u) & 1u", reads)}
    workgroupBarrier();`;
    // With `unchecked` whole blocks store without asking. Then an output that is late must be of a token that is there, or be
    // written over by the same invocation: as the block's first are.
    const asks = !tile.unchecked;
    const given = shortcut?.(lanes);
    // Where all blocks are whole one text is enough, but for a shortcut that asks for more than that.
    const whole = tile.whole && given?.search === undefined;
    const usual = blockOf(tokens(lanes, outputs(whole)), whole);
    const way: Shortcut | undefined = given ??
      (asks || store === undefined ? undefined : { whole: true, tokens: (meanwhile) => tokens(lanes, meanwhile) });
    const quick = way && blockOf(way.tokens(outputs(!asks)), !asks);
    const second = way?.second && { where: way.second.where, text: blockOf(way.second.tokens(outputs(whole)), whole) };
    const conditions = way?.search !== undefined ? ["n < stop"] : [
      "n < blocks",
      ...(asks && way?.whole !== true ? [] : [`${blockAt("n")} + ${block}u <= end`]),
    ];
    const first = `${blockAt("n")} + ${reverse ? block - unroll : 0}u`;
    // A loop of its own: beside another text, even one that is never run, a block takes a tenth longer on an H200.
    const allBlocks = quick === undefined || whole
      ? `for (; n < blocks; n++) {\n${quick ?? usual}\n}`
      : /* wgsl */ `while (n < blocks) {
    ${store === undefined || asks ? "" : `late_from = select(${first}, late_from, late_from + ${unroll}u <= p.T);`}
    ${way?.search ?? ""}
    for (; ${conditions.join(" && ")}; n++) {
      ${quick}
    }
    ${way?.search === undefined ? "if (n >= blocks) { break; }\n    let calm = n + 1u;" : ""}
    ${second === undefined ? "" : `if (${second.where}) { for (; n < calm; n++) {\n${second.text}\n} }`}
    for (; n < calm; n++) {
      ${usual}
    }
    ${asks || !reverse || store === undefined ? "" : [...outputs(false), "late_from = p.T;"].join("\n")}
  }`;
    return /* wgsl */ `{
  ${
      store === undefined ? "" : Array.from(
        { length: unroll },
        (_, token) => `var late${token}: ${lanes.type};${beside === undefined ? "" : ` var beside${token}: f32;`}`,
      ).join(" ") + `
  var late_from = p.T;
  let late_row = (batch * p.T + lane) * p.H + head;`
    }
  {
    let next = select(p.T, ${blockAt("0u")}, blocks > 0u);
    ${stage.load("next", reads, load)}
    ${stage.keep("0u", reads)}
  }
  workgroupBarrier();
  var n = 0u;
  ${store !== undefined && whole ? `late_from = ${first};` : ""}
  ${allBlocks}
  ${outputs(whole).join("\n")}
}`;
  };
  const source = /* wgsl */ `
${mostParameters}
${stage.functions}
${lanes.functions}
${initial ? loadRow("initial", V, columns) : ""}
${serial.functions ?? ""}
${stored.map(({ name, dtype }) => storeRow(`out_${name}`, dtype, V, columns, everyone)).join("\n")}
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let id = flat_workgroup(workgroup, grid);
  let sequence = id / ${chunk === undefined ? `${tiles}u` : `(${tiles}u * p.chunks)`};
  if (sequence >= p.sequences) { return; }
  let chunk = ${chunk === undefined ? "0u" : `id / ${tiles}u % p.chunks`};
  let origin = ${chunk === undefined ? "0u" : `chunk * ${chunk}u`};
  let end = ${chunk === undefined ? "p.T" : `min(p.T, origin + ${chunk}u)`};
  behind = end;
  batch = sequence / p.H;
  head = sequence % p.H;
  first_column = id % ${tiles}u * ${width}u;
  let lane = lid / ${interleaved}u % ${group}u;
  let place = min(lid / ${group * interleaved}u * ${interleaved}u + lid % ${interleaved}u, ${width / columns - 1}u);
  // An invocation that only stages has no column.
  column = select(${V}u, first_column + place * ${columns}u, lid < ${width / columns * group}u);
  let blocks = (end - origin + ${block - 1}u) / ${block}u;
${
    lanes.each((r) =>
      `var s${r} = ${lanes.type}();` +
      (initial
        ? ` if (${lanes.row(r)} < ${K}u) { s${r} = load_initial((${initialAt}) * ${K}u + ${lanes.row(r)}); }`
        : "")
    )
  }
  ${serial.start?.(lanes) ?? ""}
  ${walks.map(walked).join("\n")}
  ${serial.atEnd(lanes)}
}
`;
  return assemble(label, {
    bindings,
    source: f32Profile.prelude + source,
    enable: tile.subgroups ? "enable subgroups;\ndiagnostic(off, subgroup_uniformity);" : "",
  });
}

/** Statements: stores the registers' rows under K of a state whose row 0 is row `first` (an expression) of `out_name`. */
export function storeState(lanes: Registers, K: number, name: string, first: string, factor: string = ""): string {
  return lanes.each((r) =>
    `if (${lanes.row(r)} < ${K}u) { store_out_${name}(${first} + ${lanes.row(r)}, s${r}${factor}); }`
  );
}
