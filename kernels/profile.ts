/**
 * The scalars a kernel can compute with, as WGSL: `f32`, and two finite rings in `u32` whose results are exact, so that
 * a kernel's structure can be compared with a CPU bit for bit at any length.
 *
 * A profile says how each operation of the algebras (models/arith.ts) is spelt. Operations a ring does not have
 * (division, exp, …) are refused when the shader is assembled; use {@link ringOnly} to ask first.
 *
 * @module
 */
import type { BinaryOp, Expr, UnaryOp } from "../models/symbolic.ts";
import { InputError } from "../models/error.ts";
import { operands } from "../models/evaluate.ts";
import { modular, wrap32 } from "../models/modular.ts";

/** How WGSL spells the operations of one algebra. */
export interface Profile {
  readonly name: "f32" | "F_65521" | "Z/2^32";
  /** The WGSL type of a number. */
  readonly type: "f32" | "u32";
  /** Functions the spellings use; goes before any code that was emitted with the profile. */
  readonly prelude: string;
  /** A literal. Throws an {@link InputError} where the profile cannot hold `x` exactly. */
  constant(x: number): string;
  unary(op: UnaryOp, a: string): string;
  binary(op: BinaryOp, a: string, b: string): string;
  atLeast(a: string, b: string, then: string, otherwise: string): string;
}

const scaling = /* wgsl */ `
// x·2^e on the bits: exact; 0 where the result would be subnormal (or x is); infinity where it would overflow.
fn ds_scale2(x: f32, e: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let biased = i32((bits >> 23u) & 255u);
  let moved = biased + i32(clamp(e, -1000.0, 1000.0));
  if (biased == 255) { return x; }
  if (biased == 0 || moved < 1) { return 0.0; }
  if (moved > 254) { return bitcast<f32>((bits & 0x80000000u) | 0x7f800000u); }
  return bitcast<f32>((bits & 0x807fffffu) | (u32(moved) << 23u));
}
// floor(log2 |x|); 0 for zero and for a subnormal, which may have been flushed.
fn ds_exponent(x: f32) -> f32 {
  let biased = i32((bitcast<u32>(x) >> 23u) & 255u);
  return select(f32(biased - 127), 0.0, biased == 0);
}
`;

const exponentials = /* wgsl */ `
const ds_LOG2E = 1.4426950408889634f;
const ds_LN2_HIGH = 0.693359375f;
const ds_LN2_LOW = -0.00021219444f;
fn ds_exp_exponent(x: f32) -> f32 { return round(x * ds_LOG2E); }
fn ds_exp_rest(x: f32, n: f32) -> f32 { return (x - n * ds_LN2_HIGH) - n * ds_LN2_LOW; }
// (e^r − 1)/r, |r| ≤ 0.35: the Taylor polynomial of degree 7.
fn ds_expm1_ratio(r: f32) -> f32 {
  return 1.0 + r * (0.5 + r * (0.16666667 + r * (0.041666668 + r * (0.008333334 + r * (0.0013888889 + r * (
    0.0001984127 + r * 0.000024801588))))));
}
// e^r, |r| ≤ 0.35: the Taylor polynomial of degree 8.
fn ds_exp_poly(r: f32) -> f32 { return 1.0 + r * ds_expm1_ratio(r); }
fn ds_exp_mantissa(x: f32) -> f32 { return ds_exp_poly(ds_exp_rest(x, ds_exp_exponent(x))); }
fn ds_exp(given: f32) -> f32 {
  let x = clamp(given, -150.0, 150.0);
  let n = ds_exp_exponent(x);
  return ds_scale2(ds_exp_poly(ds_exp_rest(x, n)), n);
}
// e^x for x ≤ 0, a decay: the same bits without branches, which a kernel can take between its other work. −∞ gives 0.
fn ds_decay(x: f32) -> f32 {
  let n = ds_exp_exponent(max(x, -150.0));
  let bits = bitcast<u32>(ds_exp_poly(ds_exp_rest(max(x, -150.0), n)));
  let moved = i32(bits >> 23u) + i32(n);
  return select(0.0, bitcast<f32>((bits & 0x007fffffu) | (u32(moved) << 23u)), moved > 0);
}
fn ds_expm1(given: f32) -> f32 {
  let x = clamp(given, -150.0, 150.0);
  let n = ds_exp_exponent(x);
  let r = ds_exp_rest(x, n);
  let p = r * ds_expm1_ratio(r);
  if (n < 0.0) { return ds_scale2(p, n) + (ds_scale2(1.0, n) - 1.0); }
  return ds_scale2(p + (1.0 - ds_scale2(1.0, -n)), n);
}
// log(1 + t), 0 ≤ t ≤ 1, as 2·artanh(t/(2 + t)).
fn ds_log1p(t: f32) -> f32 {
  let s = t / (2.0 + t);
  let z = s * s;
  return (s + s) * (1.0 + z * (0.33333334 + z * (0.2 + z * (0.14285715 + z * (0.11111111 + z * (0.09090909 + z * (
    0.07692308 + z * 0.06666667)))))));
}
fn ds_softplus(x: f32) -> f32 { return max(x, 0.0) + ds_log1p(ds_exp(-abs(x))); }
fn ds_sigmoid(x: f32) -> f32 {
  let t = ds_exp(-abs(x));
  return select(1.0, t, x < 0.0) / (1.0 + t);
}
// A subnormal m·2^-149 is √(2m)·2^-75: its bits are an integer, so nothing is flushed here.
fn ds_sqrt(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  if (x < 0.0 || bits == 0u || bits == 0x80000000u) { return 0.0; }
  if (bits < 0x00800000u) { return sqrt(f32(2u * bits)) * 2.6469779601696886e-23; }
  return sqrt(x);
}
`;

const f32Unary: { readonly [op in UnaryOp]: (a: string) => string } = {
  neg: (a) => `-${a}`,
  abs: (a) => `abs(${a})`,
  exponent: (a) => `ds_exponent(${a})`,
  exp: (a) => `ds_exp(${a})`,
  expm1: (a) => `ds_expm1(${a})`,
  sqrt: (a) => `ds_sqrt(${a})`,
  sigmoid: (a) => `ds_sigmoid(${a})`,
  softplus: (a) => `ds_softplus(${a})`,
  expMantissa: (a) => `ds_exp_mantissa(${a})`,
  expExponent: (a) => `ds_exp_exponent(${a})`,
};

const f32Binary: { readonly [op in BinaryOp]: (a: string, b: string) => string } = {
  add: (a, b) => `${a} + ${b}`,
  sub: (a, b) => `${a} - ${b}`,
  mul: (a, b) => `${a} * ${b}`,
  div: (a, b) => `${a} / ${b}`,
  max: (a, b) => `max(${a}, ${b})`,
  scale2: (a, b) => `ds_scale2(${a}, ${b})`,
};

/** A WGSL f32 literal of a number that is one. */
function floatLiteral(x: number): string {
  if (Math.fround(x) !== x || !Number.isFinite(x)) {
    throw new InputError(`Cannot emit a constant: it must be an f32 number (use Math.fround), got ${x}`);
  }
  const digits = `${Math.abs(x)}`;
  const literal = /[.e]/.test(digits) ? `${digits}f` : `${digits}.0f`;
  return x < 0 ? `(-${literal})` : literal;
}

/** IEEE single precision with the accuracy of models/accuracy.ts. */
export const f32Profile: Profile = {
  name: "f32",
  type: "f32",
  prelude: scaling + exponentials,
  constant: floatLiteral,
  unary: (op, a) => f32Unary[op](a),
  binary: (op, a, b) => f32Binary[op](a, b),
  atLeast: (a, b, then, otherwise) => `select(${otherwise}, ${then}, ${a} >= ${b})`,
};

/** The prime whose products fit 32 bits. */
export const PRIME = 65521;

function refuse(profile: string, op: string): never {
  throw new InputError(`Cannot emit ${op} over ${profile}: it must be an operation of a ring`);
}

/** Integers modulo 65521; operands and results in 0 … 65520. Shared exponents are constantly 0. */
export const primeProfile: Profile = {
  name: "F_65521",
  type: "u32",
  prelude: "",
  constant: (x) => `${modular(PRIME).of(x)}u`,
  unary(op, a) {
    if (op === "neg") return `(${PRIME}u - ${a}) % ${PRIME}u`;
    if (op === "exponent") return "0u";
    return refuse("F_65521", op);
  },
  binary(op, a, b) {
    if (op === "add") return `(${a} + ${b}) % ${PRIME}u`;
    if (op === "sub") return `(${a} + (${PRIME}u - ${b})) % ${PRIME}u`;
    if (op === "mul") return `(${a} * ${b}) % ${PRIME}u`;
    if (op === "max") return `max(${a}, ${b})`;
    return op === "scale2" ? a : refuse("F_65521", op);
  },
  atLeast: () => refuse("F_65521", "atLeast"),
};

/** Integers modulo 2^32. Even numbers are zero divisors: give it odd multipliers. Shared exponents are constantly 0. */
export const wrapProfile: Profile = {
  name: "Z/2^32",
  type: "u32",
  prelude: "",
  constant: (x) => `${wrap32.of(x)}u`,
  unary(op, a) {
    if (op === "neg") return `0u - ${a}`;
    if (op === "exponent") return "0u";
    return refuse("Z/2^32", op);
  },
  binary(op, a, b) {
    if (op === "div") return refuse("Z/2^32", op);
    return op === "scale2" ? a : f32Binary[op](a, b);
  },
  atLeast: () => refuse("Z/2^32", "atLeast"),
};

const ringOps: ReadonlySet<string> = new Set([
  ...["const", "variable", "load", "state", "eye", "below", "sum"],
  ...["add", "sub", "mul", "neg", "max", "scale2", "exponent"],
]);

/** Whether a finite ring can evaluate the expression. */
export function ringOnly(expr: Expr): boolean {
  const seen = new Set<number>();
  const visit = (e: Expr): boolean => {
    if (seen.has(e.id)) return true;
    seen.add(e.id);
    return ringOps.has(e.op) && operands(e).every(visit);
  };
  return visit(expr);
}
