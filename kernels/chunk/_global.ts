/** WGSL that reads and writes the caller's tensors: rows of any width, f32 or packed halves, four numbers at a time. */

import type { DType } from "../tensor.ts";
import { type Binding, storage } from "../wgsl.ts";

/** Whether rows of `width` numbers can be read as vectors of four. */
const vectors = (width: number): boolean => width % 4 === 0;

/** The binding of a tensor whose rows of `width` are read four numbers at a time. */
export function quadBinding(name: string, dtype: DType, width: number): Binding {
  const type = vectors(width) ? (dtype === "f32" ? "vec4f" : "vec2u") : dtype === "f32" ? "f32" : "u32";
  return { name, access: "read", type: `array<${type}>` };
}

/** `fn four_NAME(row, column) -> vec4f`: numbers column … column + 3 of the row, zero from `width` on. */
export function quadLoader(name: string, dtype: DType, width: number): string {
  const at = `(row * ${width}u + column)`;
  let body: string;
  if (vectors(width)) {
    const vector = dtype === "f32"
      ? `${name}[${at} / 4u]`
      : `vec4f(unpack2x16float(${name}[${at} / 4u].x), unpack2x16float(${name}[${at} / 4u].y))`;
    body = `if (column < ${width}u) { four = ${vector}; }`;
  } else {
    const one = (i: number): string =>
      dtype === "f32"
        ? `${name}[${at} + ${i}u]`
        : `unpack2x16float(${name}[(${at} + ${i}u) / 2u])[(${at} + ${i}u) % 2u]`;
    body = [0, 1, 2, 3].map((i) => `if (column + ${i}u < ${width}u) { four[${i}] = ${one(i)}; }`).join("\n  ");
  }
  return /* wgsl */ `
fn four_${name}(row: u32, column: u32) -> vec4f {
  var four = vec4f();
  ${body}
  return four;
}
`;
}

/** The binding of a tensor of single numbers. */
export function numberBinding(name: string, dtype: DType): Binding {
  return storage(name, dtype === "f32" ? "f32" : "u32");
}

/** A number of such a tensor. */
export function numberAt(name: string, dtype: DType, index: string): string {
  return dtype === "f32" ? `${name}[${index}]` : `unpack2x16float(${name}[(${index}) / 2u])[(${index}) % 2u]`;
}
