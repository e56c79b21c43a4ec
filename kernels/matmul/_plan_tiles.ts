/** A product on a matrix unit, made ready: packing, then tiles; or tiles of halves as they lie. */

import { InputError } from "../../models/error.ts";
import type { Dispatch, Gpu } from "../gpu.ts";
import type { MatrixUnit } from "../matrix_unit.ts";
import type { Tensor } from "../tensor.ts";
import { BUSY, type Design, type Memory, partsOf, writesPartial } from "./_design.ts";
import { type Packed, packedLength, packShader, packSizes, packWorkgroups, scalesLength } from "./_pack.ts";
import type { Problem, Side } from "./_problem.ts";
import { type Spread } from "./_spread.ts";
import { productBytes, productShader, productSizes, productWorkgroups, threadsOf } from "./_product.ts";
import { sizesWords } from "./_sizes.ts";
import { blockOf, type TileTuning, type Tiling, tilingOf } from "./_tiling.ts";

export interface TilesTuning extends TileTuning {
  /** Terms of the sum that matrix units add up before they are added in f32: a multiple of 16. Default: split 256, f16 all. */
  readonly chunk?: number;
  /** Whether halves may be multiplied as they lie; default true. */
  readonly direct?: boolean;
}

export interface TilesOptions extends TilesTuning {
  readonly accumulate: boolean;
  readonly parts?: number;
}

/** Terms that matrix units add up in `split`, by default. */
const CHUNK = 256;

const large: Tiling = { rows: 2, columns: 4, down: 4, across: 2, unroll: 1, staged: true, swizzle: 8 };
const small: Tiling = { rows: 2, columns: 2, down: 2, across: 2, unroll: 2, staged: false, swizzle: 8 };
/** Loops that imitate matrix units are for checks: small enough to compile fast. */
const imitated: Tiling = { rows: 1, columns: 2, down: 1, across: 2, unroll: 2, staged: false, swizzle: 8 };

export function planTiles(
  gpu: Gpu,
  problem: Problem,
  c: Tensor,
  unit: MatrixUnit,
  memory: Memory,
  options: TilesOptions,
): Design {
  if (unit.lanes !== 32) {
    throw new InputError(`Cannot multiply on matrix units: subgroups must have 32 invocations, got ${unit.lanes}`);
  }
  if (options.chunk !== undefined && !(options.chunk >= 16 && options.chunk % 16 === 0)) {
    throw new InputError(`Cannot multiply: chunk must be a positive multiple of 16, got ${options.chunk}`);
  }
  const candidates = unit.hardware ? [large, small] : [imitated];
  const spreads = candidates.map((defaults) => spreadOf(problem, c, unit, tilingOf(given(options), defaults), options));
  const spread = fitting(
    gpu,
    unit,
    spreads.find((spread) => productWorkgroups(spread) >= BUSY) ?? spreads.at(-1)!,
  );
  const { tiling, parts, direct } = spread;
  const bias = spread.bias ? [problem.bias!.buffer] : [];
  const chunk = 16 * spread.a.chunkTiles;
  const packs = direct
    ? []
    : [pack(gpu, memory, unit, problem.a, spread.a), pack(gpu, memory, unit, problem.b, spread.b)];
  const sizes = memory.uniform(sizesWords(productSizes(spread)));
  const block = `${16 * tiling.rows * tiling.down}x${16 * tiling.columns * tiling.across}x${16 * tiling.unroll}`;
  return {
    variant:
      `${unit.key}, ${block} by ${tiling.down}x${tiling.across}, ${tiling.staged ? "staged" : "from storage"}, ` +
      `${direct ? "as they lie" : `packed, chunk ${chunk}`}, ${parts === 1 ? "1 part" : `${parts} parts`}`,
    mode: unit.mode,
    hardware: unit.hardware,
    chunk,
    direct,
    parts,
    async dispatches(result) {
      const [pipeline, ...first] = await Promise.all([
        gpu.compile({ label: `matmul ${unit.key}`, code: productShader(unit, spread) }),
        ...packs.map(({ dispatch }) => dispatch()),
      ]);
      const operands = direct
        ? [problem.a.tensor.buffer, problem.b.tensor.buffer]
        : [...packs.flatMap(({ operands }) => operands), ...packs.map(({ scales }) => scales)];
      const buffers = [result, ...operands, sizes, ...bias];
      return [...first, { pipeline, buffers, workgroups: productWorkgroups(spread) }];
    },
  };
}

function given({ rows, columns, down, across, unroll, staged, swizzle }: TileTuning): TileTuning {
  return Object.fromEntries(
    Object.entries({ rows, columns, down, across, unroll, staged, swizzle }).filter(([, value]) => value !== undefined),
  );
}

function spreadOf(problem: Problem, c: Tensor, unit: MatrixUnit, tiling: Tiling, options: TilesOptions): Spread {
  const { batches, M, N, K, a, b } = problem;
  const { unroll } = tiling;
  const direct = (options.direct ?? true) && !tiling.staged && unit.hardware && unit.mode === "f16" &&
    a.tensor.dtype === "f16" && b.tensor.dtype === "f16" && M % 16 === 0 && N % 16 === 0 && K % (16 * unroll) === 0;
  const tiles = Math.ceil(K / (16 * unroll)) * unroll;
  const whole = (terms: number): number => Math.min(tiles, Math.ceil(terms / (16 * unroll)) * unroll);
  const block = blockOf(tiling);
  const packed = (side: Side, rows: number, chunkTiles: number, panel: number): Packed => ({
    batches: side.batched ? batches : 1,
    blocks: Math.ceil(rows / 16),
    tiles,
    chunkTiles,
    panel: tiling.staged ? panel : 1,
  });
  const spread = (wanted: number): Spread => {
    const chunkTiles = whole(options.chunk ?? (unit.mode === "f16" ? Math.ceil(K / wanted) : CHUNK));
    const parts = Math.min(wanted, Math.ceil(tiles / chunkTiles));
    const partial = writesPartial(c, { parts, hardware: unit.hardware });
    return {
      problem,
      tiling,
      a: packed(a, M, chunkTiles, block.down),
      b: packed(b, N, chunkTiles, block.across),
      direct,
      parts,
      type: partial ? "f32" : c.dtype,
      strip: tiling.columns,
      accumulate: options.accumulate && !partial,
      bias: problem.bias !== undefined && !partial,
    };
  };
  return spread(partsOf(problem, productWorkgroups(spread(1)), options.parts, 1024));
}

/** The same with the widest strips that workgroup memory has room for. */
function fitting(gpu: Gpu, unit: MatrixUnit, spread: Spread): Spread {
  const { limits } = gpu;
  const { columns } = spread.tiling;
  const strips = Array.from({ length: columns }, (_, i) => columns - i).filter((strip) => columns % strip === 0);
  const fits = (strip: number): boolean =>
    productBytes(unit, { ...spread, strip }) <= limits.maxComputeWorkgroupStorageSize;
  const strip = strips.find(fits);
  const threads = threadsOf(unit, spread.tiling);
  if (strip !== undefined && threads <= limits.maxComputeInvocationsPerWorkgroup) return { ...spread, strip };
  throw new InputError(
    `Cannot multiply: these tiles take ${threads} invocations and ${
      productBytes(unit, { ...spread, strip: 1 })
    } bytes of ` +
      `workgroup memory, the device allows ${limits.maxComputeInvocationsPerWorkgroup} and ${limits.maxComputeWorkgroupStorageSize}`,
  );
}

interface Pack {
  readonly operands: readonly GPUBuffer[];
  readonly scales: GPUBuffer;
  dispatch(): Promise<Dispatch>;
}

function pack(gpu: Gpu, memory: Memory, unit: MatrixUnit, side: Side, packed: Packed): Pack {
  const arrays = unit.arrays("operand");
  const width = unit.element === "f16" ? 2 : 4;
  const operands = arrays.map((label) => memory.scratch(width * packedLength(packed), label));
  const scales = memory.scratch(4 * scalesLength(packed), "scales");
  const sizes = memory.uniform(sizesWords(packSizes(side, packed)));
  return {
    operands,
    scales,
    async dispatch() {
      const pipeline = await gpu.compile({ label: `matmul pack ${unit.key}`, code: packShader(unit, side, packed) });
      return {
        pipeline,
        buffers: [side.tensor.buffer, scales, ...operands, sizes],
        workgroups: packWorkgroups(packed),
      };
    },
  };
}
