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
 * A workgroup that has all of a sequence's columns fills its part of the table itself before its first token, an invocation a
 * block, side by side. Where several share them, or a device binds too few buffers for that, it takes a dispatch before the walk.
 * Multiplied between the walk's tokens instead, by shuffles, a token an invocation, these products took an H200 0.05 ms more than by
 * a dispatch (bench/NOTES.md).
 *
 * x may have a factor of its own, whose quotient by c takes the place of 1/c: a rounding less than its product with x before.
 *
 * *Range.* R is up to 2^24 times the state: numbers |x| or |S| above 2^100 may overflow, and a |scale · z| below 2^−100 may
 * count as zero. The same holds of a factor, and of x times it.
 */
import { f32Profile } from "../profile.ts";
import type { DType } from "../tensor.ts";
import { assemble, type Binding, entryPerItem, type Shader } from "../wgsl.ts";

/** A decay that can wait: one a token, or one a head for all tokens. */
export type WaitingDecay = "scalar" | "head";

/** Roundings of 2^−24 that a term meets besides those of its gates where decays wait. */
export const WAITING_ROUNDINGS = 7;

/** Tokens of a block whose products are taken before it is asked whether they may wait, at most. */
const SPECULATED = 16;

/** What the table is made of. */
export interface WaitingTable {
  readonly decay: WaitingDecay;
  readonly form: "log" | "factor";
  readonly dtype: DType;
  readonly scale: number;
  /** Whether x has a factor. */
  readonly factor: boolean;
  /** Whether the walk's workgroups fill it, each its sequence's. */
  readonly own: boolean;
}

interface Extent {
  readonly B: number;
  readonly T: number;
  readonly H: number;
}

/** Blocks that the dispatch multiplies decays in, one by an invocation. A head's is the same for all of a sequence. */
export function waitingBlocks({ B, T, H }: Extent, decay: WaitingDecay, block: number): number {
  return B * H * (decay === "head" ? 1 : Math.ceil(T / block));
}

/** Entries of a sequence: of whole blocks, but where there is one. */
function waitingEntries(T: number, block: number): number {
  return T <= block ? T : Math.ceil(T / block) * block;
}

/** The first entry of table `which`, a WGSL u32; `waits_blocks` are the blocks of a sequence. */
export function waitsFrom(which: string, decay: WaitingDecay, block: number): string {
  return decay === "head"
    ? `${which} * ${block}u`
    : `${which} * select(waits_blocks * ${block}u, p.T, waits_blocks <= 1u)`;
}

/**
 * Bytes of the table: entries `[B, H, block, blocks]` of two pairs, (scale · c, 1/c) and (f, c), the last negative if up to this
 * token of the block the state was multiplied. Neighbours fill neighbouring blocks, whose entries lie side by side. A head's,
 * `[block]`, are filled by each of the `fillers` of a sequence for itself. Without tokens there is still something to bind.
 */
export function waitingBytes({ B, T, H }: Extent, decay: WaitingDecay, block: number, fillers: number): number {
  return Math.max(16, 16 * B * H * (decay === "head" ? fillers * block : waitingEntries(T, block)));
}

/** The buffers that filling the table `waits` reads: the gates, and factors of x `in_factor`, `[B, T, H]`, where there are any. */
export function waitingInputs({ dtype }: Pick<WaitingTable, "dtype">): readonly Binding[] {
  return [
    { name: "in_g", access: "read", type: dtype === "f16" ? "array<u32>" : "array<f32>" },
    { name: "in_factor", access: "read", type: "array<f32>" },
  ];
}

/** The table's binding, by pairs. */
export function waitingBinding(access: "read" | "read_write"): Binding {
  return { name: "waits", access, type: "array<vec2f>" };
}

/**
 * Functions for module scope. `fill_waits(first, at, stride)` fills the block of the tokens from `first` on of the privates `batch` and
 * `head`, whose entries begin at `at`, `stride` from one to the next, and returns whether the state may be multiplied at one of them:
 * tokens behind the last are counted as it.
 *
 * Almost always it is at none. So the products of several tokens are taken at first as if they all could wait, which leaves nothing
 * but the products themselves for one after the other, and token by token only where one of them could not. An entry comes from the
 * same operations either way, so its bits hang on no later token.
 */
export function waitingFill({ decay, form, dtype, scale, factor }: WaitingTable, block: number): string {
  const tokens = Array.from({ length: Math.min(SPECULATED, block) }, (_, n) => n);
  const row = (token: string): string =>
    decay === "head" ? "head" : `(batch * p.T + min(${token}, p.T - 1u)) * p.H + head`;
  const most = decay === "scalar" && form === "factor" ? "2.0" : "1.0";
  const x = (token: string): string => factor ? `in_factor[${row(token)}]` : "1.0";
  const each = (statement: (n: number) => string): string => tokens.map(statement).join("\n    ");
  // A head's entries serve all of its blocks; others have none behind the last token.
  const there = (token: string): string => decay === "head" ? "" : `if (${token} < p.T) `;
  return /* wgsl */ `
fn wait_gate(at: u32) -> f32 {
  let gate = ${dtype === "f16" ? "unpack2x16float(in_g[at / 2u])[at & 1u]" : "in_g[at]"};
  return ${form === "log" ? "ds_decay(gate)" : "gate"};
}
fn wait_on(c: f32) -> bool { return c >= 0x1p-24f && c <= ${most}; }
fn store_wait(entry: u32, c: f32, x: f32, f: f32, all: bool) {
  waits[2u * entry] = vec2f(${scale === 1 ? "c" : `c * ${floatOf(scale)}`}, x / c);
  waits[2u * entry + 1u] = vec2f(f, select(-c, c, all));
}
fn fill_waits(first: u32, at: u32, stride: u32) -> bool {
  var c = 1.0;
  var all = true;
  for (var i = 0u; i < ${block}u; i += ${tokens.length}u) {
    ${each((n) => `let a${n} = wait_gate(${row(`first + i + ${n}u`)});`)}
    ${factor ? each((n) => `let x${n} = ${x(`first + i + ${n}u`)};`) : ""}
    ${each((n) => `let c${n} = ${n === 0 ? "c" : `c${n - 1}`} * a${n};`)}
    if (all & ${tokens.map((n) => `wait_on(c${n})`).join(" & ")}) {
      ${
    each((n) =>
      `${there(`first + i + ${n}u`)}{ store_wait(at + (i + ${n}u) * stride, c${n}, ${
        factor ? `x${n}` : "1.0"
      }, 1.0, true); }`
    )
  }
      c = c${tokens.length - 1};
    } else {
      for (var j = i; j < i + ${tokens.length}u; j++) {
        let a = wait_gate(${row("first + j")});
        let product = c * a;
        let waits_on = wait_on(product);
        let tiny = abs(a) < 0x1p-100f;
        let f = select(select(product, a, tiny), 1.0, waits_on);
        c = select(select(1.0, c, tiny), product, waits_on);
        all = all && waits_on;
        ${there("first + j")}{ store_wait(at + j * stride, c, ${x("first + j")}, f, all); }
      }
    }
  }
  return !all;
}`;
}

/** The kernel that fills the table where the walk does not. */
export function waitingShader(table: WaitingTable, block: number): Shader {
  const blocks = table.decay === "head" ? "1u" : `((p.T + ${block - 1}u) / ${block}u)`;
  const body = /* wgsl */ `
  let waits_blocks = ${blocks};
  let sequence = id / waits_blocks;
  let nth = id % waits_blocks;
  batch = sequence / p.H;
  head = sequence % p.H;
  _ = fill_waits(nth * ${block}u, ${waitsFrom("sequence", table.decay, block)} + nth, waits_blocks);`;
  return assemble("decays that wait", {
    bindings: [
      { name: "p", access: "uniform", type: "Params" },
      ...waitingInputs(table),
      waitingBinding("read_write"),
    ],
    source: f32Profile.prelude + /* wgsl */ `
struct Params { T: u32, H: u32, sequences: u32, chunks: u32 }
var<private> batch: u32;
var<private> head: u32;
${waitingFill(table, block)}
${entryPerItem(`p.sequences * ${blocks}`, body)}`,
  });
}

/** A decimal literal may be rounded otherwise than it was printed. */
export function floatOf(x: number): string {
  return `bitcast<f32>(${new Uint32Array(Float32Array.of(x).buffer)[0]}u)`;
}
