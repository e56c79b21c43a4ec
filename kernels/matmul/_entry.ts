/** Entry points of a product's kernels. */
import { flatWorkgroup } from "../workgroups.ts";

/**
 * An entry point whose workgroups are told apart by their flat index `group`, of `sizes.workgroups`, and their invocations by `lid`;
 * `body` is statements.
 */
export function entryPerGroup(threads: number, body: string): string {
  return /* wgsl */ `${flatWorkgroup}
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let group = flat_workgroup(id, grid);
  if (group >= sizes.workgroups) { return; }
  ${body}
}`;
}
