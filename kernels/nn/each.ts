/**
 * One number of the result from the numbers at its place in other arrays: sums, products, activations, copies.
 *
 * Sizes are in a uniform, so that a formula is compiled once, whatever it is used on. An array shorter than the result is
 * repeated over it: entry i reads its number `i mod length`.
 */
import type { Gpu } from "../gpu.ts";
import { f32Profile } from "../profile.ts";
import { assemble, compileShader, dispatchItems, entryOfItems, itemsEach, storage } from "../wgsl.ts";
import type { Placement, Prepared, Program } from "./program.ts";
import type { Slot } from "./slot.ts";

export interface Each {
  /** At most four, `a`, `b`, `c` and `d` in the formula. */
  readonly inputs: readonly Slot[];
  readonly output: Slot;
  /** WGSL of `a` …, the index `id` and the constants `p` and `q`. */
  readonly value: string;
  /** `p`, `q`; default 0. */
  readonly constants?: readonly [number, number?];
  /** Add to the output rather than replace it; default false. */
  readonly accumulate?: boolean;
}

const names = ["a", "b", "c", "d"] as const;

/** Records the step. */
export function recordEach(program: Program, name: string, each: Each): void {
  program.step(name, each.inputs, [each.output], (at) => prepareEach(program.gpu, name, each, at));
}

async function prepareEach(gpu: Gpu, name: string, each: Each, at: Placement): Promise<Prepared> {
  const { inputs, output, value, constants = [0], accumulate = false } = each;
  const words = new Uint32Array(8);
  words.set([output.length, accumulate ? 1 : 0]);
  new Float32Array(words.buffer).set([constants[0], constants[1] ?? 0], 2);
  words.set(inputs.map(({ length }) => Math.max(1, length)), 4);
  const buffers = {
    sizes: at.uniform(words),
    result_of: at.tensor(output).buffer,
    ...Object.fromEntries(inputs.map((slot, i) => [`${names[i]}_of`, at.tensor(slot).buffer])),
  };
  const used = names.slice(0, inputs.length);
  const items = itemsEach(gpu);
  const shader = assemble(name, {
    bindings: [
      { name: "sizes", access: "uniform", type: "Sizes" },
      ...used.map((input) => storage(`${input}_of`, "f32")),
      storage("result_of", "f32", "read_write"),
    ],
    source: /* wgsl */ `
struct Sizes { count: u32, accumulate: u32, p: f32, q: f32, lengths: vec4u }
${/\bds_/.test(value) ? f32Profile.prelude + smooth : ""}
fn formula(a: f32, b: f32, c: f32, d: f32, p: f32, q: f32, id: u32) -> f32 { return ${value}; }
/* A division costs as much as many a formula. */
fn place(id: u32, length: u32) -> u32 {
  if (length >= sizes.count) { return id; }
  return id % length;
}
${
      entryOfItems({
        count: "sizes.count",
        each: items,
        value: `formula(${
          names.map((input, i) => used.includes(input) ? `${input}_of[place(id, sizes.lengths[${i}])]` : "0.0").join(
            ", ",
          )
        }, sizes.p, sizes.q, id)`,
        store: "if (sizes.accumulate == 0u) { result_of[id] = value; } else { result_of[id] += value; }",
      })
    }`,
  });
  return { dispatches: [dispatchItems(await compileShader(gpu, shader), buffers, output.length, items)] };
}

/** Functions that formulas use beside the profile's. */
const smooth = /* wgsl */ `
fn ds_tanh(x: f32) -> f32 {
  let e = ds_expm1(-2.0 * abs(x));
  return select(-e, e, x < 0.0) / (2.0 + e);
}
// 1 − tanh².
fn ds_sech2(x: f32) -> f32 {
  let e = ds_exp(-2.0 * abs(x));
  return 4.0 * e / ((1.0 + e) * (1.0 + e));
}
// GPT-2's gelu is x σ(2u): 2u of x, and its derivative. Beyond 20 σ is 0 or 1 in f32.
fn ds_gelu_argument(x: f32) -> f32 {
  let y = clamp(x, -20.0, 20.0);
  return 1.5957691216057308 * (y + 0.044715 * y * y * y);
}
fn ds_gelu(x: f32) -> f32 { return x * ds_sigmoid(ds_gelu_argument(x)); }
fn ds_gelu_slope(x: f32) -> f32 {
  let y = clamp(x, -20.0, 20.0);
  let u = ds_gelu_argument(x);
  let s = ds_sigmoid(u);
  return s + y * s * ds_sigmoid(-u) * 1.5957691216057308 * (1.0 + 0.134145 * y * y);
}
fn ds_silu_slope(x: f32) -> f32 {
  let s = ds_sigmoid(x);
  return s + x * s * ds_sigmoid(-x);
}
`;
