/**
 * Attention of a few queries over many keys: a workgroup for each query and span of keys, then one for each query that merges
 * its spans in order.
 *
 * Key j lies in row j % room, so that a window's keys may lie in a ring. Spans are those of the keys' positions all the same:
 * where a key lies changes no bit.
 */
import { assemble, type Shader, storage, WORKGROUP } from "../wgsl.ts";
import {
  addProducts,
  attentionBindings,
  attentionPrelude,
  KEYS,
  loadFour,
  NOTHING,
  scaleOf,
  SPAN,
  vectorsOf,
} from "./_attention_text.ts";

const BLOCKS = SPAN / KEYS;

const place = /* wgsl */ `
  let n = extent[0].y;
  let heads = extent[0].w;
  let m = live[0];
  // Room for spans of each row.
  let spans = extent[1].z;
  if (row >= extent[0].x * n * heads) { return; }
  let sequence = row / heads / n;
  let head = row % heads;
  let position = m - n + row / heads % n;
  let begin = first_key(position);
  let to = key_end(position, m);
  // The span of the first key that is seen.
  let earliest = begin / ${SPAN}u;`;

/** Shares of spans in an output: `parts[row, span, …]` not yet divided, `sums[row, span]` maximum and sum; from the first seen on. */
export function stepShader(width: number): Shader {
  const vectors = vectorsOf(width);
  return assemble("attention step", {
    bindings: [
      ...attentionBindings(width, { q: "read", k: "read" }),
      storage("v", "f32"),
      storage("parts", "f32", "read_write"),
      { name: "sums", access: "read_write", type: "array<vec2f>" },
    ],
    source: /* wgsl */ `
${attentionPrelude}
${["q", "k"].map((name) => loadFour(name, width)).join("\n")}
/* At most room keys are seen. */
fn row_of(row: u32, room: u32) -> u32 { return select(row, row - room, row >= room); }
var<workgroup> query: array<vec4f, ${vectors}>;
var<workgroup> shares: array<f32, ${SPAN}>;
var<workgroup> of_blocks: array<f32, ${BLOCKS}>;
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let group = flat_workgroup(workgroup, grid);
  let row = group / extent[1].z;
  ${place}
  let span = earliest + group % spans;
  if (span * ${SPAN}u >= to) { return; }
  let room = extent[0].z;
  let start = max(begin, span * ${SPAN}u);
  let start_row = start % room;
  for (var c = lid; c < ${vectors}u; c += ${WORKGROUP}u) { query[c] = q_four(row, c) * ${scaleOf(width)}; }
  workgroupBarrier();
  for (var at = lid; at < ${SPAN}u; at += ${WORKGROUP}u) {
    let j = span * ${SPAN}u + at;
    var score = 0.0;
    if (j >= begin && j < to) {
      let key = (sequence * room + row_of(start_row + j - start, room)) * heads + head;
      for (var c = 0u; c < ${vectors}u; c++) {
        let a = query[c];
        let b = k_four(key, c);
        ${addProducts("score", "a", "b")}
      }
    } else { score = ${NOTHING}; }
    shares[at] = score;
  }
  workgroupBarrier();
  if (lid < ${BLOCKS}u) {
    var most = shares[lid * ${KEYS}u];
    for (var j = 1u; j < ${KEYS}u; j++) { most = max(most, shares[lid * ${KEYS}u + j]); }
    of_blocks[lid] = most;
  }
  workgroupBarrier();
  // The maximum after each block, and what the sums so far are multiplied by there.
  var maxima: array<f32, ${BLOCKS}>;
  var factors: array<f32, ${BLOCKS}>;
  var most = ${NOTHING};
  for (var block = 0u; block < ${BLOCKS}u; block++) {
    let next = max(most, of_blocks[block]);
    factors[block] = exp_at_most_1(most - next);
    maxima[block] = next;
    most = next;
  }
  workgroupBarrier();
  for (var at = lid; at < ${SPAN}u; at += ${WORKGROUP}u) {
    let j = span * ${SPAN}u + at;
    shares[at] = select(0.0, exp_at_most_1(shares[at] - maxima[at / ${KEYS}u]), j >= begin && j < to);
  }
  workgroupBarrier();
  if (lid < ${BLOCKS}u) {
    var sum = 0.0;
    for (var j = 0u; j < ${KEYS}u; j++) { sum += shares[lid * ${KEYS}u + j]; }
    of_blocks[lid] = sum;
  }
  workgroupBarrier();
  let place = row * spans + span - earliest;
  if (lid == 0u) {
    var sum = 0.0;
    for (var block = 0u; block < ${BLOCKS}u; block++) { sum = fma(sum, factors[block], of_blocks[block]); }
    sums[place] = vec2f(most, sum);
  }
  let none = start - span * ${SPAN}u;
  let last = min(${SPAN}u, to - span * ${SPAN}u);
  for (var c = lid; c < ${width}u; c += ${WORKGROUP}u) {
    var sum = 0.0;
    for (var block = 0u; block < ${BLOCKS}u; block++) {
      sum *= factors[block];
      for (var at = max(none, block * ${KEYS}u); at < min(last, (block + 1u) * ${KEYS}u); at++) {
        let key = (sequence * room + row_of(start_row + at - none, room)) * heads + head;
        sum = fma(shares[at], v[key * ${width}u + c], sum);
      }
    }
    parts[place * ${width}u + c] = sum;
  }
}
`,
  });
}

/** Merges the spans of a row. */
export function mergeShader(width: number, stats: boolean): Shader {
  return assemble("attention merge", {
    bindings: [
      ...attentionBindings(width, {}),
      storage("parts", "f32"),
      { name: "sums", access: "read", type: "array<vec2f>" },
      storage("o", "f32", "read_write"),
      storage("stats", "f32", "read_write"),
    ],
    source: /* wgsl */ `
${attentionPrelude}
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let row = flat_workgroup(workgroup, grid);
  ${place}
  for (var c = lid; c < ${width}u; c += ${WORKGROUP}u) {
    var most = ${NOTHING};
    var total = 0.0;
    var out = 0.0;
    for (var span = 0u; (earliest + span) * ${SPAN}u < to; span++) {
      let of_span = sums[row * spans + span];
      let next = max(most, of_span.x);
      let before = exp_at_most_1(most - next);
      let now = exp_at_most_1(of_span.x - next);
      total = fma(total, before, of_span.y * now);
      out = fma(out, before, parts[(row * spans + span) * ${width}u + c] * now);
      most = next;
    }
    o[row * ${width}u + c] = out * (1.0 / total);
    ${stats ? "if (c == 0u) { stats[row] = most + log_at_least_1(total); }" : ""}
  }
}
`,
  });
}
