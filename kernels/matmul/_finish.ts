/** The result from partial sums: added up, added to what was there, and stored in the result's type. */

import type { Tensor } from "../tensor.ts";
import { flatWorkgroup } from "../workgroups.ts";

export const FINISH_THREADS = 256;

/** Words of the result, one an invocation. */
const wordsOf = ({ length, dtype }: Tensor): number => dtype === "f32" ? length : Math.ceil(length / 2);

export const finishWorkgroups = (c: Tensor): number => Math.ceil(wordsOf(c) / FINISH_THREADS);

/** Bindings: the result, then `parts` partial results, `[parts, length]`, unless there are none. */
export function finishShader(c: Tensor, parts: number, accumulate: boolean): string {
  const { length, dtype } = c;
  const f16 = dtype === "f16";
  const sum = (at: string): string =>
    parts === 0 ? "0.0" : Array.from({ length: parts }, (_, p) => `partial[${p * length}u + ${at}]`).join(" + ");
  const body = f16
    ? /* wgsl */ `
  var sums = vec2f(${sum("2u * at")}, 0.0);
  if (2u * at + 1u < ${length}u) { sums.y = ${sum("2u * at + 1u")}; }
  result[at] = pack2x16float(sums${accumulate ? " + unpack2x16float(result[at])" : ""});`
    : `result[at] = ${accumulate ? "result[at] + " : ""}(${sum("at")});`;
  return /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> result: array<${f16 ? "u32" : "f32"}>;
${parts === 0 ? "" : "@group(0) @binding(1) var<storage, read> partial: array<f32>;"}
${flatWorkgroup}
@compute @workgroup_size(${FINISH_THREADS})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = flat_workgroup(id, grid) * ${FINISH_THREADS}u + lid;
  if (at >= ${wordsOf(c)}u) { return; }
  ${body}
}
`;
}
