/**
 * The element-wise scan by rows and by columns, forward and with its gradient, and single rows of 2^28.
 *
 * @module
 */
import type { Gpu } from "../../kernels/device.ts";
import { planScanBackward } from "../../kernels/elementwise/backward.ts";
import { planScan, type ScanLayout, type ScanPlan, type ScanTuning } from "../../kernels/elementwise/scan.ts";
import { bytesOf, type DType, Tensor } from "../../kernels/tensor.ts";
import { checkLong, checkSequences, type PartTensors } from "./_elementwise_check.ts";
import type { FusedLine, LineShape, Prepared, Variant } from "./line.ts";
import { randomTensor } from "./random.ts";

type Extent = { readonly B: number; readonly D: number; readonly T: number };

const extentOf = ({ B, D, T }: LineShape): Extent => ({ B: B!, D: D!, T: T! });

/** Batch rows of each part: a tensor must fit one buffer. */
function partsOf(gpu: Gpu, { B, D, T }: Extent, dtype: DType): number[] {
  const limit = Math.min(gpu.limits.maxBufferSize, gpu.limits.maxStorageBufferBindingSize);
  const each = Math.max(1, Math.floor(limit / bytesOf([D, T], dtype)));
  const parts = Math.ceil(B / each);
  return Array.from({ length: parts }, (_, n) => Math.floor((n + 1) * B / parts) - Math.floor(n * B / parts));
}

/** One line on tensors of ordinary numbers: gates in [0.9, 1), all else in [−1, 1), or [0, 1) where it is summed up. */
async function prepare(
  gpu: Gpu,
  layout: ScanLayout,
  dtype: DType,
  extent: Extent,
  { options }: Variant,
  { gated = true, backward = false }: { readonly gated?: boolean; readonly backward?: boolean } = {},
): Promise<Prepared> {
  const { D, T } = extent;
  const tuning = options as ScanTuning;
  const made: { destroy(): void }[] = [];
  const keep = <M extends { destroy(): void }>(one: M): M => {
    made.push(one);
    return one;
  };
  const release = (): void => made.forEach((one) => one.destroy());
  try {
    const parts: (PartTensors & { readonly forward: ScanPlan })[] = [];
    const plans: ScanPlan[] = [];
    for (const [n, B] of partsOf(gpu, extent, dtype).entries()) {
      const shape = layout === "rows" ? [B, D, T] : [B, T, D];
      const random = async (seed: number, low: number): Promise<Tensor> =>
        keep(await randomTensor(gpu, shape, { seed: 8 * n + seed, low, high: 1, dtype }));
      const room = (): Tensor => keep(Tensor.empty(gpu, shape, { dtype }));
      const a = gated ? await random(1, 0.9) : undefined;
      // Sums of positive numbers: their size is that of their terms' sizes, which the bound is of.
      const b = await random(2, gated ? -1 : 0);
      const h = room();
      const forward = await planScan(gpu, { ...(a && { a }), b, h }, { layout, ...tuning });
      keep({ destroy: () => forward.release() });
      plans.push(forward);
      let gradient: PartTensors["gradient"];
      if (backward) {
        const [dh, da, db] = [await random(3, -1), room(), room()];
        const plan = await planScanBackward(gpu, { a: a!, h, dh, da, db }, { layout, ...tuning });
        keep({ destroy: () => plan.release() });
        plans.push(plan);
        gradient = { dh, da, db, late: plan.rightCombines };
      }
      parts.push({ layout, B, D, T, a, b, h, late: forward.rightCombines, gradient, forward });
    }
    return {
      plans,
      tokens: extent.B * T,
      check: () => !gated || T > 2 ** 20 ? checkLong(gpu, parts[0]!) : checkSequences(gpu, parts),
      release,
    };
  } catch (error) {
    release();
    throw error;
  }
}

const variant = (name: string, options: Variant["options"] = {}): Variant => ({ name, options });
const standard = variant("default");

const rowVariants: readonly Variant[] = [
  standard,
  ...[32, 64, 128, 256].flatMap((threads) =>
    [1, 2, 4].map((vectors) => variant(`${threads} threads x ${vectors}`, { threads, vectors }))
  ),
  ...[1, 2, 4].map((vectors) =>
    variant(`128 threads x ${vectors} without prefetch`, { threads: 128, vectors, prefetch: false })
  ),
  ...[1, 2, 8].map((rows) => variant(`32 threads x 4, ${rows} rows`, { threads: 32, vectors: 4, rows })),
  variant("128 threads x 2 blocked", { threads: 128, vectors: 2, order: "blocked" }),
  variant("128 threads x 2 workgroup memory", { threads: 128, vectors: 2, subgroups: false }),
];

const columnVariants: readonly Variant[] = [
  standard,
  ...[[32, 4, 8], [32, 4, 16], [32, 8, 4], [32, 8, 16], [32, 16, 4], [32, 16, 8], [64, 4, 8], [64, 8, 4], [64, 8, 8]]
    .map(([lanes, segments, length]) =>
      variant(`${lanes} lanes x ${segments} x ${length}`, { lanes: lanes!, segments: segments!, length: length! })
    ),
  variant("32 lanes of 2 x 8 x 4", { lanes: 32, segments: 8, length: 4, width: 2 }),
  variant("32 lanes of 4 x 8 x 4", { lanes: 32, segments: 8, length: 4, width: 4 }),
  variant("16 lanes of 4 x 16 x 4", { lanes: 16, segments: 16, length: 4, width: 4 }),
  variant("32 lanes x 8 x 8 without prefetch", { prefetch: false }),
  variant("in chunks of 512", { path: "reduce-scan-apply", chunk: 512 }),
];

const longVariants: readonly Variant[] = [
  standard,
  ...[256, 512, 1024].flatMap((threads) =>
    [2, 4, 8].map((vectors) => variant(`${threads} threads x ${vectors}`, { path: "look-back", threads, vectors }))
  ),
  variant("256 threads x 16", { path: "look-back", threads: 256, vectors: 16 }),
  ...[1, 2, 4, 16, 32].map((window) => variant(`windows of ${window}`, { path: "look-back", window })),
  variant("1024 threads x 8, windows of 1", { path: "look-back", threads: 1024, vectors: 8, window: 1 }),
  variant("in workgroup order", { path: "look-back", ticket: false }),
  variant("blocked", { path: "look-back", order: "blocked" }),
  ...[128, 192, 256, 384, 512].map((lead) => variant(`totals ${lead} ahead`, { path: "look-back", lead })),
  ...[[256, 8, 512], [256, 8, 768], [512, 4, 512], [1024, 4, 256], [256, 4, 1024]].map(([threads, vectors, lead]) =>
    variant(`totals ${lead} ahead, ${threads} threads x ${vectors}`, {
      path: "look-back",
      threads: threads!,
      vectors: vectors!,
      lead: lead!,
    })
  ),
  variant("totals 256 ahead, in workgroup order", { path: "look-back", lead: 256, ticket: false }),
  ...[2 ** 15, 2 ** 16, 2 ** 17, 2 ** 18].map((chunk) =>
    variant(`in chunks of ${chunk}`, { path: "reduce-scan-apply", chunk })
  ),
];

const lengths = [1024, 2048, 4096, 16384, 65536];
const wide = (T: number): LineShape => ({ B: 8, D: 1536, T });
const small: LineShape = { B: 2, D: 48, T: 512 };

function line(
  layout: ScanLayout,
  dtype: DType,
  backward: boolean,
  shapes: readonly LineShape[],
  variants: readonly Variant[],
): FusedLine {
  return {
    name: `scan ${layout} forward${backward ? "+backward" : ""}`,
    dtype,
    shapes,
    small,
    variants,
    prepare: (gpu, shape, tuned) => prepare(gpu, layout, dtype, extentOf(shape), tuned, { backward }),
  };
}

function longLine(name: string, gated: boolean): FusedLine {
  return {
    name,
    dtype: "f32",
    shapes: [{ B: 1, D: 1, T: 2 ** 28 }],
    small: { B: 1, D: 1, T: 2 ** 18 },
    variants: longVariants,
    prepare: (gpu, shape, tuned) => prepare(gpu, "rows", "f32", extentOf(shape), tuned, { gated }),
  };
}

const types: readonly DType[] = ["f32", "f16"];
export const elementwiseLines: readonly FusedLine[] = [
  ...types.flatMap((dtype) =>
    [false, true].map((backward) => line("rows", dtype, backward, lengths.map(wide), rowVariants))
  ),
  ...types.flatMap((dtype) =>
    [false, true].map((backward) => line("columns", dtype, backward, [wide(4096)], columnVariants))
  ),
  longLine("sum row 2^28", false),
  longLine("affine row 2^28", true),
];
