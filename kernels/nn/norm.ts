/**
 * Normalisation of rows, and its gradient: layerNorm, rmsNorm and unitNorm in one text. A workgroup takes a row; the order
 * of its sums depends on the row's width alone.
 *
 *     y = (x − m) r · gain + bias,   layer: m = mean, r = (variance + ε)^−1/2
 *                                    rms:   m = 0,    r = (mean of x² + ε)^−1/2
 *                                    unit:  m = 0,    r = (Σ x² + ε)^−1/2, no gain
 *     dx = r (h − mean(h) − x̂ mean(h x̂)),   x̂ = (x − m) r, h = dy · gain; mean(h) for layer only, a sum for unit
 */
import type { Gpu } from "../gpu.ts";
import { assemble, compileShader, dispatch, type Shader, storage } from "../wgsl.ts";
import type { Placement, Prepared } from "./program.ts";
import type { Slot } from "./slot.ts";

export type NormKind = "layer" | "rms" | "unit";

export interface Norm {
  readonly kind: NormKind;
  readonly x: Slot;
  readonly gain: Slot | undefined;
  readonly bias: Slot | undefined;
  readonly epsilon: number;
  /** m and r of every row, `[rows, 2]`: written forward, read backward. */
  readonly statistics: Slot;
}

/**
 * Invocations of a row: what each reads it waits for, so that wide rows have more. By the width alone, as the order of the sums
 * goes by it.
 */
const threadsOf = ({ x }: Norm): number => x.shape.at(-1)! > 64 ? 256 : 64;

const head = (threads: number): string => /* wgsl */ `
struct Sizes { rows: u32, width: u32, accumulate: u32, epsilon: f32 }
var<workgroup> lanes: array<f32, ${threads}>;
/* The sum over the workgroup, for all of it. */
fn total(lane: u32, value: f32) -> f32 {
  lanes[lane] = value;
  workgroupBarrier();
  for (var half = ${threads / 2}u; half > 0u; half = half / 2u) {
    if (lane < half) { lanes[lane] += lanes[lane + half]; }
    workgroupBarrier();
  }
  let sum = lanes[0];
  workgroupBarrier();
  return sum;
}
`;

const entry = (threads: number, body: string): string => /* wgsl */ `
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = flat_workgroup(workgroup, grid);
  if (row >= sizes.rows) { return; }
  let first = row * sizes.width;
  let count = f32(sizes.width);
  ${body}
}
`;

const each = (threads: number) => (statement: string): string =>
  `for (var i = lane; i < sizes.width; i += ${threads}u) { ${statement} }`;

const sizesBinding = { name: "sizes", access: "uniform", type: "Sizes" } as const;

function forwardShader(norm: Norm): Shader {
  const { kind, gain, bias } = norm;
  const threads = threadsOf(norm);
  const every = each(threads);
  const square = /* wgsl */ `var squares = 0.0;
  ${every("let x = x_of[first + i] - mean; squares += x * x;")}
  let size = total(lane, squares)${kind === "unit" ? "" : " / count"};`;
  const mean = kind === "layer"
    ? `var sum = 0.0; ${every("sum += x_of[first + i];")} let mean = total(lane, sum) / count;`
    : "let mean = 0.0;";
  const value = `(x_of[first + i] - mean) * scale${gain ? " * gain_of[i]" : ""}${bias ? " + bias_of[i]" : ""}`;
  return assemble(`${kind} norm`, {
    bindings: [
      sizesBinding,
      ...["x_of", "gain_of", "bias_of"].map((name) => storage(name, "f32")),
      ...["y_of", "statistics"].map((name) => storage(name, "f32", "read_write")),
    ],
    source: head(threads) + entry(
      threads,
      /* wgsl */ `${mean}
  ${square}
  let scale = 1.0 / sqrt(size + sizes.epsilon);
  if (lane == 0u) { statistics[2u * row] = mean; statistics[2u * row + 1u] = scale; }
  ${every(`y_of[first + i] = ${value};`)}`,
    ),
  });
}

function backwardShader(norm: Norm): Shader {
  const { kind, gain } = norm;
  const threads = threadsOf(norm);
  const every = each(threads);
  const h = `let h = g_of[first + i]${gain ? " * gain_of[i]" : ""}; let unit = (x_of[first + i] - mean) * scale;`;
  const divide = kind === "unit" ? "" : " / count";
  return assemble(`${kind} norm backward`, {
    bindings: [
      sizesBinding,
      ...["x_of", "gain_of", "statistics", "g_of"].map((name) => storage(name, "f32")),
      storage("result_of", "f32", "read_write"),
    ],
    source: head(threads) + entry(
      threads,
      /* wgsl */ `let mean = statistics[2u * row];
  let scale = statistics[2u * row + 1u];
  var sum = 0.0;
  var along = 0.0;
  ${every(`${h} sum += h; along += h * unit;`)}
  ${kind === "layer" ? "let shift = total(lane, sum) / count;" : "let shift = 0.0;"}
  let tilt = total(lane, along)${divide};
  ${
        every(`${h} let value = scale * ((h - shift) - unit * tilt);
    if (sizes.accumulate == 0u) { result_of[first + i] = value; } else { result_of[first + i] += value; }`)
      }`,
    ),
  });
}

function sizesOf({ x, epsilon }: Norm, accumulate: boolean): { readonly words: Uint32Array; readonly rows: number } {
  const width = x.shape.at(-1)!;
  const rows = width === 0 ? 0 : x.length / width;
  const words = new Uint32Array([rows, width, accumulate ? 1 : 0, 0]);
  new Float32Array(words.buffer)[3] = epsilon;
  return { words, rows };
}

export async function prepareNorm(gpu: Gpu, norm: Norm, y: Slot, at: Placement): Promise<Prepared> {
  const { words, rows } = sizesOf(norm, false);
  const { x, gain, bias, statistics } = norm;
  const buffers = {
    sizes: at.uniform(words),
    x_of: at.tensor(x).buffer,
    ...(gain && { gain_of: at.tensor(gain).buffer }),
    ...(bias && { bias_of: at.tensor(bias).buffer }),
    y_of: at.tensor(y).buffer,
    statistics: at.tensor(statistics).buffer,
  };
  return { dispatches: [dispatch(await compileShader(gpu, forwardShader(norm)), buffers, rows)] };
}

/** The gradient with respect to x, from that with respect to y. */
export async function prepareNormBackward(
  gpu: Gpu,
  norm: Norm,
  { g, dx, accumulate }: { readonly g: Slot; readonly dx: Slot; readonly accumulate: boolean },
  at: Placement,
): Promise<Prepared> {
  const { words, rows } = sizesOf(norm, accumulate);
  const { x, gain, statistics } = norm;
  const buffers = {
    sizes: at.uniform(words),
    x_of: at.tensor(x).buffer,
    ...(gain && { gain_of: at.tensor(gain).buffer }),
    statistics: at.tensor(statistics).buffer,
    g_of: at.tensor(g).buffer,
    result_of: at.tensor(dx).buffer,
  };
  return { dispatches: [dispatch(await compileShader(gpu, backwardShader(norm)), buffers, rows)] };
}
