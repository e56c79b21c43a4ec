/**
 * Matrix products: plain f32, f32 split into halves on matrix units, and halves.
 *
 * @module
 */
import type { Gpu } from "../../kernels/device.ts";
import { unpackHalves } from "../../kernels/half.ts";
import { matmulBound, type MatmulOptions, type MatmulPlan, planMatmul } from "../../kernels/matmul.ts";
import { type DType, Tensor } from "../../kernels/tensor.ts";
import { lineError } from "./errors.ts";
import type { FusedLine, LineError, LineShape, Prepared, Variant } from "./line.ts";
import { randomTensor } from "./random.ts";

/** Rows and columns of C whose crossings are checked. */
const SAMPLES = 24;

async function prepare(
  gpu: Gpu,
  dtype: DType,
  { M = 1, K = 1, N = 1 }: LineShape,
  { options }: Variant,
): Promise<Prepared> {
  const { transposeA = false, transposeB = false } = options as MatmulOptions;
  const made: { destroy(): void }[] = [];
  const keep = <M extends { destroy(): void }>(one: M): M => {
    made.push(one);
    return one;
  };
  const release = (): void => made.forEach((one) => one.destroy());
  try {
    const random = async (seed: number, shape: readonly number[]): Promise<Tensor> =>
      keep(await randomTensor(gpu, shape, { seed, low: -1, high: 1, dtype }));
    const a = await random(1, transposeA ? [K, M] : [M, K]);
    const b = await random(2, transposeB ? [N, K] : [K, N]);
    const c = keep(Tensor.empty(gpu, [M, N], { dtype: options.wide === true ? "f32" : dtype }));
    const plan = await planMatmul(gpu, { a, b, c }, options as MatmulOptions);
    keep({ destroy: () => plan.release() });
    return {
      plans: [plan],
      tokens: M,
      check: () => check(gpu, plan, { a: side(a, transposeA), b: side(b, !transposeB), c, M, N, K }),
      release,
    };
  } catch (error) {
    release();
    throw error;
  }
}

/** A tensor, and whether its last axis is not the one summed over. */
interface Sampled {
  readonly tensor: Tensor;
  readonly across: boolean;
}

const side = (tensor: Tensor, across: boolean): Sampled => ({ tensor, across });

async function check(
  gpu: Gpu,
  plan: MatmulPlan,
  { a, b, c, M, N, K }: {
    readonly a: Sampled;
    readonly b: Sampled;
    readonly c: Tensor;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  },
): Promise<LineError> {
  const [is, js] = [spread(M), spread(N)];
  const rows = await vectors(gpu, a, is, K);
  const columns = await vectors(gpu, b, js, K);
  const exact = a.tensor.dtype === "f16";
  const got = new Float32Array(is.length * js.length);
  const truth = new Float64Array(got.length);
  let worst = 0;
  for (const [m, i] of is.entries()) {
    const row = await part(gpu, c, i * N, N);
    for (const [n, j] of js.entries()) {
      const at = m * js.length + n;
      const [x, y] = [rows[m]!, columns[n]!];
      for (let k = 0; k < K; k++) truth[at]! += x[k]! * y[k]!;
      const bound = matmulBound(plan, x, y, { exact, result: c.dtype });
      worst = Math.max(worst, bound);
      // An entry beyond its own bound must not hide behind the largest.
      got[at] = Math.abs(row[j]! - truth[at]!) <= bound ? row[j]! : NaN;
    }
  }
  const rms = Math.sqrt(truth.reduce((sum, x) => sum + x * x, 0) / truth.length) || 1;
  return lineError(got, truth, worst / rms);
}

/** Indices over the whole extent, the first and the last among them. */
function spread(extent: number): number[] {
  const count = Math.min(SAMPLES, extent);
  return Array.from({ length: count }, (_, n) => count === 1 ? 0 : Math.round(n * (extent - 1) / (count - 1)));
}

/** Rows of A or columns of B, over the sum. */
async function vectors(
  gpu: Gpu,
  { tensor, across }: Sampled,
  at: readonly number[],
  K: number,
): Promise<Float32Array[]> {
  if (!across) return await Promise.all(at.map((i) => part(gpu, tensor, i * K, K)));
  const width = tensor.shape.at(-1)!;
  const all = await tensor.read();
  return at.map((i) => Float32Array.from({ length: K }, (_, k) => all[k * width + i]!));
}

async function part(gpu: Gpu, { buffer, dtype }: Tensor, offset: number, length: number): Promise<Float32Array> {
  return dtype === "f32"
    ? await gpu.read(buffer, Float32Array, { offset, length })
    : unpackHalves(await gpu.read(buffer, Uint16Array, { offset, length }));
}

const variant = (name: string, options: Variant["options"] = {}): Variant => ({ name, options });

/** Tiles of a group (rows x columns), groups of a workgroup (down x across), tiles along the sum at a time. */
function tiles(rows: number, columns: number, down: number, across: number, unroll: number): Variant["options"] {
  return { rows, columns, down, across, unroll };
}
const named = (options: Variant["options"], more: Variant["options"] = {}, words = ""): Variant => {
  const { rows, columns, down, across, unroll } = options;
  return variant(`${rows}x${columns} by ${down}x${across}, ${unroll} at a time${words}`, { ...options, ...more });
};

const blocks = [
  tiles(2, 4, 4, 2, 1),
  tiles(2, 4, 4, 2, 2),
  tiles(2, 4, 4, 2, 4),
  tiles(2, 4, 2, 2, 2),
  tiles(4, 2, 2, 4, 2),
  tiles(4, 4, 2, 2, 1),
  tiles(4, 4, 2, 2, 2),
  tiles(4, 4, 2, 4, 1),
  tiles(4, 4, 2, 4, 2),
  tiles(2, 2, 4, 4, 2),
];
const stagedBlocks = [
  tiles(2, 4, 4, 2, 1),
  tiles(2, 4, 4, 2, 2),
  tiles(4, 4, 2, 2, 1),
  tiles(4, 4, 2, 2, 2),
  tiles(4, 4, 2, 4, 1),
];
const staged = stagedBlocks.map((options) => named(options, { staged: true }, ", staged"));

const splitVariants: readonly Variant[] = [
  variant("default", { mode: "split" }),
  ...blocks.map((options) => named(options, { staged: false, mode: "split" })),
  // Two tiles of both halves at a time are more than workgroup memory holds.
  ...staged.filter(({ options }) => options.unroll === 1).map(({ name, options }) =>
    variant(name, { ...options, mode: "split" })
  ),
  ...[128, 512, 1024, 2 ** 20].map((chunk) => variant(`chunk ${chunk}`, { mode: "split", chunk })),
  ...[1, 4, 16].map((swizzle) => variant(`swizzle ${swizzle}`, { mode: "split", swizzle })),
  ...[2, 4].map((parts) => variant(`${parts} parts`, { mode: "split", parts })),
  variant("B transposed", { mode: "split", transposeB: true }),
  variant("A transposed", { mode: "split", transposeA: true }),
];

const halfVariants: readonly Variant[] = [
  variant("default", { mode: "f16" }),
  variant("f32 result", { mode: "f16", wide: true }),
  ...blocks.map((options) => named(options, { staged: false, mode: "f16" })),
  ...blocks.map((options) => named(options, { staged: false, mode: "f16", direct: false }, ", packed")),
  ...staged.map(({ name, options }) => variant(name, { ...options, mode: "f16" })),
  ...[1, 4, 16].map((swizzle) => variant(`swizzle ${swizzle}`, { mode: "f16", swizzle })),
  ...[2, 4].map((parts) => variant(`${parts} parts`, { mode: "f16", parts })),
  variant("B transposed", { mode: "f16", transposeB: true }),
  variant("A transposed", { mode: "f16", transposeA: true }),
];

const plainVariants: readonly Variant[] = [
  variant("default", { mode: "f32" }),
  ...[[128, 128, 8], [128, 128, 16], [128, 128, 32], [64, 128, 16], [128, 64, 16], [64, 64, 16], [128, 256, 8]].flatMap(
    ([blockRows, blockColumns, blockTerms]) =>
      [true, false].map((prefetch) =>
        variant(`${blockRows}x${blockColumns}x${blockTerms}${prefetch ? "" : ", no prefetch"}`, {
          mode: "f32",
          blockRows: blockRows!,
          blockColumns: blockColumns!,
          blockTerms: blockTerms!,
          prefetch,
        })
      ),
  ),
  variant("4 each", { mode: "f32", each: 4, blockRows: 64, blockColumns: 64 }),
  ...[1, 4, 16].map((swizzle) => variant(`swizzle ${swizzle}`, { mode: "f32", swizzle })),
  ...[2, 4].map((parts) => variant(`${parts} parts`, { mode: "f32", parts })),
  variant("B transposed", { mode: "f32", transposeB: true }),
  variant("A transposed", { mode: "f32", transposeA: true }),
];

const cube = (n: number): LineShape => ({ M: n, K: n, N: n });
/** Cubes, then products of a Transformer of width 768 on 8192 tokens: forward, and a weight's gradient. */
const shapes: readonly LineShape[] = [
  cube(4096),
  cube(8192),
  { M: 8192, K: 768, N: 768 },
  { M: 8192, K: 768, N: 3072 },
  { M: 768, K: 8192, N: 3072 },
];

function line(name: string, dtype: DType, variants: readonly Variant[]): FusedLine {
  return {
    name,
    dtype,
    shapes,
    small: { M: 70, K: 130, N: 48 },
    variants,
    prepare: (gpu, shape, variant) => prepare(gpu, dtype, shape, variant),
  };
}

export const matmulLines: readonly FusedLine[] = [
  line("matmul", "f32", splitVariants),
  line("matmul", "f16", halfVariants),
  line("matmul plain", "f32", plainVariants),
];
