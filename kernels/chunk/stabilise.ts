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
 * Three kernels: what a few tokens do to L, one invocation for them; a workgroup a sequence for what these do one after the other;
 * and every token again. They move 20 MB at 8 × 4096 × 16 and wait for memory, so loads of several tokens are on their way at a time.
 *
 * @module
 */
import { f32Profile } from "../profile.ts";
import type { Tensor } from "../tensor.ts";
import type { Work } from "../_work.ts";
import {
  assemble,
  type Binding,
  compileShader,
  dispatch,
  dispatchItems,
  entryPerItem,
  type Shader,
  storage,
} from "../wgsl.ts";

/** Tokens that an invocation folds, and of how many it has the loads on their way at a time; one on the CPU, where texts compile slowly. */
const FOLDED = 16;
const AHEAD = 8;
/** Chunks that are scanned together. */
const SCANNED = 256;

/** What the scan fills; it lives as long as the plan. */
export interface Stabilised {
  /** f′ and i′: `[B, T, H]`. */
  readonly forget: Tensor;
  readonly input: Tensor;
  /** m after every token: `[B, T, H]`. */
  readonly exponents: Tensor;
  /** 2^−m after every token, the least divisor of its output: `[B, T, H]`. */
  readonly least: Tensor;
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

const names = {
  read: ["forget_of", "input_of", "first_of"],
  written: ["new_forget", "new_input", "exponent_of", "least_of", "last_of"],
};

function shader(label: string, source: string): Shader {
  const bindings: Binding[] = [
    { name: "extent", access: "uniform", type: "Extent" },
    ...names.read.map((name) => storage(name, "f32")),
    ...["folds", "starts"].map((name): Binding => ({ name, access: "read_write", type: "array<i32>" })),
    ...names.written.map((name) => storage(name, "f32", "read_write")),
  ];
  return assemble(label, {
    bindings,
    source: `struct Extent { B: u32, T: u32, H: u32, chunks: u32 }\n${f32Profile.prelude}${gates}${source}`,
  });
}

/** An invocation a chunk: statements before and after its tokens; `token` takes one whose gates are `forget` and `input`. */
function perChunk(ahead: number, label: string, token: string, before: string, after: string): Shader {
  const group = Array.from({ length: ahead }, (_, n) => n);
  return shader(
    label,
    /* wgsl */ `
var<private> sum: i32 = 0;
var<private> top: i32 = 0;
var<private> level: i32;
var<private> m: f32;
fn token(at: u32, forget: f32, input: f32) {
  let fall = fall_of(forget);
  let peak = max(peak_of(input), 0);
  ${token}
}
${
      entryPerItem(
        "extent.B * extent.chunks * extent.H",
        `  let h = id % extent.H;
  let chunk = id / extent.H % extent.chunks;
  let b = id / (extent.H * extent.chunks);
  let end = min((chunk + 1u) * ${FOLDED}u, extent.T);
  ${before}
  for (var t = chunk * ${FOLDED}u; t < end; t += ${ahead}u) {
    ${
          group.map((n) =>
            `let at${n} = (b * extent.T + min(t + ${n}u, end - 1u)) * extent.H + h; ` +
            `let forget${n} = forget_of[at${n}]; let input${n} = input_of[at${n}];`
          ).join("\n    ")
        }
    ${group.map((n) => `if (t + ${n}u < end) { token(at${n}, forget${n}, input${n}); }`).join("\n    ")}
  }
  ${after}`,
      )
    }`,
  );
}

/** What a chunk does to L: L ↦ max(L + sum, top). */
const fold = (ahead: number): Shader =>
  perChunk(
    ahead,
    "exponents: chunks",
    "sum = max(sum + fall, LOWEST); top = max(top + fall, peak);",
    "",
    "folds[2u * id] = sum; folds[2u * id + 1u] = top;",
  );

/** A workgroup a sequence: L before every chunk. Of no chunk's (0, 0) nothing is seen, as L is never below 0. */
const carry: Shader = shader(
  "exponents: starts of chunks",
  /* wgsl */ `
var<workgroup> sums: array<i32, ${SCANNED}>;
var<workgroup> tops: array<i32, ${SCANNED}>;
@compute @workgroup_size(${SCANNED})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let id = flat_workgroup(workgroup, grid);
  if (id >= extent.B * extent.H) { return; }
  let h = id % extent.H;
  let b = id / extent.H;
  var level = i32(first_of[id]) * i32(ONE);
  for (var first = 0u; first < extent.chunks; first += ${SCANNED}u) {
    let chunk = first + local;
    let at = (b * extent.chunks + chunk) * extent.H + h;
    var sum = 0;
    var top = 0;
    if (chunk < extent.chunks) { sum = folds[2u * at]; top = folds[2u * at + 1u]; }
    for (var back = 1u; back < ${SCANNED}u; back *= 2u) {
      sums[local] = sum;
      tops[local] = top;
      workgroupBarrier();
      if (local >= back) {
        top = max(tops[local - back] + sum, top);
        sum = max(sums[local - back] + sum, LOWEST);
      }
      workgroupBarrier();
    }
    sums[local] = sum;
    tops[local] = top;
    workgroupBarrier();
    if (chunk < extent.chunks) {
      if (local == 0u) { starts[at] = level; } else { starts[at] = max(level + sums[local - 1u], tops[local - 1u]); }
    }
    level = max(level + sums[${SCANNED - 1}], tops[${SCANNED - 1}]);
    workgroupBarrier();
  }
  if (local == 0u) { last_of[id] = f32(level >> 20u); }
}
`,
);

const apply = (ahead: number): Shader =>
  perChunk(
    ahead,
    "exponents: tokens",
    `level = max(level + fall, peak);
  let next = f32(level >> 20u);
  let kept = log_forget(forget);
  new_forget[at] = ds_scale2(ds_exp_mantissa(kept), ds_exp_exponent(kept) + (m - next));
  new_input[at] = ds_scale2(ds_exp_mantissa(input), ds_exp_exponent(input) - next);
  exponent_of[at] = next;
  least_of[at] = ds_scale2(1.0, -next);
  m = next;`,
    "level = starts[id]; m = f32(level >> 20u);",
    "",
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
  { forget, input, initial, ahead = work.gpu.adapter.software ? 1 : AHEAD }: {
    readonly forget: Tensor;
    readonly input: Tensor;
    readonly initial?: Tensor | undefined;
    /** Tokens whose loads are on their way at a time, a divisor of 16. */
    readonly ahead?: number;
  },
): Promise<Stabilised> {
  const [B, T, H] = forget.shape as [number, number, number];
  const chunks = Math.ceil(T / FOLDED);
  const made = {
    forget: work.room("stabilised forget gates", [B, T, H]),
    input: work.room("stabilised input gates", [B, T, H]),
    exponents: work.room("exponents", [B, T, H]),
    least: work.room("least divisors", [B, T, H]),
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
    least_of: made.least.buffer,
    last_of: made.last.buffer,
  };
  const [folding, carrying, applying] = await Promise.all(
    [fold(ahead), carry, apply(ahead)].map((code) => compileShader(work.gpu, code)),
  );
  const items = B * chunks * H;
  if (items > 0) work.add(dispatchItems(folding!, buffers, items));
  if (B * H > 0) work.add(dispatch(carrying!, buffers, B * H));
  if (items > 0) work.add(dispatchItems(applying!, buffers, items));
  return made;
}
