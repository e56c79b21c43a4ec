/**
 * The states at chunk borders, in either direction of time: S at every chunk's start, or Λ, the cotangent that a chunk's
 * last state gets from the tokens after it, at every chunk's end.
 *
 *     S ← diag(a_1 … a_C) S + Σ_t (a_{t+1} … a_C ⊙ k_t) v_tᵀ        Λ ← diag(a_1 … a_C) Λ + Σ_t (a_1 … a_t ⊙ q_t) dO_tᵀ
 *
 * One workgroup for each batch row, head and tile of the state, serial over chunks; the next chunk's tokens are read
 * while this chunk's product is taken.
 *
 * @module
 */
import { type Bound, declarations, stateVectors, tokenNumbers, tokenVectors, vectorStore } from "./_backward_access.ts";
import { BLOCK, type ChunkLayout, type DecayKind } from "./_backward_layout.ts";
import { productToSums } from "./_backward_products.ts";
import {
  barrier,
  common,
  down4,
  exponent,
  place,
  putKey,
  putRows,
  raise,
  repeat,
  sumVectors,
  up,
} from "./_backward_text.ts";

export interface StatesOptions {
  readonly kind: DecayKind;
  /** Whether gates are given once a head. */
  readonly perHead: boolean;
  /** Whether gates are given as factors instead of their logarithms. */
  readonly factors: boolean;
  /** Whether token t is read before its own update. */
  readonly pre: boolean;
  readonly reverse: boolean;
  /** Whether keys are queries, to be scaled. */
  readonly queries: boolean;
  /** Columns of the state that a workgroup owns: 16, 32 or 64, at most a slice. */
  readonly columns: number;
  /** `states`: states at chunk borders; `ends`: only what a segment adds to the state, and the gates it multiplies by. */
  readonly pass: "states" | "ends";
  /** Whether there is a state to begin with; of each segment, where there are several. */
  readonly from: boolean;
  /** Whether the last state is wanted. */
  readonly to: boolean;
  /** Faults for controls: every chunk starts from zero; a chunk's gates multiply what it adds, not what was there. */
  readonly dropped: boolean;
  readonly swapped: boolean;
  /** WGSL to append to the numbers of the last state. */
  readonly factor: string;
}

/** The kernel: bindings are keys, values, [gates], [from], states, [to]. */
export function statesShader(layout: ChunkLayout, options: StatesOptions): string {
  const { chunk, slice, blocks, threads, unit, stride, scaled } = layout;
  const { kind, reverse, from, to, pre, columns, perHead, factors, swapped } = options;
  const quads = columns / 4;
  const rows = threads / quads;
  const stateRows = slice / rows;
  const tokenRows = chunk / rows;
  const decays = kind !== "none";
  const ends = options.pass === "ends";
  const shared = kind === "scalar" && !perHead;
  const bound: Bound[] = [
    { name: "keys", access: "read" },
    { name: "values", access: "read", vectors: layout.vectors },
    ...(decays ? [{ name: "gates", access: "read" } as const] : []),
    ...(from ? [{ name: "initial", access: "read", vectors: layout.vectors } as const] : []),
    ...(ends ? [] : [{ name: "states", access: "read_write", vectors: layout.vectors } as const]),
    ...(to ? [{ name: "last", access: "read_write", vectors: layout.vectors } as const] : []),
    ...(ends && decays ? [{ name: "totals", access: "read_write" } as const] : []),
  ];
  const gate = (raw: string): string => factors ? raw : `ds_exp(${raw})`;
  // A token behind the last keeps everything.
  const given = "gates_of(token0 + lid, 0u)";
  const ownGate = factors ? `select(1.0, ${given}, token0 + lid < extent.x)` : given;
  const mine = (i: string): string => `block * ${BLOCK}u + ${i}`;
  const load = [
    repeat(
      layout,
      BLOCK,
      (i) => `k[${i}] = keys_of(token0 + ${mine(i)}, key)${options.queries ? " * extent.scale" : ""};`,
    ),
    kind === "diagonal" ? repeat(layout, BLOCK, (i) => `g[${i}] = gates_of(token0 + ${mine(i)}, key);`) : "",
    shared ? `if (lid < ${chunk}u) { own_gate = ${ownGate}; }` : "",
    repeat(layout, tokenRows, (n) => `v[${n}] = values_at(token0 + row0 + ${n} * ${rows}u, column);`),
  ].join("\n");
  // The gates of the invocation's tokens, from what was read; a token behind the last keeps everything.
  const gates = kind === "diagonal"
    ? repeat(layout, BLOCK, (i) => `g[${i}] = ds_exp(g[${i}]);`)
    : perHead && decays
    ? repeat(layout, BLOCK, (i) => `g[${i}] = select(1.0, head_gate, chunk * ${chunk}u + ${mine(i)} < extent.x);`)
    : shared
    ? [
      `if (lid < ${chunk}u) { gate_of[lid] = ${gate("own_gate")}; }`,
      barrier,
      repeat(layout, BLOCK, (i) => `g[${i}] = gate_of[${mine(i)}];`),
    ].join("\n")
    : "";
  // Products of all gates up to each token, or after it.
  const running = reverse
    ? [
      "var f = 1.0;",
      `for (var m = 0u; m < block; m++) { f *= whole[m * ${slice}u + key_lane]; }`,
      repeat(layout, BLOCK, (i) => pre ? `k[${i}] *= f; f *= g[${i}];` : `f *= g[${i}]; k[${i}] *= f;`),
    ]
    : [
      "var f = 1.0;",
      `for (var m = block + 1u; m < ${blocks}u; m++) { f *= whole[m * ${slice}u + key_lane]; }`,
      repeat(layout, BLOCK, (i) => `let i = ${BLOCK - 1}u - ${i}; k[i] *= f; f *= g[i];`),
    ];
  const ownRow = (n: string): string => `first_row + ${n} * ${rows}u`;
  const everyRow = (body: (row: string, n: string) => string): string =>
    repeat(layout, stateRows, (n) => `let row = ${ownRow(n)}; if (row < ${layout.keys}) { ${body("row", n)} }`);
  const keepState = `{ let at = ((b * extent.y + chunk) * extent.z + head) * ${layout.keys} * ${layout.values};
${everyRow((row, n) => `set_states(at + ${row} * ${layout.values}, column, s[${n}]);`)} }`;
  const keepLast = `if (${ends ? "true" : "segment + 1u == extent.segments"}) {
let at = ${ends ? "origin" : `sequence * ${layout.keys} * ${layout.values}`};
${everyRow((row, n) => `set_last(at + ${row} * ${layout.values}, column, s[${n}]);`)} }`;
  const own = "(sequence * extent.segments + segment)";
  const keepTotals = kind === "diagonal"
    ? `if (block == 0u && tile_column == 0u && key < ${layout.keys}) { totals[${own} * ${layout.keys} + key] = kept; }`
    : `if (lid == 0u && tile_column == 0u && tile_row == 0u) { totals[${own}] = kept; }`;
  return [
    unit.prelude,
    declarations(bound),
    common(layout, 4),
    unit.declare("op_x", chunk * stride(slice)),
    unit.declare("op_y", chunk * stride(columns)),
    `var<workgroup> sums: array<f32, ${slice * columns}>;`,
    sumVectors(layout),
    decays ? `var<workgroup> whole: array<f32, ${threads}>;` : "",
    shared ? `var<workgroup> gate_of: array<f32, ${chunk}>;` : "",
    tokenNumbers("keys", layout.keys),
    tokenVectors(layout, "values"),
    decays && !perHead ? tokenNumbers("gates", kind === "diagonal" ? layout.keys : "1u") : "",
    from ? stateVectors(layout, "initial") : "",
    ends ? "" : vectorStore(layout, "states", ""),
    to ? vectorStore(layout, "last", options.factor) : "",
    /* wgsl */ `
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let index = flat_workgroup(workgroup, grid);
  if (index >= extent.w) { return; }
  ${place(layout, columns)}
  let row_tiles = (${layout.keys} + ${slice - 1}u) / ${slice}u;
  let column_tiles = (${layout.values} + ${columns - 1}u) / ${columns}u;
  let tile_column = index % column_tiles;
  let tile_row = (index / column_tiles) % row_tiles;
  let segment = (index / (column_tiles * row_tiles)) % extent.segments;
  let sequence = index / (column_tiles * row_tiles * extent.segments);
  let origin = (sequence * extent.segments + segment) * ${layout.keys} * ${layout.values};
  let first_step = segment * extent.segment_chunks;
  let end_step = min(first_step + extent.segment_chunks, extent.y);
  let b = sequence / extent.z;
  let head = sequence % extent.z;
  base = b * extent.x * extent.z + head;
  let key = tile_row * ${slice}u + key_lane;
  let column = tile_column * ${columns}u + col0;
  let first_row = tile_row * ${slice}u + row0;
  var k: array<f32, ${BLOCK}>;
  var g: array<f32, ${BLOCK}>;
  var v: array<vec4f, ${tokenRows}>;
  var s: array<vec4f, ${stateRows}>;
  ${shared ? "var own_gate = 0.0;" : ""}
  ${perHead && decays ? `let head_gate = ${gate("gates[head]")};` : ""}
  ${from ? repeat(layout, stateRows, (n) => `s[${n}] = initial_at(origin, ${ownRow(n)}, column);`) : ""}
  ${swapped ? `var t: array<f32, ${stateRows}>;` : ""}
  ${ends && decays ? "var kept = 1.0;" : ""}
  if (first_step < end_step) {
    let token0 = ${reverse ? "(extent.y - 1u - first_step)" : "first_step"} * ${chunk}u;
    ${load}
  }
  for (var step = first_step; step < end_step; step++) {
    let chunk = ${reverse ? "(extent.y - 1u - step)" : "step"};
    ${options.dropped ? repeat(layout, stateRows, (n) => `s[${n}] = vec4f();`) : ""}
    ${ends ? "" : keepState}
    ${scaled ? "let even = 2u * (step % 2u);" : ""}
    ${raise(layout, "even", "k", BLOCK)}
    ${raise(layout, "even + 1u", "v", tokenRows, { vectors: true })}
    ${gates}
    ${decays ? `{ var f = 1.0; ${repeat(layout, BLOCK, (i) => `f *= g[${i}];`)} whole[lid] = f; }` : ""}
    ${decays || scaled ? barrier : ""}
    ${exponent(layout, "e_k", "even")}
    ${exponent(layout, "e_v", "even + 1u")}
    ${scaled ? "if (lid < 2u) { atomicStore(&peaks[2u - even + lid], 0u); }" : ""}
    ${decays ? `{\n${running.join("\n")}\n}` : ""}
    ${repeat(layout, BLOCK, (i) => putKey(layout, "op_x", i, up(layout, `k[${i}]`, "e_k")))}
    ${putRows(layout, "op_y", "v", tokenRows, "e_v", { width: columns, rows })}
    ${
      decays
        ? repeat(
          layout,
          stateRows,
          (n) =>
            `var total = 1.0;
      for (var m = 0u; m < ${blocks}u; m++) { total *= whole[m * ${slice}u + row0 + ${n} * ${rows}u]; }
      ${swapped ? `t[${n}] = total;` : `s[${n}] *= total;`}`,
        )
        : ""
    }
    ${ends && decays ? `for (var m = 0u; m < ${blocks}u; m++) { kept *= whole[m * ${slice}u + key_lane]; }` : ""}
    ${barrier}
    if (step + 1u < end_step) {
      let token0 = ${reverse ? `(chunk - 1u)` : "(chunk + 1u)"} * ${chunk}u;
      ${load}
    }
    ${
      productToSums(layout, {
        rows: slice / BLOCK,
        columns: columns / BLOCK,
        inner: blocks,
        a: (row) => ({ name: "op_x", at: row, stride: stride(slice), transposed: true }),
        b: (column) => ({ name: "op_y", at: column, stride: stride(columns) }),
        width: columns,
      })
    }
    ${barrier}
    ${
      repeat(
        layout,
        stateRows,
        (n) =>
          `let at = (row0 + ${n} * ${rows}u) * ${columns}u + col0; s[${n}] += ${
            down4(layout, "sum_vector(at)", "e_k", "e_v")
          }${swapped && decays ? ` * t[${n}]` : ""};`,
      )
    }
  }
  ${to ? keepLast : ""}
  ${ends && decays ? keepTotals : ""}
}
`,
  ].join("\n");
}

/** Bytes of workgroup memory of the kernel. */
export function statesBytes({ unit, chunk, slice, threads, stride }: ChunkLayout, columns: number): number {
  return unit.bytes(chunk * (stride(slice) + stride(columns))) + 4 * (slice * columns + threads + chunk + 4);
}
