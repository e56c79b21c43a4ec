/**
 * Attention of many queries: a workgroup has a tile of rows of one sequence and head, an invocation 4 × 4 of a block's scores
 * and the same four rows' numbers of an output, four out of every 32.
 */
import { assemble, type Shader, storage } from "../wgsl.ts";
import {
  attentionBindings,
  attentionPrelude,
  KEYS,
  loadFour,
  NOTHING,
  scaleOf,
  SPAN,
  storeFour,
  vectorsOf,
} from "./_attention_text.ts";
import { addRows, addScores, four, loadTile, slot, STRIDE, unrolling } from "./_attention_tiles.ts";

/**
 * Bytes of workgroup memory of a tile of so many rows: 22.5 KB of 64, so that a multiprocessor of an H200 holds two of them,
 * which hands out 48 (bench/NOTES.md).
 */
export const tileBytes = (rows: number): number => 16 * STRIDE * (2 * rows + KEYS);

export interface TileText {
  readonly width: number;
  /** Queries of a tile, a multiple of 32; there are `2 · rows` invocations. */
  readonly rows: number;
  readonly stats: boolean;
  readonly unrolled: boolean;
}

export function tileShader({ width, rows, stats, unrolled }: TileText): Shader {
  const vectors = vectorsOf(width);
  const chunks = Math.ceil(vectors / 8);
  const threads = 2 * rows;
  const { rows: each4, chunks: eachChunk, place } = unrolling(unrolled);
  const { declare, of, each, end } = each4;
  const out = (chunk: string, i: string): string => of("out", place(chunk, i));
  const loadQueries = (chunk: string): string =>
    loadTile("queries", {
      rows,
      threads,
      slot: slot("r", rows),
      value: `q_four((sequence * n + first + r) * heads + head, 8u * ${chunk} + c) * ${scaleOf(width)}`,
      when: `first + r < n && 8u * ${chunk} + c < ${vectors}u`,
    });
  const loadKeys = (name: "k" | "v", chunk: string): string =>
    loadTile("keys", {
      rows: KEYS,
      threads,
      slot: name === "k" ? slot("r", KEYS) : "r",
      value: `${name}_four((sequence * extent[0].z + ${KEYS}u * block + r) * heads + head, 8u * ${chunk} + c)`,
      when: `${KEYS}u * block + r < m && 8u * ${chunk} + c < ${vectors}u`,
    });
  return assemble("attention", {
    bindings: [
      ...attentionBindings(width, { q: "read", k: "read", v: "read", o: "read_write" }),
      storage("stats", "f32", "read_write"),
    ],
    source: /* wgsl */ `
${attentionPrelude}
${["q", "k", "v", "o"].map((name) => loadFour(name, width)).join("\n")}
${storeFour("o", width)}
var<workgroup> queries: array<vec4f, ${rows * STRIDE}>;
var<workgroup> keys: array<vec4f, ${KEYS * STRIDE}>;
var<workgroup> shares: array<vec4f, ${rows * STRIDE}>;
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let n = extent[0].y;
  let heads = extent[0].w;
  let m = live[0];
  let group = flat_workgroup(workgroup, grid);
  let tiles = (n + ${rows - 1}u) / ${rows}u;
  let sequence = group / tiles / heads;
  let head = group / tiles % heads;
  if (sequence >= extent[0].x) { return; }
  // Long rows of a causal mask start first.
  let first = ${rows}u * (tiles - 1u - group % tiles);
  let position = m - n + first;
  let begin = first_key(position) / ${KEYS}u;
  let end = (key_end(min(position + ${rows - 1}u, m - 1u), m) + ${KEYS - 1}u) / ${KEYS}u;
  let ty = lid / 8u;
  let tx = lid % 8u;
  let row = first + 4u * ty;
  // Maxima and sums of the span, and of the spans before.
  ${declare("most", "f32", NOTHING)}
  ${declare("sum_of", "f32", "0.0")}
  ${declare("most_before", "f32", NOTHING)}
  ${declare("sum_before", "f32", "0.0")}
  ${declare("factor", "f32", "0.0")}
  ${declare("added", "f32", "0.0")}
  ${declare("score", "vec4f", "vec4f()")}
  ${declare("out", "vec4f", "vec4f()", 4 * chunks)}
  ${chunks === 1 ? loadQueries("0u") : ""}
  for (var block = begin; block < end; block++) {
    ${each((i) => `${of("score", i)} = vec4f();`)}
    ${
      eachChunk.each((chunk) => /* wgsl */ `
    ${chunks === 1 ? "" : loadQueries(chunk)}
    ${loadKeys("k", chunk)}
    workgroupBarrier();
    ${
        addScores(each4, "score", {
          left: "queries",
          right: "keys",
          rows,
          columns: `min(8u, ${vectors}u - 8u * ${chunk})`,
        })
      }
    workgroupBarrier();`, chunks)
    }
    let key = vec4u(${KEYS}u * block + 4u * tx) + vec4u(0u, 1u, 2u, 3u);
    ${
      each((i) => /* wgsl */ `
      let at = m - n + row + ${i};
      let seen = (key >= vec4u(first_key(at))) & (key < vec4u(select(0u, key_end(at, m), row + ${i} < n)));
      let masked = select(vec4f(${NOTHING}), ${of("score", i)}, seen);
      ${of("score", i)} = masked;
      // Maxima lie where the shares will.
      shares[(4u * ty + ${i}) * ${STRIDE}u + tx].x = max(max(masked.x, masked.y), max(masked.z, masked.w));`)
    }
    workgroupBarrier();
    ${
      each((i) => /* wgsl */ `
      var next = ${of("most", i)};
      for (var e = 0u; e < ${end(8)}; e++) { next = max(next, shares[(4u * ty + ${i}) * ${STRIDE}u + e].x); }
      ${of("factor", i)} = exp_at_most_1(${of("most", i)} - next);
      ${of("most", i)} = next;
      ${of("added", i)} = 0.0;`)
    }
    workgroupBarrier();
    ${
      each((i) => /* wgsl */ `
      let masked = ${of("score", i)};
      shares[${slot(`(4u * ty + ${i})`, rows)} * ${STRIDE}u + tx] =
        select(vec4f(), exp4_at_most_1(masked - vec4f(${of("most", i)})), masked > vec4f(${NOTHING}));`)
    }
    ${
      eachChunk.each((chunk) => /* wgsl */ `
    ${loadKeys("v", chunk)}
    workgroupBarrier();
    ${each((i) => `${out(chunk, i)} *= ${of("factor", i)};`)}
    ${addRows(each4, (i) => out(chunk, i), { shares: "shares", values: "keys", rows })}
    workgroupBarrier();`, chunks)
    }
    for (var j = 0u; j < ${end(8)}; j++) {
      ${
      each((i) => /* wgsl */ `
        let share = shares[(${rows / 4}u * ${i} + ty) * ${STRIDE}u + j];
        ${four.map((e) => `${of("added", i)} += share.${"xyzw"[e]};`).join(" ")}`)
    }
    }
    ${each((i) => `${of("sum_of", i)} = fma(${of("sum_of", i)}, ${of("factor", i)}, ${of("added", i)});`)}
    let last = block + 1u == end;
    if ((block + 1u) % ${SPAN / KEYS}u == 0u || last) {
      let started = block / ${SPAN / KEYS}u > begin / ${SPAN / KEYS}u;
      ${
      each((i) => /* wgsl */ `
      if (row + ${i} < n) {
        let next = max(${of("most_before", i)}, ${of("most", i)});
        let before = exp_at_most_1(${of("most_before", i)} - next);
        let now = exp_at_most_1(${of("most", i)} - next);
        ${of("sum_before", i)} = fma(${of("sum_before", i)}, before, ${of("sum_of", i)} * now);
        ${of("most_before", i)} = next;
        ${of("most", i)} = ${NOTHING};
        ${of("sum_of", i)} = 0.0;
        let inverse = select(1.0, 1.0 / ${of("sum_before", i)}, last);
        let at = (sequence * n + row + ${i}) * heads + head;
        ${
        eachChunk.each((chunk) => /* wgsl */ `
        if (8u * ${chunk} + tx < ${vectors}u) {
          var so_far = vec4f();
          if (started) { so_far = o_four(at, 8u * ${chunk} + tx); }
          set_o(at, 8u * ${chunk} + tx, fma(so_far, vec4f(before), ${out(chunk, i)} * now) * inverse);
        }
        ${out(chunk, i)} = vec4f();`, chunks)
      }
        ${stats ? `if (last && tx == 0u) { stats[at] = next + log_at_least_1(${of("sum_before", i)}); }` : ""}
      }`)
    }
    }
  }
}
`,
  });
}
