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
 * f = a and c stays. What is chosen hangs on no later token, so that the bits of a prefix are those of the whole by the same tile.
 *
 * A loop's body takes several tokens. Where one begins and c has come below 2^{@linkcode RENEWED} R is multiplied too, so that decays of
 * some e^−1 a token do not leave the range anywhere else. Blocks are of three {@linkcode WaitingKind}s by where R is multiplied, and have
 * a text each: to ask at every token would part them, and to multiply at each takes a quarter longer than at none (bench/NOTES.md).
 * Where tokens are taken one by one each begins a body, and there are two kinds.
 *
 * *Error.* A term met one product a gate, and still does: in c, or in f. That R is multiplied by f or, between blocks, by c is
 * paid for by the next gate, whose product is with 1 and exact, and so is that of z and c. Left over are, once, the
 * quotient 1/c (2.5 units in the last place, which are 5 units of 2^−24), its product with x (1), and one of two: the first
 * multiplication of R after the term was added, or, where none is before the read-out, z c (1): {@linkcode WAITING_ROUNDINGS}.
 *
 * The first half of an entry comes with the rows of its token, the second with a block: an invocation holds the f of a token, and
 * shuffles it to its subgroup where it is wanted. Where a subgroup is not as wide as a block f is read at its token.
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

/** Exponent of c below which the state is multiplied where a body begins: chosen for bodies of eight tokens, right for any. */
const RENEWED = -8;

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

/** The first entry of table `which`, a WGSL u32. */
export function waitsFrom(which: string, decay: WaitingDecay, block: number): string {
  return `${which} * ${decay === "head" ? `${block}u` : "p.T"}`;
}

/**
 * Bytes of the table: entries `[B, H, T]` of (scale · c, 1/c, f, the mark of the tokens up to this one of its block). A head's,
 * `[block]`, are filled by each of the `fillers` of a sequence for itself. Without tokens there is still something to bind.
 */
export function waitingBytes({ B, T, H }: Extent, decay: WaitingDecay, block: number, fillers: number): number {
  return Math.max(16, 16 * B * H * (decay === "head" ? fillers * block : T));
}

/** The buffers that filling the table `waits` reads: the gates, and factors of x `in_factor`, `[B, T, H]`, where there are any. */
export function waitingInputs({ dtype }: Pick<WaitingTable, "dtype">): readonly Binding[] {
  return [
    { name: "in_g", access: "read", type: dtype === "f16" ? "array<u32>" : "array<f32>" },
    { name: "in_factor", access: "read", type: "array<f32>" },
  ];
}

/** The table's binding, by entries. */
export function waitingBinding(access: "read" | "read_write"): Binding {
  return { name: "waits", access, type: "array<vec4f>" };
}

/** Where the state is multiplied within a block: nowhere, at the first tokens of bodies alone, elsewhere too. */
export const WaitingKind: Readonly<Record<"nowhere" | "atBodies" | "anywhere", number>> = {
  nowhere: 0,
  atBodies: 1,
  anywhere: 2,
};

/** By what c is multiplied in the mark of a kind: c is in [2^−24, 2], so that both can be told from their product. */
const MARKS: Readonly<Record<keyof typeof WaitingKind, string>> = {
  nowhere: "1.0",
  atBodies: "-1.0",
  anywhere: "-0x1p32f",
};

/** Functions of an entry's mark: of what kind the tokens of its block up to this one are, and their c. */
export const waitingMarks: string = /* wgsl */ `
fn wait_kind(mark: f32) -> u32 {
  return select(select(${WaitingKind.anywhere}u, ${WaitingKind.atBodies}u, mark > -4.0), ${WaitingKind.nowhere}u, mark > 0.0);
}
fn wait_last(mark: f32) -> f32 { return abs(mark) * select(1.0, 0x1p-32f, mark <= -4.0); }`;

/**
 * Functions for module scope. `fill_waits(first, at)` fills the block of the tokens from `first` on of the privates `batch` and
 * `head`, whose entries begin at `at`: tokens behind the last are counted as it. `body`: tokens of a loop's body.
 *
 * Almost always it is at none, or at the first of bodies alone. So the products of several tokens are taken at first as if it were so,
 * which leaves nothing but the products themselves for one after the other, and token by token only where one of them could not. An
 * entry comes from the same operations either way, so its bits hang on no later token.
 */
export function waitingFill({ decay, form, dtype, scale, factor }: WaitingTable, block: number, body: number): string {
  const tokens = Array.from({ length: Math.min(Math.max(SPECULATED, body), block) }, (_, n) => n);
  const row = (token: string): string =>
    decay === "head" ? "head" : `(batch * p.T + min(${token}, p.T - 1u)) * p.H + head`;
  const most = decay === "scalar" && form === "factor" ? "2.0" : "1.0";
  const x = (token: string): string => factor ? `in_factor[${row(token)}]` : "1.0";
  const each = (statement: (n: number) => string): string => tokens.map(statement).join("\n    ");
  // A head's entries serve all of its blocks; others have none behind the last token.
  const there = (token: string): string => decay === "head" ? "" : `if (${token} < p.T) `;
  const before = (name: string, n: number): string => n === 0 ? name : `${name}${n - 1}`;
  const low = `0x1p${RENEWED}f`;
  /** Whether R is multiplied at token n, `renewed`; `c`, `m`: what c and the mark's factor are after it. */
  const product = (n: number): string =>
    n % body === 0
      ? `let renewed${n} = ${before("c", n)} < ${low};
    let p${n} = ${before("c", n)} * a${n};
    let c${n} = select(p${n}, 1.0, renewed${n});
    let m${n} = select(${before("m", n)}, min(${before("m", n)}, ${MARKS.atBodies}), renewed${n});`
      : `let c${n} = ${before("c", n)} * a${n};
    let m${n} = m${n - 1};`;
  const can = (n: number): string =>
    n % body === 0 ? `select(wait_on(c${n}), abs(a${n}) >= 0x1p-100f, renewed${n})` : `wait_on(c${n})`;
  return /* wgsl */ `
fn wait_gate(at: u32) -> f32 {
  let gate = ${dtype === "f16" ? "unpack2x16float(in_g[at / 2u])[at & 1u]" : "in_g[at]"};
  return ${form === "log" ? "ds_decay(gate)" : "gate"};
}
fn wait_on(c: f32) -> bool { return c >= 0x1p-24f && c <= ${most}; }
fn store_wait(entry: u32, c: f32, x: f32, f: f32, m: f32) {
  waits[entry] = vec4f(${scale === 1 ? "c" : `c * ${floatOf(scale)}`}, x / c, f, c * m);
}
fn fill_waits(first: u32, at: u32) {
  var c = 1.0;
  var m = ${MARKS.nowhere};
  for (var i = 0u; i < ${block}u; i += ${tokens.length}u) {
    ${each((n) => `let a${n} = wait_gate(${row(`first + i + ${n}u`)});`)}
    ${factor ? each((n) => `let x${n} = ${x(`first + i + ${n}u`)};`) : ""}
    ${each(product)}
    if (${tokens.map(can).join(" & ")}) {
      ${
    each((n) =>
      `${there(`first + i + ${n}u`)}{ store_wait(at + i + ${n}u, c${n}, ${factor ? `x${n}` : "1.0"}, ${
        n % body === 0 ? `select(1.0, p${n}, renewed${n})` : "1.0"
      }, m${n}); }`
    )
  }
      c = c${tokens.length - 1};
      m = m${tokens.length - 1};
    } else {
      for (var j = i; j < i + ${tokens.length}u; j++) {
        let a = wait_gate(${row("first + j")});
        let product = c * a;
        let starts = j % ${body}u == 0u;
        let waits_on = wait_on(product) && !(starts && c < ${low});
        let tiny = abs(a) < 0x1p-100f;
        let f = select(select(product, a, tiny), 1.0, waits_on);
        c = select(select(1.0, c, tiny), product, waits_on);
        m = select(min(m, select(${MARKS.anywhere}, ${MARKS.atBodies}, starts)), m, waits_on);
        ${there("first + j")}{ store_wait(at + j, c, ${x("first + j")}, f, m); }
      }
    }
  }
}`;
}

/** The kernel that fills the table where the walk does not. */
export function waitingShader(table: WaitingTable, block: number, body: number): Shader {
  const blocks = table.decay === "head" ? "1u" : `((p.T + ${block - 1}u) / ${block}u)`;
  const each = /* wgsl */ `
  let blocks = ${blocks};
  let sequence = id / blocks;
  let nth = id % blocks;
  batch = sequence / p.H;
  head = sequence % p.H;
  fill_waits(nth * ${block}u, ${waitsFrom("sequence", table.decay, block)} + nth * ${block}u);`;
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
${waitingFill(table, block, body)}
${entryPerItem(`p.sequences * ${blocks}`, each)}`,
  });
}

/** A decimal literal may be rounded otherwise than it was printed. */
export function floatOf(x: number): string {
  return `bitcast<f32>(${new Uint32Array(Float32Array.of(x).buffer)[0]}u)`;
}
