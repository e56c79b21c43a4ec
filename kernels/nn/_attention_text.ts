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
    { name: "extent", access: "uniform", type: "array<vec4u, 2>" },
    storage("live", "u32"),
    ...Object.entries(tensors).map(([name, access]) => ({ name, access, type })),
  ];
}

/** `NAME_four(row, c)`: numbers 4c … 4c + 3 of a head's row, a row being (token · heads + head); 0 beyond the width. */
export function loadFour(name: string, width: number): string {
  if (width % 4 === 0) {
    return `fn ${name}_four(row: u32, c: u32) -> vec4f { return ${name}[row * ${width / 4}u + c]; }`;
  }
  return /* wgsl */ `
fn ${name}_four(row: u32, c: u32) -> vec4f {
  var four = vec4f();
  for (var e = 0u; e < min(4u, ${width}u - 4u * c); e++) { four[e] = ${name}[row * ${width}u + 4u * c + e]; }
  return four;
}`;
}

/** `set_NAME(row, c, value)`: stores numbers 4c … 4c + 3 of a head's row, as far as its width goes. */
export function storeFour(name: string, width: number): string {
  if (width % 4 === 0) {
    return `fn set_${name}(row: u32, c: u32, value: vec4f) { ${name}[row * ${width / 4}u + c] = value; }`;
  }
  return /* wgsl */ `
fn set_${name}(row: u32, c: u32, value: vec4f) {
  for (var e = 0u; e < min(4u, ${width}u - 4u * c); e++) { ${name}[row * ${width}u + 4u * c + e] = value[e]; }
}`;
}

/** e^x for x ≤ 0, or −∞: as models/accuracy.ts has it, with the fusing spelt out. */
function exponential(name: string, type: "f32" | "vec4f"): string {
  const of = (x: string): string => type === "f32" ? x : `vec4f(${x})`;
  const [i32, u32] = type === "f32" ? ["i32", "u32"] : ["vec4i", "vec4u"];
  const horner = [
    "0.0001984127f",
    "0.0013888889f",
    "0.008333334f",
    "0.041666668f",
    "0.16666667f",
    "0.5f",
    "1.0f",
    "1.0f",
  ]
    .reduce((p, c) => `fma(r, ${p}, ${of(c)})`, of("0.000024801588f"));
  return /* wgsl */ `
fn ${name}(given: ${type}) -> ${type} {
  let x = max(given, ${of("-150.0f")});
  let n = round(x * 1.4426950408889634f);
  let r = fma(n, ${of("0.00021219444f")}, fma(n, ${of("-0.693359375f")}, x));
  let bits = bitcast<${u32}>(${horner});
  let exponent = ${i32}(n);
  let moved = bitcast<${u32}>(bitcast<${i32}>(bits) + exponent * 8388608);
  return select(${of("0.0f")}, bitcast<${type}>(moved), ${i32}(bits >> ${u32}(23u)) + exponent >= ${i32}(1));
}`;
}

/** Exponentials, the logarithm of a number ≥ 1, and what a query sees: keys `first_key … key_end − 1`. */
export const attentionPrelude: string = /* wgsl */ `
${exponential("exp_at_most_1", "f32")}
${exponential("exp4_at_most_1", "vec4f")}
fn log_at_least_1(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let n = f32(i32(bits >> 23u) - 127);
  let t = bitcast<f32>((bits & 0x007fffffu) | 0x3f800000u) - 1.0;
  let s = t / (2.0 + t);
  let z = s * s;
  let series = 1.0 + z * (0.33333334 + z * (0.2 + z * (0.14285715 + z * (0.11111111 + z * (0.09090909 + z * (
    0.07692308 + z * 0.06666667))))));
  return fma(n, 0.693359375, fma(n, -0.00021219444, (s + s) * series));
}
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
