/** Reads four neighbouring numbers of a batch of matrices, zero beyond their ends. */

import type { Side } from "./_problem.ts";

/** Where numbers lie, as WGSL. */
export interface Extents {
  readonly outer: string;
  readonly inner: string;
  /** The matrix of `batch`. */
  readonly matrix: string;
  /** Whether rows are whole vectors of four. */
  readonly whole: boolean;
}

/**
 * The declaration of binding `binding`, and `fn name_quad(batch, outer, inner) -> vec4f`; `inner` is a multiple of 4.
 */
export function quadLoad(
  name: string,
  binding: number,
  { tensor }: Pick<Side, "tensor">,
  { outer, inner, matrix, whole }: Extents,
): string {
  const half = tensor.dtype === "f16";
  const type = half ? (whole ? "vec2u" : "u32") : (whole ? "vec4f" : "f32");
  const source = `${name}_source`;
  return /* wgsl */ `
@group(0) @binding(${binding}) var<storage, read> ${source}: array<${type}>;
fn ${name}_quad(batch: u32, outer: u32, inner: u32) -> vec4f {
  if (outer >= ${outer} || inner >= ${inner}) { return vec4f(); }
  let at = (${matrix} * ${outer} + outer) * ${inner} + inner;
  ${whole ? wholeQuad(source, half) : parts(source, half, inner)}
}
`;
}

function wholeQuad(source: string, half: boolean): string {
  if (!half) return `return ${source}[at / 4u];`;
  return `let words = ${source}[at / 4u]; return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));`;
}

function parts(source: string, half: boolean, inner: string): string {
  const value = (c: number): string =>
    half ? `unpack2x16float(${source}[(at + ${c}u) >> 1u])[(at + ${c}u) & 1u]` : `${source}[at + ${c}u]`;
  const guarded = [1, 2, 3].map((c) => `if (inner + ${c}u < ${inner}) { quad[${c}] = ${value(c)}; }`);
  return `var quad = vec4f(${value(0)}, 0.0, 0.0, 0.0);\n  ${guarded.join("\n  ")}\n  return quad;`;
}
