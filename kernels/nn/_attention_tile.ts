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
import { each, four, loadTile, multiply, scores, slot, STRIDE } from "./_attention_tiles.ts";

/** Bytes of workgroup memory of a tile of so many rows. */
export const tileBytes = (rows: number): number => 16 * STRIDE * (2 * rows + KEYS) + 4 * STRIDE * rows;

/** A tile of `rows` queries, a multiple of 32; `2 · rows` invocations. */
export function tileShader(width: number, rows: number, stats: boolean): Shader {
  const vectors = vectorsOf(width);
  const chunks = Math.ceil(vectors / 8);
  const threads = 2 * rows;
  const columns = (chunk: number): number => Math.min(8, vectors - 8 * chunk);
  const loadQueries = (chunk: number): string =>
    loadTile("queries", {
      rows,
      columns: columns(chunk),
      threads,
      slot: slot("r", rows),
      value: `q_four(((sequence * n + first + r) * heads + head), ${8 * chunk}u + c) * ${scaleOf(width)}`,
      when: "first + r < n",
    });
  const loadKeys = (name: "k" | "v", chunk: number): string =>
    loadTile("keys", {
      rows: KEYS,
      columns: columns(chunk),
      threads,
      slot: name === "k" ? slot("r", KEYS) : "r",
      value: `${name}_four(((sequence * extent[0].z + ${KEYS}u * block + r) * heads + head), ${8 * chunk}u + c)`,
      when: `${KEYS}u * block + r < m`,
    });
  const all = Array.from({ length: chunks }, (_, chunk) => chunk);
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
var<workgroup> maxima: array<f32, ${rows * STRIDE}>;
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
  ${
      each((i) => /* wgsl */ `
  let row_${i} = first + 4u * ty + ${i}u;
  let from_${i} = first_key(m - n + row_${i});
  let to_${i} = select(0u, key_end(m - n + row_${i}, m), row_${i} < n);
  var most_${i} = ${NOTHING};
  var sum_${i} = 0.0;
  var most_before_${i} = ${NOTHING};
  var sum_before_${i} = 0.0;
  ${all.map((chunk) => `var out_${chunk}_${i} = vec4f();`).join(" ")}`)
    }
  ${chunks === 1 ? loadQueries(0) : ""}
  for (var block = begin; block < end; block++) {
    ${each((i) => `var score_${i} = vec4f();`)}
    ${
      all.map((chunk) => /* wgsl */ `
    ${chunks === 1 ? "" : loadQueries(chunk)}
    ${loadKeys("k", chunk)}
    workgroupBarrier();
    ${scores("score", { left: "queries", right: "keys", rows, columns: columns(chunk) })}
    workgroupBarrier();`).join("\n")
    }
    let key = vec4u(${KEYS}u * block + 4u * tx) + vec4u(0u, 1u, 2u, 3u);
    ${
      each((i) => /* wgsl */ `
    let seen_${i} = (key >= vec4u(from_${i})) & (key < vec4u(to_${i}));
    score_${i} = select(vec4f(${NOTHING}), score_${i}, seen_${i});
    maxima[(4u * ty + ${i}u) * ${STRIDE}u + tx] =
      max(max(score_${i}.x, score_${i}.y), max(score_${i}.z, score_${i}.w));`)
    }
    workgroupBarrier();
    ${
      each((i) => /* wgsl */ `
    var next_${i} = most_${i};
    for (var e = 0u; e < 8u; e++) { next_${i} = max(next_${i}, maxima[(4u * ty + ${i}u) * ${STRIDE}u + e]); }
    let factor_${i} = exp_at_most_1(most_${i} - next_${i});
    most_${i} = next_${i};
    var added_${i} = 0.0;
    shares[${slot(`(4u * ty + ${i}u)`, rows)} * ${STRIDE}u + tx] =
      select(vec4f(), exp4_at_most_1(score_${i} - vec4f(next_${i})), seen_${i});`)
    }
    ${
      all.map((chunk) => /* wgsl */ `
    ${loadKeys("v", chunk)}
    workgroupBarrier();
    ${each((i) => `out_${chunk}_${i} *= factor_${i};`)}
    ${
        multiply(`out_${chunk}`, { shares: "shares", values: "keys", rows }, (i) =>
          chunk === 0
            ? four.map((e) => `added_${i} += share_${i}.${"xyzw"[e]};`).join(" ")
            : "")
      }
    workgroupBarrier();`).join("\n")
    }
    ${each((i) => `sum_${i} = fma(sum_${i}, factor_${i}, added_${i});`)}
    if ((block + 1u) % ${SPAN / KEYS}u == 0u || block + 1u == end) {
      let started = block / ${SPAN / KEYS}u > begin / ${SPAN / KEYS}u;
      let last = block + 1u == end;
      ${
      each((i) => /* wgsl */ `
      if (row_${i} < n) {
        let next = max(most_before_${i}, most_${i});
        let before = exp_at_most_1(most_before_${i} - next);
        let now = exp_at_most_1(most_${i} - next);
        sum_before_${i} = fma(sum_before_${i}, before, sum_${i} * now);
        most_before_${i} = next;
        let inverse = select(1.0, 1.0 / sum_before_${i}, last);
        let at = (sequence * n + row_${i}) * heads + head;
        ${
        all.map((chunk) => /* wgsl */ `
        if (${8 * chunk}u + tx < ${vectors}u) {
          var so_far = vec4f();
          if (started) { so_far = o_four(at, ${8 * chunk}u + tx); }
          set_o(at, ${8 * chunk}u + tx, fma(so_far, vec4f(before), out_${chunk}_${i} * now) * inverse);
        }
        out_${chunk}_${i} = vec4f();`).join("\n")
      }
        most_${i} = ${NOTHING};
        sum_${i} = 0.0;
        ${stats ? `if (last && tx == 0u) { stats[at] = most_before_${i} + log_at_least_1(sum_before_${i}); }` : ""}
      }`)
    }
    }
  }
}
`,
  });
}
