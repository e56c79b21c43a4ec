/**
 * The product of packed operands on a matrix unit. Groups of lanes each hold a block of tiles over one chunk of the sum; then
 * the tiles are unscaled, where a tile has one scale, and stored whole: registers and workgroup memory hold nothing else.
 * What lies beyond C, scales of rows, other chunks, a bias or what is in C already is for the kernel after this one.
 *
 * On an H200 workgroup memory decides how many workgroups a multiprocessor holds, and that how fast they are: sums that went
 * through 18 KB of it on their way out took as long as the product (bench/NOTES.md).
 */

import type { MatrixUnit } from "../matrix_unit.ts";
import { entryPerGroup } from "./_entry.ts";
import { chunksOf, type Packed, packedTiles, scalesEach } from "./_pack.ts";
import { type Sizes, sizesText } from "./_sizes.ts";
import type { Spread } from "./_spread.ts";
import { stagedOperands } from "./_stage.ts";
import { blockOf, placeOf, type Tiling } from "./_tiling.ts";

export const threadsOf = (unit: MatrixUnit, { down, across }: Tiling): number => unit.lanes * down * across;

export function productGrid({ tiling, a, b }: Spread): { readonly down: number; readonly across: number } {
  const block = blockOf(tiling);
  return { down: Math.ceil(a.blocks / block.down), across: Math.ceil(b.blocks / block.across) };
}

export function productWorkgroups(spread: Spread): number {
  const { down, across } = productGrid(spread);
  return down * across * spread.parts * spread.problem.batches;
}

/** Rows and columns of the result: those of C, in whole blocks. */
export function wholeSides(spread: Spread): { readonly rows: number; readonly columns: number } {
  const block = blockOf(spread.tiling);
  const { down, across } = productGrid(spread);
  return { rows: 16 * block.down * down, columns: 16 * block.across * across };
}

/** Tiles of the operand's matrix, scales of one, and blocks; none from one matrix to the next if one serves every batch. */
function sideSizes(name: "a" | "b", packed: Packed): Sizes {
  const { batches, blocks } = packed;
  return {
    [`blocks_${name}`]: blocks,
    [`matrix_${name}`]: batches > 1 ? packedTiles(packed) : 0,
    [`scales_${name}`]: batches > 1 ? chunksOf(packed) * scalesEach(packed) : 0,
  };
}

export function productSizes(spread: Spread): Sizes {
  const { problem: { batches }, a, b, first, parts } = spread;
  return {
    ...{ batches, first, parts, ...productGrid(spread), workgroups: productWorkgroups(spread), ...wholeSides(spread) },
    ...{ tiles: a.tiles, chunk_tiles: a.chunkTiles },
    ...sideSizes("a", a),
    ...sideSizes("b", b),
  };
}

/** Whether the product unscales its tiles. */
export const unscales = ({ a, b }: Spread): boolean => a.scaled === 16 && b.scaled === 16;

/**
 * Bindings: the result, `[parts, batches, rows, columns]` of whole blocks, {@linkcode productSizes}, the operands' arrays, and
 * their scales if it {@linkcode unscales}.
 */
export function productShader(unit: MatrixUnit, spread: Spread): string {
  const { tiling } = spread;
  const { rows, columns, across, unroll, swizzle } = tiling;
  const block = blockOf(tiling);
  const count = unit.arrays("a").length;
  const operands = stagedOperands(unit, spread);
  const scale = (name: "a" | "b", i: number): string => {
    const first = name === "a" ? "first_row" : "first_column";
    return `let scale_${name}_${i} = scales_${name}[batch * sizes.scales_${name} + chunk * sizes.blocks_${name} + ` +
      `min(${first} + ${i}u, sizes.blocks_${name} - 1u)];`;
  };
  const indices = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i);
  // One after the other: together they may leave the range of f32 where the number does not.
  const unscaled = [
    ...indices(rows).map((i) => scale("a", i)),
    ...indices(columns).map((j) => scale("b", j)),
    ...indices(rows).flatMap((i) =>
      indices(columns).map((j) => {
        const [x, y] = [`scale_a_${i}`, `scale_b_${j}`];
        return unit.scale("c", { row: i, column: j }, `min(${x}, ${y})`, `max(${x}, ${y})`);
      })
    ),
  ].join("\n  ");
  return /* wgsl */ `${unit.prelude}
@group(0) @binding(0) var<storage, read_write> result: array<f32>;
${sizesText(productSizes(spread), 1)}
${operands.declarations}
${
    unscales(spread)
      ? `@group(0) @binding(${2 + 2 * count}) var<storage, read> scales_a: array<f32>;
@group(0) @binding(${3 + 2 * count}) var<storage, read> scales_b: array<f32>;`
      : ""
  }
${unit.functions}
${
    entryPerGroup(
      threadsOf(unit, tiling),
      /* wgsl */ `${placeOf({ down: "sizes.down", across: "sizes.across", parts: "sizes.parts", swizzle })}
  let chunk = sizes.first + part;
  let down = lid / ${unit.lanes * across}u;
  let across = lid / ${unit.lanes}u % ${across}u;
  let first_row = ${block.down}u * tile_row + ${rows}u * down;
  let first_column = ${block.across}u * tile_column + ${columns}u * across;
  let begin = chunk * sizes.chunk_tiles;
  let end = min(begin + sizes.chunk_tiles, sizes.tiles);
  ${operands.prepare}
  ${unit.accumulators("c", rows, columns)}
  for (var k = begin; k < end; k += ${unroll}u) {
    ${operands.step}
    ${unit.product({ into: "c", rows, columns, inner: unroll, a: operands.a, b: operands.b })}
  }
  ${unscales(spread) ? unscaled : ""}
  let corner = ((part * sizes.batches + batch) * sizes.rows + 16u * first_row) * sizes.columns + 16u * first_column;
  ${unit.store("c", rows, columns, { array: "result", at: "corner", stride: "sizes.columns" })}`,
    )
  }
`;
}
