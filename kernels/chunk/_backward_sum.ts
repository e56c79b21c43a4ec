/**
 * Sums over the rows of an array [rows, columns], in a fixed order: what parameters get from all tokens.
 *
 * @module
 */
import type { Dispatch, Gpu } from "../gpu.ts";
import { BufferUsage } from "../gpu.ts";
import { flatWorkgroup } from "../workgroups.ts";

const THREADS = 64;

const code = /* wgsl */ `
@group(0) @binding(0) var<uniform> extent: vec4u;
@group(0) @binding(1) var<storage, read> given: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;
${flatWorkgroup}
var<workgroup> shares: array<f32, ${THREADS}>;
@compute @workgroup_size(${THREADS})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let column = flat_workgroup(workgroup, grid);
  if (column >= extent.y) { return; }
  var total = 0.0;
  for (var row = lid; row < extent.x; row += ${THREADS}u) { total += given[row * extent.y + column]; }
  shares[lid] = total;
  for (var n = ${THREADS / 2}u; n > 0u; n /= 2u) {
    workgroupBarrier();
    if (lid < n) { shares[lid] += shares[lid + n]; }
  }
  if (lid == 0u) { result[column] = shares[0]; }
}
`;

/** A dispatch that sums over rows, and its scratch; a sum over none is 0. */
export async function sumRows(
  gpu: Gpu,
  { given, result, rows, columns }: {
    readonly given: GPUBuffer;
    readonly result: GPUBuffer;
    readonly rows: number;
    readonly columns: number;
  },
): Promise<{ readonly dispatch: Dispatch; readonly scratch: GPUBuffer }> {
  const pipeline = await gpu.compile({ label: "sum over rows", code });
  const scratch = gpu.upload(Uint32Array.of(rows, columns, 0, 0), {
    label: "rows and columns",
    usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
  });
  return { dispatch: { pipeline, buffers: [scratch, given, result], workgroups: columns }, scratch };
}
