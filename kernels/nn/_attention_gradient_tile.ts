/**
 * Gradients of an attention of many queries: one kernel for the queries', tile by tile of queries, one for the keys' and values',
 * tile by tile of keys. Both recompute the shares from the forward pass's logarithms.
 */
import { assemble, type Shader, storage } from "../wgsl.ts";
import { storeGradient } from "./_attention_gradient_flat.ts";
import {
  addProducts,
  attentionBindings,
  attentionPrelude,
  KEYS,
  loadFour,
  scaleOf,
  storeFour,
  vectorsOf,
} from "./_attention_text.ts";
import { addRows, addScores, loadTile, slot, STRIDE, unrolling } from "./_attention_tiles.ts";

/** Rows of a tile: queries of one kernel, keys of the other. */
export const GRADIENT_ROWS = 32;
const THREADS = 2 * GRADIENT_ROWS;

export interface GradientText {
  readonly width: number;
  readonly unrolled: boolean;
}

const tiles = /* wgsl */ `
var<workgroup> left: array<vec4f, ${GRADIENT_ROWS * STRIDE}>;
var<workgroup> right: array<vec4f, ${KEYS * STRIDE}>;
var<workgroup> shares: array<vec4f, ${GRADIENT_ROWS * STRIDE}>;`;

const entry = /* wgsl */ `
@compute @workgroup_size(${THREADS})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let n = extent[0].y;
  let m = extent[0].z;
  let heads = extent[0].w;
  let ty = lid / 8u;
  let tx = lid % 8u;
  let group = flat_workgroup(workgroup, grid);`;

/** Statement: fills `left` or `right` with rows from `first` on of a tensor of queries' or keys' extent. */
function fill(
  width: number,
  tile: "left" | "right",
  name: string,
  { first, extent, chunk, permuted = true }: {
    readonly first: string;
    readonly extent: "n" | "m";
    readonly chunk: string;
    readonly permuted?: boolean;
  },
): string {
  return loadTile(tile, {
    rows: tile === "left" ? GRADIENT_ROWS : KEYS,
    threads: THREADS,
    slot: permuted ? slot("r", 32) : "r",
    value: `${name}_four((sequence * ${extent} + ${first} + r) * heads + head, 8u * ${chunk} + c)` +
      (name === "q" ? ` * ${scaleOf(width)}` : ""),
    when: `${first} + r < ${extent} && 8u * ${chunk} + c < ${vectorsOf(width)}u`,
  });
}

/** `dq`, and `means[N, n, heads]`: each query's Σ o · d_o, which the other kernel reads. */
export function queryGradientShader({ width, unrolled }: GradientText): Shader {
  const vectors = vectorsOf(width);
  const chunks = Math.ceil(vectors / 8);
  const { rows, chunks: eachChunk, place } = unrolling(unrolled);
  const { declare, of, each } = rows;
  const out = (chunk: string, i: string): string => of("out", place(chunk, i));
  const columns = (chunk: string): string => `min(8u, ${vectors}u - 8u * ${chunk})`;
  const queries = (name: string, chunk: string): string =>
    fill(width, "left", name, { first: "first", extent: "n", chunk });
  const keys = (name: string, chunk: string, permuted = true): string =>
    fill(width, "right", name, { first: "begin", extent: "m", chunk, permuted });
  return assemble("attention gradients of queries", {
    bindings: [
      ...attentionBindings(width, { q: "read", k: "read", v: "read", o: "read", d_o: "read", dq: "read_write" }),
      storage("stats", "f32"),
      storage("means", "f32", "read_write"),
    ],
    source: /* wgsl */ `
${attentionPrelude}
${["q", "k", "v", "o", "d_o", "dq"].map((name) => loadFour(name, width)).join("\n")}
${storeFour("dq", width)}
${tiles}
var<workgroup> of_rows: array<vec2f, ${GRADIENT_ROWS}>;
${entry}
  let tiles = (n + ${GRADIENT_ROWS - 1}u) / ${GRADIENT_ROWS}u;
  let sequence = group / tiles / heads;
  let head = group / tiles % heads;
  if (sequence >= extent[0].x) { return; }
  let first = ${GRADIENT_ROWS}u * (tiles - 1u - group % tiles);
  let position = m - n + first;
  let end = key_end(min(position + ${GRADIENT_ROWS - 1}u, m - 1u), m);
  if (lid < ${GRADIENT_ROWS}u && first + lid < n) {
    let row = (sequence * n + first + lid) * heads + head;
    var mean = 0.0;
    for (var c = 0u; c < ${vectors}u; c++) {
      let a = o_four(row, c);
      let b = d_o_four(row, c);
      ${addProducts("mean", "a", "b")}
    }
    means[row] = mean;
    of_rows[lid] = vec2f(mean, stats[row]);
  }
  workgroupBarrier();
  ${declare("score", "vec4f", "vec4f()")}
  ${declare("slope", "vec4f", "vec4f()")}
  ${declare("out", "vec4f", "vec4f()", 4 * chunks)}
  for (var begin = first_key(position) / ${KEYS}u * ${KEYS}u; begin < end; begin += ${KEYS}u) {
    ${each((i) => `${of("score", i)} = vec4f(); ${of("slope", i)} = vec4f();`)}
    ${
      eachChunk.each((chunk) => /* wgsl */ `
    ${queries("q", chunk)}
    ${keys("k", chunk)}
    workgroupBarrier();
    ${addScores(rows, "score", { left: "left", right: "right", rows: GRADIENT_ROWS, columns: columns(chunk) })}
    workgroupBarrier();
    ${queries("d_o", chunk)}
    ${keys("v", chunk)}
    workgroupBarrier();
    ${addScores(rows, "slope", { left: "left", right: "right", rows: GRADIENT_ROWS, columns: columns(chunk) })}
    workgroupBarrier();`, chunks)
    }
    let key = vec4u(begin + 4u * tx) + vec4u(0u, 1u, 2u, 3u);
    ${
      each((i) => /* wgsl */ `
      let r = 4u * ty + ${i};
      let seen = (key >= vec4u(first_key(position + r))) &
        (key < vec4u(select(0u, key_end(position + r, m), first + r < n)));
      let share = exp4_at_most_1(select(vec4f(-200.0), ${of("score", i)} - vec4f(of_rows[r].y), seen));
      shares[${slot("r", GRADIENT_ROWS)} * ${STRIDE}u + tx] = share * (${of("slope", i)} - vec4f(of_rows[r].x));`)
    }
    ${
      eachChunk.each((chunk) => /* wgsl */ `
    ${keys("k", chunk, false)}
    workgroupBarrier();
    ${addRows(rows, (i) => out(chunk, i), { shares: "shares", values: "right", rows: GRADIENT_ROWS })}
    workgroupBarrier();`, chunks)
    }
  }
  ${
      each((i) => /* wgsl */ `
    if (first + 4u * ty + ${i} < n) {
      let row = (sequence * n + first + 4u * ty + ${i}) * heads + head;
      ${
        eachChunk.each((chunk) => {
          const c = `8u * ${chunk} + tx`;
          const value = `${out(chunk, i)} * ${scaleOf(width)}`;
          return `if (${c} < ${vectors}u) { ${storeGradient("dq", "row", c, value)} }`;
        }, chunks)
      }
    }`)
    }
}
`,
  });
}

/** `dk` and `dv`. */
export function keyGradientShader({ width, unrolled }: GradientText): Shader {
  const vectors = vectorsOf(width);
  const chunks = Math.ceil(vectors / 8);
  const { rows, chunks: eachChunk, place } = unrolling(unrolled);
  const { declare, of, each } = rows;
  const out = (name: string) => (chunk: string, i: string): string => of(name, place(chunk, i));
  const columns = (chunk: string): string => `min(8u, ${vectors}u - 8u * ${chunk})`;
  const keys = (name: string, chunk: string): string =>
    fill(width, "left", name, { first: "first", extent: "m", chunk });
  const queries = (name: string, chunk: string, permuted = true): string =>
    fill(width, "right", name, { first: "begin", extent: "n", chunk, permuted });
  const put = (name: string): string =>
    each((i) => `shares[${slot(`(4u * ty + ${i})`, GRADIENT_ROWS)} * ${STRIDE}u + tx] = ${of(name, i)};`);
  const add = (name: string, values: string): string =>
    eachChunk.each((chunk) => /* wgsl */ `
    ${queries(values, chunk, false)}
    workgroupBarrier();
    ${addRows(rows, (i) => out(name)(chunk, i), { shares: "shares", values: "right", rows: GRADIENT_ROWS })}
    workgroupBarrier();`, chunks);
  return assemble("attention gradients of keys", {
    bindings: [
      ...attentionBindings(width, {
        ...{ q: "read", k: "read", v: "read", d_o: "read" },
        ...{ dk: "read_write", dv: "read_write" },
      }),
      storage("stats", "f32"),
      storage("means", "f32"),
    ],
    source: /* wgsl */ `
${attentionPrelude}
${["q", "k", "v", "d_o", "dk", "dv"].map((name) => loadFour(name, width)).join("\n")}
${["dk", "dv"].map((name) => storeFour(name, width)).join("\n")}
${tiles}
${entry}
  let tiles = (m + ${GRADIENT_ROWS - 1}u) / ${GRADIENT_ROWS}u;
  let sequence = group / tiles / heads;
  let head = group / tiles % heads;
  if (sequence >= extent[0].x) { return; }
  let first = ${GRADIENT_ROWS}u * (group % tiles);
  // Queries that see some of these keys: from the first key's own, unless all do; to the last that a window reaches.
  let before = m - n;
  var start = 0u;
  if (extent[1].y == 0u && first > before) { start = first - before; }
  let last = min(first + ${GRADIENT_ROWS - 1}u, m - 1u);
  var end = n;
  if (extent[1].x < m) { end = min(n, max(last + extent[1].x, before) - before); }
  ${declare("score", "vec4f", "vec4f()")}
  ${declare("slope", "vec4f", "vec4f()")}
  ${declare("of_key", "vec4f", "vec4f()", 4 * chunks)}
  ${declare("of_value", "vec4f", "vec4f()", 4 * chunks)}
  for (var begin = start / ${KEYS}u * ${KEYS}u; begin < end; begin += ${KEYS}u) {
    ${each((i) => `${of("score", i)} = vec4f(); ${of("slope", i)} = vec4f();`)}
    ${
      eachChunk.each((chunk) => /* wgsl */ `
    ${keys("k", chunk)}
    ${queries("q", chunk)}
    workgroupBarrier();
    ${addScores(rows, "score", { left: "left", right: "right", rows: GRADIENT_ROWS, columns: columns(chunk) })}
    workgroupBarrier();
    ${keys("v", chunk)}
    ${queries("d_o", chunk)}
    workgroupBarrier();
    ${addScores(rows, "slope", { left: "left", right: "right", rows: GRADIENT_ROWS, columns: columns(chunk) })}
    workgroupBarrier();`, chunks)
    }
    var logs = vec4f();
    var averages = vec4f();
    var lowest = vec4u();
    var highest = vec4u();
    for (var e = 0u; e < 4u; e++) {
      let query = begin + 4u * tx + e;
      if (query < n) {
        let row = (sequence * n + query) * heads + head;
        logs[e] = stats[row];
        averages[e] = means[row];
        lowest[e] = first_key(before + query);
        highest[e] = key_end(before + query, m);
      }
    }
    ${
      each((i) => /* wgsl */ `
      let key = vec4u(first + 4u * ty + ${i});
      let seen = (key >= lowest) & (key < highest);
      let share = exp4_at_most_1(select(vec4f(-200.0), ${of("score", i)} - logs, seen));
      ${of("score", i)} = share;
      ${of("slope", i)} = share * (${of("slope", i)} - averages);`)
    }
    ${put("score")}
    ${add("of_value", "d_o")}
    ${put("slope")}
    ${add("of_key", "q")}
  }
  ${
      each((i) => /* wgsl */ `
    if (first + 4u * ty + ${i} < m) {
      let row = (sequence * m + first + 4u * ty + ${i}) * heads + head;
      ${
        eachChunk.each((chunk) => {
          const c = `8u * ${chunk} + tx`;
          return `if (${c} < ${vectors}u) { ${storeGradient("dk", "row", c, out("of_key")(chunk, i))} ` +
            `${storeGradient("dv", "row", c, out("of_value")(chunk, i))} }`;
        }, chunks)
      }
    }`)
    }
}
`,
  });
}
