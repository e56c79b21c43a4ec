/** The result from partial sums: added up, a bias or what was there added, and stored in the result's type. */

import type { Tensor } from "../tensor.ts";
import { flatWorkgroup } from "../workgroups.ts";
import { type Sizes, sizesText } from "./_sizes.ts";

export const FINISH_THREADS = 256;

/** Words of the result, one an invocation. */
const wordsOf = ({ length, dtype }: Tensor): number => dtype === "f32" ? length : Math.ceil(length / 2);

export const finishWorkgroups = (c: Tensor): number => Math.ceil(wordsOf(c) / FINISH_THREADS);

/** What is to be done. */
export interface Finish {
  /** Of the sums; 0 if they are empty. */
  readonly parts: number;
  readonly accumulate: boolean;
  /** Whether there is a bias. */
  readonly bias: boolean;
}

export function finishSizes(c: Tensor, { parts, accumulate }: Finish): Sizes {
  return { length: c.length, words: wordsOf(c), parts, accumulate: Number(accumulate), columns: c.shape.at(-1)! };
}

/**
 * Bindings: the result, {@linkcode finishSizes}, then partial results, `[parts, length]`, unless there are none, and the bias if
 * there is one.
 */
export function finishShader(c: Tensor, finish: Finish): string {
  const { parts, bias } = finish;
  const f16 = c.dtype === "f16";
  const product = (at: string): string => parts === 0 ? "0.0" : `sum_of(${at})`;
  const sum = (at: string): string => bias ? `${product(at)} + bias[(${at}) % sizes.columns]` : product(at);
  const body = f16
    ? /* wgsl */ `
  var sums = vec2f(${sum("2u * at")}, 0.0);
  if (2u * at + 1u < sizes.length) { sums.y = ${sum("2u * at + 1u")}; }
  if (sizes.accumulate != 0u) { sums += unpack2x16float(result[at]); }
  result[at] = pack2x16float(sums);`
    : /* wgsl */ `
  var sum = ${sum("at")};
  if (sizes.accumulate != 0u) { sum += result[at]; }
  result[at] = sum;`;
  return /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> result: array<${f16 ? "u32" : "f32"}>;
${sizesText(finishSizes(c, finish), 1)}
${parts === 0 ? "" : partials}
${bias ? `@group(0) @binding(${parts === 0 ? 2 : 3}) var<storage, read> bias: array<f32>;` : ""}
${flatWorkgroup}
@compute @workgroup_size(${FINISH_THREADS})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = flat_workgroup(id, grid) * ${FINISH_THREADS}u + lid;
  if (at >= sizes.words) { return; }
  ${body}
}
`;
}

const partials = /* wgsl */ `
@group(0) @binding(2) var<storage, read> partial: array<f32>;
fn sum_of(at: u32) -> f32 {
  var sum = partial[at];
  for (var part = 1u; part < sizes.parts; part++) { sum += partial[part * sizes.length + at]; }
  return sum;
}
`;
