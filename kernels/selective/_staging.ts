/**
 * From global memory to workgroup memory and back, four tokens of a channel at a time: the only place that knows the
 * layout.
 *
 * An item is a channel (or mode) and four consecutive tokens. An invocation has the same items in every tile: it loads
 * them into registers, stages what the lanes need, and finishes the outputs of the very same items, so that what only the
 * outputs need stays in registers.
 */
import { type Binding, storage } from "../wgsl.ts";
import { paddedModes, rowOf, type Tiling } from "./tiling.ts";

/** What every kernel gets: extents, and offsets of regions in a buffer of sums, all u32. */
export const paramNames = [
  "tokens",
  "channels",
  "batch",
  "blocks",
  "segments",
  "segment_tokens",
  "chunks",
  "padded_tokens",
  "partials_at",
  "totals_at",
  "start_at",
  "spare",
] as const;

export const paramsText: string = /* wgsl */ `
struct Params { ${paramNames.map((name) => `${name}: u32`).join(", ")} }
`;

export const paramsBinding: Binding = { name: "p", access: "uniform", type: "Params" };

/** A tensor in a sequence's layout. */
export function sequenceBinding(
  { vectors }: Tiling,
  name: string,
  access: "read" | "read_write" = "read",
): Binding {
  return vectors ? { name, access, type: "array<vec4f>" } : storage(name, "f32", access);
}

/** Index of number (b, row, t) of a tensor with `width` rows, and the distance of its next token. */
function address({ layout }: Tiling, width: string): { readonly at: string; readonly step: string } {
  return layout === "channels-first"
    ? { at: `(b * ${width} + row) * p.tokens + t`, step: "1u" }
    : { at: `(b * p.tokens + t) * ${width} + row`, step: width };
}

/** `load_NAME(b, row, t) -> vec4f`: zero outside the tensor. */
export function loadText(tiling: Tiling, name: string, per: "channel" | "mode"): string {
  const width = per === "channel" ? "p.channels" : `${tiling.N}u`;
  const { at, step } = address(tiling, width);
  // Tokens beyond the last are read as the last and thrown away: no branches.
  const body = tiling.vectors ? `return ${name}[(${at}) / 4u];` : `let at = ${at};
  let rest = p.tokens - 1u - t;
  let x = vec4f(${[0, 1, 2, 3].map((r) => `${name}[at + min(${r}u, rest) * ${step}]`).join(", ")});
  return select(vec4f(), x, vec4u(0u, 1u, 2u, 3u) <= vec4u(rest));`;
  return /* wgsl */ `
fn load_${name}(b: u32, row: u32, t: u32) -> vec4f {
  if (row >= ${width} || t >= p.tokens) { return vec4f(); }
  ${body}
}
`;
}

/** `store_NAME(b, row, t, x)`: nothing outside the tensor. */
export function storeText(tiling: Tiling, name: string): string {
  const { at, step } = address(tiling, "p.channels");
  const body = tiling.vectors ? `${name}[(${at}) / 4u] = x;` : `let at = ${at};
  ${name}[at] = x.x;
  ${
    ["y", "z", "w"].map((i, r) => `if (t + ${r + 1}u < p.tokens) { ${name}[at + ${r + 1}u * ${step}] = x.${i}; }`).join(
      "\n  ",
    )
  }`;
  return /* wgsl */ `
fn store_${name}(b: u32, row: u32, t: u32, x: vec4f) {
  if (row >= p.channels || t >= p.tokens) { return; }
  ${body}
}
`;
}

/** Statements of one item: `e` numbers it, `row` and `q` are WGSL names of its row and its four tokens. */
export type ItemText = (e: number) => string;

/** A kernel's items of one kind. */
export interface Items {
  /** How many an invocation has. */
  readonly count: number;
  /** The statements for each item, in which `row_KIND_e` and `q_KIND_e` are its row and four tokens. */
  each(text: ItemText): string;
  /** `let row_KIND_e = …; let q_KIND_e = …;`: goes before everything. */
  readonly declare: string;
  /** Where item e lies in a tile `[rows, tile]` of workgroup memory, in vectors. */
  at(e: number): string;
}

function items({ layout, tile, threads }: Tiling, kind: "c" | "m", rows: number, row: number): Items {
  const quads = tile / 4;
  const total = rows * quads;
  const count = Math.ceil(total / threads);
  // Neighbours in memory go to neighbouring invocations.
  const place = (e: number): string => {
    const i = `(local + ${e * threads}u)`;
    return layout === "channels-first"
      ? `let row_${kind}_${e} = ${i} / ${quads}u; let q_${kind}_${e} = ${i} % ${quads}u;`
      : `let row_${kind}_${e} = ${i} % ${rows}u; let q_${kind}_${e} = ${i} / ${rows}u;`;
  };
  const each = (text: ItemText): string =>
    Array.from({ length: count }, (_, e) => {
      const surplus = (e + 1) * threads > total;
      return surplus ? `if (local + ${e * threads}u < ${total}u) { ${text(e)} }` : text(e);
    }).join("\n    ");
  return {
    count,
    declare: Array.from({ length: count }, (_, e) => place(e)).join("\n  "),
    each,
    at: (e) => `row_${kind}_${e} * ${row}u + q_${kind}_${e}`,
  };
}

/** The items of channel-shaped tensors: `[channels of the workgroup, tile]`. */
export function channelItems(tiling: Tiling): Items {
  return items(tiling, "c", tiling.channels, rowOf(tiling));
}

/** The items of mode-shaped tensors: `[modes, tile]`. */
export function modeItems(tiling: Tiling): Items {
  return items(tiling, "m", paddedModes(tiling), 0);
}

/**
 * Mode-shaped tiles in workgroup memory. All that a lane needs for four tokens is one element, so that one index serves
 * for all: a shader that checks its indices checks one, and the rest are constant offsets.
 */
export interface ModeTile {
  readonly declare: string;
  /** Where item e of the array `k` goes. */
  write(e: number, k: number): string;
  /** Declares the index of the lane's element at the four tokens `q`. */
  readonly at: string;
  /** The lane's mode m of the array `k`. */
  read(m: number, k: number): string;
}

/** Vectors of an element: an odd number, so that the lanes of a channel read from different banks. */
function elementVectors({ modes }: Tiling, arrays: number): number {
  return arrays * modes + 1 - (arrays * modes) % 2;
}

/** Floats of workgroup memory of so many arrays. */
export function modeFloats(tiling: Tiling, arrays: number): number {
  return 4 * elementVectors(tiling, arrays) * tiling.tile / 4 * tiling.lanes;
}

export function modeTile(tiling: Tiling, arrays: number): ModeTile {
  const { modes, lanes, tile } = tiling;
  const count = tile / 4 * lanes;
  return {
    declare: `var<workgroup> s_modes: array<array<vec4f, ${elementVectors(tiling, arrays)}>, ${count}>;`,
    write: (e, k) => `s_modes[q_m_${e} * ${lanes}u + row_m_${e} % ${lanes}u][${k * modes}u + row_m_${e} / ${lanes}u]`,
    at: `let mode_at = q * ${lanes}u + g;`,
    read: (m, k) => `s_modes[mode_at][${k * modes + m}]`,
  };
}
