/**
 * Decays that wait in the rows of their block.
 *
 * Where a token has one decay for the whole state, registers may hold R = S/c instead of the state S, c the product of the
 * block's decays so far. No entry of it is then multiplied at a token, which adds (x/c) yᵀ and is read out by z c:
 *
 *     S_t = a S_{t−1} + x yᵀ      c_t = a c_{t−1}      R_t = R_{t−1} + (x/c_t) yᵀ      zᵀ S_t = (c_t z)ᵀ R_t
 *
 * x and z are multiplied where they are staged, and R once a block, by its last c, so that between blocks there is the state
 * itself. Nothing is done for a decay at its token. Where c would leave [2^−24, 1] (a decay may be small, negative, above 1
 * or NaN) R is multiplied at that token, by f = c a, and c is 1 again; with one factor a token c may be 2, as those of a shared
 * exponent, which is whole, have products up to 2. Where a itself is so small that c a might be flushed,
 * f = a and c stays. What is chosen hangs on no later token, so that the bits of a prefix are those of the whole.
 *
 * *Error.* A term met one product a gate, and still does: in c, or in f. That R is multiplied by f or, between blocks, by c is
 * paid for by the next gate, whose product is with 1 and exact, and so is that of z and c. Left over are, once, the
 * quotient 1/c (2.5 units in the last place, which are 5 units of 2^−24), its product with x (1), and one of two: the first
 * multiplication of R after the term was added, or, where none is before the read-out, z c (1): {@linkcode WAITING_ROUNDINGS}.
 *
 * The table takes a dispatch before the walk. Multiplied between the walk's tokens instead, by shuffles, a token an invocation, these
 * products took 0.05 ms more of an H200 (bench/NOTES.md).
 *
 * x may have a factor of its own, whose quotient by c takes the place of 1/c: a rounding less than its product with x before.
 *
 * *Range.* R is up to 2^24 times the state: numbers |x| or |S| above 2^100 may overflow, and a |scale · z| below 2^−100 may
 * count as zero. The same holds of a factor, and of x times it.
 */
import { f32Profile } from "../profile.ts";
import type { DType } from "../tensor.ts";
import { assemble, entryPerItem, type Shader } from "../wgsl.ts";

/** A decay that can wait: one a token, or one a head for all tokens. */
export type WaitingDecay = "scalar" | "head";

/** Roundings of 2^−24 that a term meets besides those of its gates where decays wait. */
export const WAITING_ROUNDINGS = 7;

/** Gates that an invocation has on their way at a time. */
const AHEAD = 8;

interface Extent {
  readonly B: number;
  readonly T: number;
  readonly H: number;
}

/**
 * Entries of the table, each of four numbers (scale · c, 1/c, f, c), the last negative if up to this token of the block the
 * state was multiplied. `[B, T, H]`, of a head `[H, block]`.
 */
export function waitingEntries({ B, T, H }: Extent, decay: WaitingDecay, block: number): number {
  return decay === "head" ? H * block : B * T * H;
}

/** Blocks that decays are multiplied in, one by an invocation. */
export function waitingBlocks({ B, T, H }: Extent, decay: WaitingDecay, block: number): number {
  return decay === "head" ? H : B * H * Math.ceil(T / block);
}

/** The kernel that fills the table `out_waits` from the gates, and factors of x `in_factor`, `[B, T, H]`, where there are any. */
export function waitingShader({ decay, form, dtype, scale, block, factor = false }: {
  readonly decay: WaitingDecay;
  readonly form: "log" | "factor";
  readonly dtype: DType;
  readonly scale: number;
  readonly block: number;
  readonly factor?: boolean;
}): Shader {
  const tokens = Array.from({ length: Math.min(AHEAD, block) }, (_, n) => n);
  const blocks = decay === "head" ? "1u" : `((p.T + ${block - 1}u) / ${block}u)`;
  const token = (n: number): string => `first + i + ${n}u`;
  const row = (t: string): string => decay === "head" ? "head" : `(batch * p.T + ${t}) * p.H + head`;
  const entry = (n: number): string => decay === "head" ? `head * ${block}u + i + ${n}u` : row(token(n));
  const most = decay === "scalar" && form === "factor" ? "2.0" : "1.0";
  const store = (n: number): string => `out_waits[${entry(n)}] = next(decay(gate${n})${factor ? `, factor${n}` : ""});`;
  const load = (n: number): string => {
    const at = row(`min(${token(n)}, p.T - 1u)`);
    return `let gate${n} = gate_at(${at});${factor ? ` let factor${n} = in_factor[${at}];` : ""}`;
  };
  const body = /* wgsl */ `
  // Neighbours have neighbouring heads, whose gates and entries lie side by side.
  let head = id % p.H;
  let batch = id / (p.H * ${blocks});
  let first = id / p.H % ${blocks} * ${block}u;
  for (var i = 0u; i < ${block}u; i += ${tokens.length}u) {
    ${tokens.map(load).join("\n    ")}
    ${tokens.map((n) => decay === "head" ? store(n) : `if (${token(n)} < p.T) { ${store(n)} }`).join("\n    ")}
  }`;
  return assemble("decays that wait", {
    bindings: [
      { name: "p", access: "uniform", type: "Params" },
      { name: "in_g", access: "read", type: dtype === "f16" ? "array<u32>" : "array<f32>" },
      { name: "in_factor", access: "read", type: "array<f32>" },
      { name: "out_waits", access: "read_write", type: "array<vec4f>" },
    ],
    source: f32Profile.prelude + /* wgsl */ `
struct Params { T: u32, H: u32, sequences: u32, chunks: u32 }
var<private> c: f32 = 1.0;
var<private> all_wait: bool = true;
fn gate_at(at: u32) -> f32 { return ${dtype === "f16" ? "unpack2x16float(in_g[at / 2u])[at & 1u]" : "in_g[at]"}; }
fn decay(gate: f32) -> f32 { return ${form === "log" ? "ds_decay(gate)" : "gate"}; }
// The entry of a token with decay a.
fn next(a: f32${factor ? ", x: f32" : ""}) -> vec4f {
  let product = c * a;
  let waits = product >= 0x1p-24f && product <= ${most};
  let tiny = abs(a) < 0x1p-100f;
  let f = select(select(product, a, tiny), 1.0, waits);
  c = select(select(1.0, c, tiny), product, waits);
  all_wait = all_wait && waits;
  return vec4f(${scale === 1 ? "c" : `c * ${floatOf(scale)}`}, ${factor ? "x" : "1.0"} / c, f, select(-c, c, all_wait));
}
${entryPerItem(decay === "head" ? "p.H" : `p.sequences * ${blocks}`, body)}`,
  });
}

/** A decimal literal may be rounded otherwise than it was printed. */
export function floatOf(x: number): string {
  return `bitcast<f32>(${new Uint32Array(Float32Array.of(x).buffer)[0]}u)`;
}
