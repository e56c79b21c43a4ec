/** Gradients of an attention over at most one block of keys, all in one kernel: invocations as in the forward one. */
import { assemble, type Shader, storage, WORKGROUP } from "../wgsl.ts";
import { FLAT_SCORES } from "./_attention_flat.ts";
import {
  addProducts,
  attentionBindings,
  attentionPrelude,
  loadFour,
  scaleOf,
  storeFour,
  vectorsOf,
} from "./_attention_text.ts";

/** Statement: stores a gradient, or adds it to what there is. */
export function storeGradient(name: string, row: string, c: string, value: string): string {
  return `{
      var before = vec4f();
      if (extent[2].x == 1u) { before = ${name}_four(${row}, ${c}); }
      set_${name}(${row}, ${c}, before + ${value});
    }`;
}

export function flatGradientShader(width: number): Shader {
  const vectors = vectorsOf(width);
  return assemble("attention gradients flat", {
    bindings: [
      ...attentionBindings(width, {
        ...{ q: "read", k: "read", v: "read", d_o: "read" },
        ...{ dq: "read_write", dk: "read_write", dv: "read_write" },
      }),
      storage("stats", "f32"),
    ],
    source: /* wgsl */ `
${attentionPrelude}
${["q", "k", "v", "d_o", "dq", "dk", "dv"].map((name) => loadFour(name, width)).join("\n")}
${["dq", "dk", "dv"].map((name) => storeFour(name, width)).join("\n")}
var<workgroup> shares: array<f32, ${FLAT_SCORES}>;
var<workgroup> slopes: array<f32, ${FLAT_SCORES}>;
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let n = extent[0].y;
  let m = extent[0].z;
  let heads = extent[0].w;
  let first = flat_workgroup(workgroup, grid) * extent[1].z;
  let all = extent[0].x * heads;
  if (first >= all) { return; }
  let pairs = min(extent[1].z, all - first);
  for (var at = lid; at < pairs * n * m; at += ${WORKGROUP}u) {
    let pair = first + at / m / n;
    let i = at / m % n;
    let j = at % m;
    let row = ((pair / heads) * n + i) * heads + pair % heads;
    let key = ((pair / heads) * m + j) * heads + pair % heads;
    var share = 0.0;
    var slope = 0.0;
    if (j >= first_key(m - n + i) && j < key_end(m - n + i, m)) {
      var score = 0.0;
      for (var c = 0u; c < ${vectors}u; c++) {
        let a = q_four(row, c) * ${scaleOf(width)};
        let b = k_four(key, c);
        ${addProducts("score", "a", "b")}
        let d = d_o_four(row, c);
        let e = v_four(key, c);
        ${addProducts("slope", "d", "e")}
      }
      share = exp_at_most_1(score - stats[row]);
    }
    shares[at] = share;
    slopes[at] = slope;
  }
  workgroupBarrier();
  for (var r = lid; r < pairs * n; r += ${WORKGROUP}u) {
    var mean = 0.0;
    for (var j = 0u; j < m; j++) { mean = fma(shares[r * m + j], slopes[r * m + j], mean); }
    for (var j = 0u; j < m; j++) { slopes[r * m + j] = shares[r * m + j] * (slopes[r * m + j] - mean); }
  }
  workgroupBarrier();
  for (var at = lid; at < pairs * n * ${vectors}u; at += ${WORKGROUP}u) {
    let r = at / ${vectors}u;
    let c = at % ${vectors}u;
    let pair = first + r / n;
    let row = ((pair / heads) * n + r % n) * heads + pair % heads;
    var sum = vec4f();
    for (var j = 0u; j < m; j++) {
      let key = ((pair / heads) * m + j) * heads + pair % heads;
      sum = fma(vec4f(slopes[r * m + j]), k_four(key, c), sum);
    }
    ${storeGradient("dq", "row", "c", `sum * ${scaleOf(width)}`)}
  }
  for (var at = lid; at < pairs * m * ${vectors}u; at += ${WORKGROUP}u) {
    let r = at / ${vectors}u;
    let c = at % ${vectors}u;
    let pair = first + r / m;
    let key = ((pair / heads) * m + r % m) * heads + pair % heads;
    var of_key = vec4f();
    var of_value = vec4f();
    for (var i = 0u; i < n; i++) {
      let row = ((pair / heads) * n + i) * heads + pair % heads;
      let score = (r / m * n + i) * m + r % m;
      of_key = fma(vec4f(slopes[score]), q_four(row, c), of_key);
      of_value = fma(vec4f(shares[score]), d_o_four(row, c), of_value);
    }
    ${storeGradient("dk", "key", "c", `of_key * ${scaleOf(width)}`)}
    ${storeGradient("dv", "key", "c", "of_value")}
  }
}
`,
  });
}
