/**
 * Matrix products: plain f32, f32 split into halves on matrix units, and halves.
 *
 * @module
 */
import type { Gpu } from "../../kernels/device.ts";
import { unpackHalves } from "../../kernels/half.ts";
import { matmulBound, type MatmulOptions, type MatmulPlan, planMatmul } from "../../kernels/matmul.ts";
import { type DType, Tensor } from "../../kernels/tensor.ts";
import { boundedError } from "./errors.ts";
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
  // With those that have one scale with them.
  const rows = await vectors(gpu, a, is, { K, count: M, scaled: plan.scaled?.a ?? 1 });
  const columns = await vectors(gpu, b, js, { K, count: N, scaled: plan.scaled?.b ?? 1 });
  const exact = a.tensor.dtype === "f16";
  const got = new Float32Array(is.length * js.length);
  const [truth, radii] = [new Float64Array(got.length), new Float64Array(got.length)];
  for (const [m, i] of is.entries()) {
    const row = await part(gpu, c, i * N, N);
    for (const [n, j] of js.entries()) {
      const at = m * js.length + n;
      const { own: x, beside: besideA } = rows[m]!;
      const { own: y, beside: besideB } = columns[n]!;
      for (let k = 0; k < K; k++) truth[at]! += x[k]! * y[k]!;
      radii[at] = matmulBound(plan, x, y, { besideA, besideB, exact, result: c.dtype });
      got[at] = row[j]!;
    }
  }
  return boundedError(got, truth, radii);
}

/** Indices over the whole extent, the first and the last among them. */
function spread(extent: number): number[] {
  const count = Math.min(SAMPLES, extent);
  return Array.from({ length: count }, (_, n) => count === 1 ? 0 : Math.round(n * (extent - 1) / (count - 1)));
}

/** A row of A or a column of B, over the sum, and those of one scale with it. */
interface Vector {
  readonly own: Float32Array;
  readonly beside: readonly Float32Array[];
}

async function vectors(
  gpu: Gpu,
  { tensor, across }: Sampled,
  at: readonly number[],
  { K, count, scaled }: { readonly K: number; readonly count: number; readonly scaled: number },
): Promise<Vector[]> {
  const width = tensor.shape.at(-1)!;
  const all = across ? await tensor.read() : undefined;
  return await Promise.all(at.map(async (i) => {
    const first = i - i % scaled;
    const rows = Math.min(scaled, count - first);
    const block = all === undefined ? await part(gpu, tensor, first * K, rows * K) : undefined;
    const vector = (row: number): Float32Array =>
      block?.subarray(row * K, row * K + K) ??
        Float32Array.from({ length: K }, (_, k) => all![k * width + first + row]!);
    return { own: vector(i - first), beside: Array.from({ length: rows }, (_, row) => vector(row)) };
  }));
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
  tiles(4, 4, 2, 2, 1),
  tiles(4, 4, 2, 2, 2),
  tiles(4, 4, 2, 4, 1),
  tiles(4, 4, 4, 2, 1),
  tiles(2, 4, 4, 2, 1),
  tiles(2, 4, 4, 2, 2),
  tiles(2, 4, 4, 2, 4),
  tiles(2, 2, 2, 2, 2),
  tiles(2, 2, 4, 4, 2),
];
const splitVariants: readonly Variant[] = [
  variant("default", { mode: "split" }),
  ...blocks.filter(({ unroll }) => (unroll as number) < 4).map((options) => named(options, { mode: "split" })),
  ...[128, 512, 1024, 2 ** 20].map((chunk) => variant(`chunk ${chunk}`, { mode: "split", chunk })),
  ...[1, 4, 16].map((swizzle) => variant(`swizzle ${swizzle}`, { mode: "split", swizzle })),
  variant("B transposed", { mode: "split", transposeB: true }),
  variant("A transposed", { mode: "split", transposeA: true }),
];

/** Rows and columns of an invocation; rows, columns and terms of a workgroup, or of each part of the sum. */
const plainBlocks = [
  [4, 32, 32, 16],
  [4, 32, 32, 32],
  [4, 64, 32, 16],
  [8, 64, 64, 16],
] as const;

/** Products of few workgroups, chunks as networks have them, in one part each so that tilings can be compared. */
function fewVariants(layout: Variant["options"]): readonly Variant[] {
  const base = { mode: "split", chunk: 1024, ...layout } as const;
  const one = { ...base, parts: 1 };
  // The third is 37 KB, one workgroup a multiprocessor.
  const tilings = [
    tiles(4, 4, 2, 2, 1),
    tiles(2, 2, 2, 2, 2),
    tiles(2, 2, 2, 2, 4),
    tiles(1, 2, 4, 2, 2),
    tiles(1, 1, 2, 2, 2),
  ];
  return [
    variant("default", base),
    variant("plain", { ...layout, mode: "f32" }),
    ...plainBlocks.flatMap(([each, blockRows, blockColumns, blockTerms]) =>
      [true, false].map((together) =>
        variant(`plain ${blockRows}x${blockColumns}x${blockTerms} by ${each}${together ? ", together" : ""}`, {
          ...{ ...layout, mode: "f32", each, blockRows, blockColumns, blockTerms, together, parts: together ? 4 : 1 },
        })
      )
    ),
    ...tilings.flatMap((options) =>
      [false, true].map((ahead) => named(options, { ...one, ahead }, ahead ? ", read ahead" : ""))
    ),
    variant("1 part", one),
    ...[2, 4, 6].map((parts) => variant(`${parts} parts`, { ...base, parts })),
    variant("invariant", { ...base, invariant: true }),
    variant("invariant, packed", { ...base, invariant: true, unpacked: false }),
    ...[1, 2, 4].map((rows) =>
      variant(`rows as they lie, ${rows}`, { ...base, invariant: true, unpacked: true, rows })
    ),
    variant("invariant, chunk 256", { ...base, invariant: true, chunk: 256 }),
  ];
}

const halfVariants: readonly Variant[] = [
  variant("default", { mode: "f16" }),
  variant("f32 result", { mode: "f16", wide: true }),
  ...blocks.map((options) => named(options, { mode: "f16", wide: true })),
  ...[1, 4, 16].map((swizzle) => variant(`swizzle ${swizzle}`, { mode: "f16", wide: true, swizzle })),
  ...[2, 4].map((parts) => variant(`${parts} parts`, { mode: "f16", wide: true, parts })),
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

/** Those of small networks. */
const fewShapes: readonly LineShape[] = [
  { M: 1024, K: 256, N: 1024 },
  { M: 8192, K: 256, N: 256 },
  { M: 512, K: 768, N: 768 },
  { M: 512, K: 768, N: 3072 },
  { M: 64, K: 768, N: 3072 },
  { M: 128, K: 3072, N: 768 },
];
/** A weight's gradient. */
const gradientShapes: readonly LineShape[] = [{ M: 768, K: 512, N: 768 }, { M: 768, K: 512, N: 3072 }];

function line(name: string, dtype: DType, variants: readonly Variant[], of = shapes): FusedLine {
  return {
    name,
    dtype,
    shapes: of,
    small: { M: 70, K: 130, N: 48 },
    variants,
    prepare: (gpu, shape, variant) => prepare(gpu, dtype, shape, variant),
  };
}

export const matmulLines: readonly FusedLine[] = [
  line("matmul", "f32", splitVariants),
  line("matmul", "f16", halfVariants),
  line("matmul plain", "f32", plainVariants),
  line("matmul small", "f32", fewVariants({}), fewShapes),
  line("matmul small gradient", "f32", fewVariants({ transposeA: true }), gradientShapes),
];
