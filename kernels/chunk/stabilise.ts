/**
 * Exponential input gates with a shared exponent (mLSTM), brought to what the family's kernels compute with.
 *
 *     S_t = f_t S_{t−1} + i_t k_t v_tᵀ,  f = σ(f̃), i = e^ĩ        S_t = 2^m_t S′_t:  S′_t = f′_t S′_{t−1} + i′_t k_t v_tᵀ
 *     f′_t = f_t 2^(m_{t−1} − m_t)        i′_t = i_t 2^−m_t
 *
 * The exponents are whole numbers, so both are exact scalings of mantissas. With L the running maximum of the paper, in base 2,
 *
 *     L_t = max(L_{t−1} + log2 f_t, ⌊log2 i_t⌉, 0)        m_t = ⌊L_t⌋
 *
 * a max-plus scan. It is done first, in fixed point (2^−20), where every grouping gives the same; L decides where rescaling is
 * done, not what comes out. log2 f is rounded up, so L_t ≥ L_s + log2 (f_{s+1} … f_t): products of f′ over any tokens stay
 * below 2, i′ ≤ √2, and 2^m is at most 2^(T·2^−20) times the largest f…f·i so far.
 *
 * @module
 */
import { f32Profile } from "../profile.ts";
import type { Tensor } from "../tensor.ts";
import type { Work } from "../_work.ts";
import { assemble, type Binding, compileShader, dispatchItems, entryPerItem, type Shader, storage } from "../wgsl.ts";

/** Tokens that an invocation folds. */
const FOLDED = 64;

/** What the scan fills; it lives as long as the plan. */
export interface Stabilised {
  /** f′ and i′: `[B, T, H]`. */
  readonly forget: Tensor;
  readonly input: Tensor;
  /** m after every token: `[B, T, H]`. */
  readonly exponents: Tensor;
  /** m before the first token and after the last: `[B, H]`. */
  readonly first: Tensor;
  readonly last: Tensor;
}

const gates = /* wgsl */ `
const ONE = 1048576.0;
/* Far below any L: what falls so far is forgotten. */
const LOWEST = -0x40000000;
fn log_forget(raw: f32) -> f32 { return -ds_softplus(-raw); }
/* log2 f, rounded up: the factor is 2^20 log2 e less its own error and the product's. */
fn fall_of(raw: f32) -> i32 { return i32(ceil(log_forget(raw) * 1512774.0)); }
fn peak_of(raw: f32) -> i32 { return i32(ds_exp_exponent(raw)) * i32(ONE); }
`;

/** Over the tokens of the invocation's chunk; `text` in it sees `at`, `fall` and `peak`. */
function eachToken(text: string): string {
  return /* wgsl */ `
  let h = id % extent.H;
  let chunk = id / extent.H % extent.chunks;
  let b = id / (extent.H * extent.chunks);
  let end = min((chunk + 1u) * ${FOLDED}u, extent.T);
  for (var t = chunk * ${FOLDED}u; t < end; t++) {
    let at = (b * extent.T + t) * extent.H + h;
    let fall = fall_of(forget_of[at]);
    let peak = max(peak_of(input_of[at]), 0);
    ${text}
  }`;
}

function shader(label: string, count: string, body: string): Shader {
  const bindings: Binding[] = [
    { name: "extent", access: "uniform", type: "Extent" },
    ...["forget_of", "input_of", "first_of"].map((name) => storage(name, "f32")),
    ...["folds", "starts"].map((name): Binding => ({ name, access: "read_write", type: "array<i32>" })),
    ...["new_forget", "new_input", "exponent_of", "last_of"].map((name) => storage(name, "f32", "read_write")),
  ];
  const source = `struct Extent { B: u32, T: u32, H: u32, chunks: u32 }\n${f32Profile.prelude}${gates}` +
    entryPerItem(count, body);
  return assemble(label, { bindings, source });
}

const CHUNKS = "extent.B * extent.chunks * extent.H";

/** What a chunk does to L: L ↦ max(L + fall, top). */
const fold: Shader = shader(
  "exponents: chunks",
  CHUNKS,
  `  var sum = 0;
  var top = 0;
${eachToken("sum = max(sum + fall, LOWEST);\n    top = max(top + fall, peak);")}
  folds[2u * id] = sum;
  folds[2u * id + 1u] = top;`,
);

const carry: Shader = shader(
  "exponents: starts of chunks",
  "extent.B * extent.H",
  `  let h = id % extent.H;
  let b = id / extent.H;
  var level = i32(first_of[id]) * i32(ONE);
  for (var chunk = 0u; chunk < extent.chunks; chunk++) {
    let at = (b * extent.chunks + chunk) * extent.H + h;
    starts[at] = level;
    level = max(level + folds[2u * at], folds[2u * at + 1u]);
  }
  last_of[id] = f32(level >> 20u);`,
);

const apply: Shader = shader(
  "exponents: tokens",
  CHUNKS,
  `  var level = starts[id];
  var m = f32(level >> 20u);
${
    eachToken(`level = max(level + fall, peak);
    let next = f32(level >> 20u);
    let kept = log_forget(forget_of[at]);
    let added = input_of[at];
    new_forget[at] = ds_scale2(ds_exp_mantissa(kept), ds_exp_exponent(kept) + (m - next));
    new_input[at] = ds_scale2(ds_exp_mantissa(added), ds_exp_exponent(added) - next);
    exponent_of[at] = next;
    m = next;`)
  }`,
);

/** m_0 of states given as pairs (s, m) with one m per batch row and head; none is below 0. */
function firstOf(lanes: number): string {
  return `clamp(pairs[id * ${2 * lanes}u + 1u], 0.0, 1000.0)`;
}

/**
 * Adds the scan of preactivations `forget` f̃ and `input` ĩ, `[B, T, H]`, from a state `[B, H, …, 2]` of pairs s·2^m, or from
 * zero.
 */
export async function stabilise(
  work: Work,
  { forget, input, initial }: {
    readonly forget: Tensor;
    readonly input: Tensor;
    readonly initial?: Tensor | undefined;
  },
): Promise<Stabilised> {
  const [B, T, H] = forget.shape as [number, number, number];
  const chunks = Math.ceil(T / FOLDED);
  const made = {
    forget: work.room("stabilised forget gates", [B, T, H]),
    input: work.room("stabilised input gates", [B, T, H]),
    exponents: work.room("exponents", [B, T, H]),
    first: work.room("first exponents", [B, H]),
    last: work.room("last exponents", [B, H]),
  };
  if (initial !== undefined && initial.length > 0) {
    const lanes = initial.length / (2 * B * H);
    await work.map("exponents: first", [B, H], { pairs: initial }, firstOf(lanes), { into: made.first });
  }
  const buffers = {
    extent: work.words("extent of exponents", Uint32Array.of(B, T, H, chunks)),
    forget_of: forget.buffer,
    input_of: input.buffer,
    first_of: made.first.buffer,
    folds: work.room("exponents by chunk", [B, chunks, H, 2]).buffer,
    starts: work.room("exponents at chunk starts", [B, chunks, H]).buffer,
    new_forget: made.forget.buffer,
    new_input: made.input.buffer,
    exponent_of: made.exponents.buffer,
    last_of: made.last.buffer,
  };
  for (const [code, items] of [[fold, B * chunks * H], [carry, B * H], [apply, B * chunks * H]] as const) {
    if (items > 0) work.add(dispatchItems(await compileShader(work.gpu, code), buffers, items));
  }
  return made;
}
