/**
 * Attention over at most one block of keys: several pairs of sequence and head a workgroup, an invocation for each score,
 * then for each row, then for four numbers of an output.
 */
import { assemble, type Shader, storage, WORKGROUP } from "../wgsl.ts";
import {
  addProducts,
  attentionBindings,
  attentionPrelude,
  loadFour,
  scaleOf,
  storeFour,
  vectorsOf,
} from "./_attention_text.ts";

/** Scores that a workgroup has room for. */
export const FLAT_SCORES = 1024;

/** `extent[1].z` is the number of pairs of a workgroup, whose scores must fit {@linkcode FLAT_SCORES}. */
export function flatShader(width: number, stats: boolean): Shader {
  const vectors = vectorsOf(width);
  return assemble("attention flat", {
    bindings: [
      ...attentionBindings(width, { q: "read", k: "read", v: "read", o: "read_write" }),
      storage("stats", "f32", "read_write"),
    ],
    source: /* wgsl */ `
${attentionPrelude}
${["q", "k", "v"].map((name) => loadFour(name, width)).join("\n")}
${storeFour("o", width)}
var<workgroup> shares: array<f32, ${FLAT_SCORES}>;
var<workgroup> inverses: array<f32, ${FLAT_SCORES}>;
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let n = extent[0].y;
  let heads = extent[0].w;
  let m = live[0];
  let first = flat_workgroup(workgroup, grid) * extent[1].z;
  let all = extent[0].x * heads;
  if (first >= all) { return; }
  let rows = n * min(extent[1].z, all - first);
  for (var at = lid; at < rows * m; at += ${WORKGROUP}u) {
    let pair = first + at / m / n;
    let row = ((pair / heads) * n + at / m % n) * heads + pair % heads;
    let key = ((pair / heads) * extent[0].z + at % m) * heads + pair % heads;
    var score = 0.0;
    for (var c = 0u; c < ${vectors}u; c++) {
      let a = q_four(row, c) * ${scaleOf(width)};
      let b = k_four(key, c);
      ${addProducts("score", "a", "b")}
    }
    shares[at] = score;
  }
  workgroupBarrier();
  for (var r = lid; r < rows; r += ${WORKGROUP}u) {
    let position = m - n + r % n;
    let begin = first_key(position);
    let to = key_end(position, m);
    var most = shares[r * m + begin];
    for (var j = begin + 1u; j < to; j++) { most = max(most, shares[r * m + j]); }
    var sum = 0.0;
    for (var j = begin; j < to; j++) {
      let share = exp_at_most_1(shares[r * m + j] - most);
      shares[r * m + j] = share;
      sum += share;
    }
    inverses[r] = 1.0 / sum;
    ${
      stats
        ? `let pair = first + r / n;
    stats[((pair / heads) * n + r % n) * heads + pair % heads] = most + log_at_least_1(sum);`
        : ""
    }
  }
  workgroupBarrier();
  for (var at = lid; at < rows * ${vectors}u; at += ${WORKGROUP}u) {
    let r = at / ${vectors}u;
    let c = at % ${vectors}u;
    let pair = first + r / n;
    let position = m - n + r % n;
    var sum = vec4f();
    for (var j = first_key(position); j < key_end(position, m); j++) {
      let key = ((pair / heads) * extent[0].z + j) * heads + pair % heads;
      sum = fma(vec4f(shares[r * m + j]), v_four(key, c), sum);
    }
    set_o(((pair / heads) * n + r % n) * heads + pair % heads, c, sum * inverses[r]);
  }
}
`,
  });
}
