/** Kernels over rows of logits: a workgroup a row, whose result does not depend on the other rows. */
import { assemble, type Binding, type Shader, storage } from "../wgsl.ts";
import { exponentials } from "./_exponentials.ts";

/** `first` (row of the tensors that the first row of logits is), rows, vocabulary. */
const bindings: readonly Binding[] = [
  { name: "extent", access: "uniform", type: "vec4u" },
  storage("targets", "u32"),
  storage("stats", "f32", "read_write"),
];

const entry = (threads: number): string => /* wgsl */ `
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let group = flat_workgroup(workgroup, grid);
  if (group >= extent.y) { return; }
  let row = extent.x + group;
  let start = group * extent.z;
  // A row of weight 0 may have any target.
  let target_id = min(targets[row], extent.z - 1u);`;

/** What is stored for each row, apart from `stats`. */
export interface RowOutputs {
  readonly losses: boolean;
  readonly best: boolean;
  readonly margins: boolean;
}

/**
 * From `logits`: their log-sum-exp to `stats`, the target's −log p to `losses`, the lowest id of the largest to `best`, how far the
 * next is below to `margins`.
 */
export function rowsShader(threads: number, { losses, best, margins }: RowOutputs): Shader {
  const tree = (step: string): string => /* wgsl */ `
  for (var other = ${threads / 2}u; other > 0u; other /= 2u) {
    workgroupBarrier();
    if (lid < other) { ${step} }
  }
  workgroupBarrier();`;
  return assemble("cross-entropy rows", {
    bindings: [
      ...bindings,
      storage("logits", "f32"),
      storage("losses", "f32", "read_write"),
      storage("best", "u32", "read_write"),
      storage("margins", "f32", "read_write"),
    ],
    source: /* wgsl */ `
${exponentials}
var<workgroup> largest: array<vec2f, ${threads}>;
var<workgroup> ids: array<u32, ${threads}>;
var<workgroup> sums: array<f32, ${threads}>;
${entry(threads)}
  // The largest logit, the next, and the id of the largest: the lowest of equal ones.
  var two = vec2f(-3.4028234e38);
  var id = 0xffffffffu;
  for (var at = lid; at < extent.z; at += ${threads}u) {
    let logit = logits[start + at];
    if (logit > two.x || id == 0xffffffffu) {
      two = vec2f(logit, two.x);
      id = at;
    } else { two.y = max(two.y, logit); }
  }
  largest[lid] = two;
  ids[lid] = id;
  ${
      tree(/* wgsl */ `
      let a = largest[lid];
      let b = largest[lid + other];
      largest[lid] = vec2f(max(a.x, b.x), max(min(a.x, b.x), max(a.y, b.y)));
      if (b.x > a.x || (b.x == a.x && ids[lid + other] < ids[lid])) { ids[lid] = ids[lid + other]; }`)
    }
  two = largest[0];
  var sum = 0.0;
  for (var at = lid; at < extent.z; at += ${threads}u) { sum += exp_at_most_1(logits[start + at] - two.x); }
  sums[lid] = sum;
  ${tree("sums[lid] += sums[lid + other];")}
  if (lid != 0u) { return; }
  let log_sum = two.x + log_at_least_1(max(sums[0], 1.0));
  stats[row] = log_sum;
  ${losses ? "losses[row] = log_sum - logits[start + target_id];" : "_ = target_id;"}
  ${best ? "best[row] = ids[0];" : ""}
  ${margins ? "margins[row] = two.x - two.y;" : ""}
}
`,
  });
}

/** Turns logits into their gradients: `(p − [target]) · weight / Σ weights · cotangent`. */
export function slopesShader(threads: number): Shader {
  return assemble("cross-entropy slopes", {
    bindings: [
      ...bindings,
      storage("weights", "f32"),
      storage("total", "f32"),
      storage("cotangent", "f32"),
      storage("logits", "f32", "read_write"),
    ],
    source: /* wgsl */ `
${exponentials}
${entry(threads)}
  let weight = weights[row];
  var factor = 0.0;
  if (weight != 0.0) { factor = weight / total[0] * cotangent[0]; }
  let log_sum = stats[row];
  for (var at = lid; at < extent.z; at += ${threads}u) {
    let share = exp_at_most_1(logits[start + at] - log_sum);
    logits[start + at] = factor * (share - select(0.0, 1.0, at == target_id));
  }
}
`,
  });
}

const THREADS = 256;

/** Additions that a term of a sum over so many rows meets. */
export const rowAdditions = (rows: number): number => Math.ceil(rows / THREADS) + Math.log2(THREADS);

/** One workgroup: `loss = Σ weights · losses / Σ weights`, or 0; without `losses`, `loss = Σ weights`. */
export function meanShader(losses: boolean): Shader {
  return assemble("cross-entropy mean", {
    bindings: [
      { name: "extent", access: "uniform", type: "vec4u" },
      storage("weights", "f32"),
      storage("losses", "f32"),
      storage("loss", "f32", "read_write"),
    ],
    source: /* wgsl */ `
var<workgroup> sums: array<vec2f, ${THREADS}>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(local_invocation_index) lid: u32) {
  var sum = vec2f();
  for (var row = lid; row < extent.y; row += ${THREADS}u) {
    let weight = weights[row];
    ${losses ? "if (weight != 0.0) { sum += vec2f(weight * losses[row], weight); }" : "sum.y += weight;"}
  }
  sums[lid] = sum;
  for (var other = ${THREADS / 2}u; other > 0u; other /= 2u) {
    workgroupBarrier();
    if (lid < other) { sums[lid] += sums[lid + other]; }
  }
  if (lid == 0u) {
    ${
      losses
        ? "loss[0] = 0.0;\n    if (sums[0].y != 0.0) { loss[0] = sums[0].x / sums[0].y; }"
        : "loss[0] = sums[0].y;"
    }
  }
}
`,
  });
}
