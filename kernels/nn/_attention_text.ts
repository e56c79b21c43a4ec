/**
 * WGSL that the attention kernels share.
 *
 * All of them compute a query's output by the same operations in the same order, so that it has the same bits whichever
 * kernel ran: scores are chains of fused multiply-adds over the head's width, keys come in blocks of {@linkcode KEYS} and
 * spans of {@linkcode SPAN}, aligned at key 0. Within a span the softmax is online, block by block; spans are merged in order. A key that is not seen has
 * a share of exactly 0 and leaves the maximum alone, so blocks and spans nobody sees may be skipped.
 * Where a compiler could fuse a product and a sum, the text has `fma`.
 */
import { type Binding, storage } from "../wgsl.ts";
import { exponentials } from "./_exponentials.ts";

/** Keys of a block. */
export const KEYS = 32;
/** Keys of a span, a multiple of {@linkcode KEYS}. */
export const SPAN = 256;
/** Stands for the maximum of no scores. */
export const NOTHING = "-1e38f";

export const vectorsOf = (width: number): number => Math.ceil(width / 4);

/** What kernels bind: `extent` (see extentBuffer), `live` (keys there are, in the first word), tensors by name. */
export function attentionBindings(
  width: number,
  tensors: { readonly [name: string]: "read" | "read_write" },
): Binding[] {
  const type = width % 4 === 0 ? "array<vec4f>" : "array<f32>";
  return [
    { name: "extent", access: "uniform", type: "array<vec4u, 3>" },
    storage("live", "u32"),
    ...Object.entries(tensors).map(([name, access]) => ({ name, access, type })),
  ];
}

/** `NAME_four(row, c)`: numbers 4c … 4c + 3 of a head's row, a row being (token · heads + head); 0 beyond the width. */
export function loadFour(name: string, width: number): string {
  if (width % 4 === 0) {
    return `fn ${name}_four(row: u32, c: u32) -> vec4f { return ${name}[row * ${width / 4}u + c]; }`;
  }
  const numbers = [0, 1, 2, 3].map((e) => `select(0.0, ${name}[at + ${e}u], 4u * c + ${e}u < ${width}u)`);
  return /* wgsl */ `
fn ${name}_four(row: u32, c: u32) -> vec4f {
  let at = row * ${width}u + 4u * c;
  return vec4f(${numbers.join(", ")});
}`;
}

/** `set_NAME(row, c, value)`: stores numbers 4c … 4c + 3 of a head's row, as far as its width goes. */
export function storeFour(name: string, width: number): string {
  if (width % 4 === 0) {
    return `fn set_${name}(row: u32, c: u32, value: vec4f) { ${name}[row * ${width / 4}u + c] = value; }`;
  }
  const numbers = [0, 1, 2, 3].map((e) => `if (4u * c + ${e}u < ${width}u) { ${name}[at + ${e}u] = value[${e}]; }`);
  return /* wgsl */ `
fn set_${name}(row: u32, c: u32, value: vec4f) {
  let at = row * ${width}u + 4u * c;
  ${numbers.join("\n  ")}
}`;
}

/** Exponentials, the logarithm of a number ≥ 1, and what a query sees: keys `first_key … key_end − 1`. */
export const attentionPrelude: string = /* wgsl */ `
${exponentials}
fn first_key(position: u32) -> u32 {
  return select(0u, position + 1u - extent[1].x, position + 1u > extent[1].x);
}
fn key_end(position: u32, keys: u32) -> u32 { return select(position + 1u, keys, extent[1].y == 1u); }
`;

/** Statement: adds the products of two vectors' numbers to `sum`, one after the other. */
export function addProducts(sum: string, a: string, b: string): string {
  return ["x", "y", "z", "w"].map((e) => `${sum} = fma(${a}.${e}, ${b}.${e}, ${sum});`).join(" ");
}

/** A literal of the scale of scores, the f32 nearest to width^−1/2. */
export function scaleOf(width: number): string {
  return `bitcast<f32>(${new Uint32Array(Float32Array.of(1 / Math.sqrt(width)).buffer)[0]}u)`;
}
