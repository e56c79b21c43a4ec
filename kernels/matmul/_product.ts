/**
 * The product of packed operands on a matrix unit. Groups of lanes each hold a block of tiles; every chunk of the sum is
 * unscaled and added in plain f32, so that what a matrix unit loses in long sums stays that of a short one (Ootomo and
 * Yokota 2022).
 */

import { flatWorkgroup } from "../workgroups.ts";
import type { MatrixUnit } from "../matrix_unit.ts";
import { chunksOf, type Packed } from "./_pack.ts";
import { type Sizes, sizesText } from "./_sizes.ts";
import type { Spread } from "./_spread.ts";
import { stagedOperands } from "./_stage.ts";
import { storedOperands, storedSizes } from "./_stored.ts";
import { blockOf, placeOf, type Tiling } from "./_tiling.ts";

/** Chunks of one part; it holds running sums in registers if there are several. */
const chunksEach = ({ a, parts }: Spread): number => Math.ceil(chunksOf(a) / parts);

export const threadsOf = (unit: MatrixUnit, { down, across }: Tiling): number => unit.lanes * down * across;

function grid({ tiling, a, b }: Spread): { readonly down: number; readonly across: number } {
  const block = blockOf(tiling);
  return { down: Math.ceil(a.blocks / block.down), across: Math.ceil(b.blocks / block.across) };
}

export function productWorkgroups(spread: Spread): number {
  const { down, across } = grid(spread);
  return down * across * spread.parts * spread.problem.batches;
}

/** Whether sums can go from the unit to the result in whole blocks, as they are. */
function whole({ problem: { M, N }, tiling, type, direct, parts, bias }: Spread): boolean {
  const block = blockOf(tiling);
  return direct && !bias && parts === 1 && type === "f32" && M % (16 * block.down) === 0 &&
    N % (16 * block.across) === 0;
}

/** Numbers from one row of a strip to the next: 8 more than a row of tiles has, apart in the banks of workgroup memory. */
const widthOf = ({ strip }: Spread): number => 16 * strip + 8;

/** Bytes of workgroup memory. */
export function productBytes(unit: MatrixUnit, spread: Spread): number {
  const { tiling } = spread;
  const sums = whole(spread) && chunksEach(spread) === 1 ? 0 : 4 * 16 * widthOf(spread) * tiling.down * tiling.across;
  return sums + (tiling.staged ? stagedOperands(unit, spread).bytes : 0);
}

export function productSizes(spread: Spread): Sizes {
  const { problem: { batches, M, N }, a, b, parts, accumulate } = spread;
  const scales = (packed: Packed): number => packed.batches > 1 ? 16 * chunksOf(packed) * packed.blocks : 0;
  return {
    ...{ batches, M, N, parts, ...grid(spread), workgroups: productWorkgroups(spread), accumulate: Number(accumulate) },
    ...{ tiles: a.tiles, chunk_tiles: a.chunkTiles, chunks: chunksOf(a), chunks_each: chunksEach(spread) },
    ...storedSizes("a", spread),
    ...storedSizes("b", spread),
    // Of one matrix; none if one serves every batch.
    ...{ scales_a: scales(a), scales_b: scales(b) },
  };
}

/**
 * Bindings: the result, the operands' arrays, the scales of A and B unless the operands are direct,
 * {@linkcode productSizes}, and the bias if there is one.
 */
export function productShader(unit: MatrixUnit, spread: Spread): string {
  const { tiling, direct, type } = spread;
  const { rows, columns, down, across, unroll, swizzle } = tiling;
  const block = blockOf(tiling);
  const each = chunksEach(spread);
  const count = unit.arrays("a").length;
  const staged = tiling.staged ? stagedOperands(unit, spread) : undefined;
  const operands = staged ?? storedOperands(unit, spread);
  const wholeBlocks = whole(spread) && each === 1;
  const sums = { array: "result", at: "corner", stride: "sizes.N" };
  const sizesAt = 1 + 2 * count + (direct ? 0 : 2);
  return /* wgsl */ `${unit.prelude}
${sizesText(productSizes(spread), sizesAt)}
${spread.bias ? `@group(0) @binding(${sizesAt + 1}) var<storage, read> bias: array<f32>;` : ""}
@group(0) @binding(0) var<storage, read_write> result: array<${type}>;
${operands.declarations}
${
    direct ? "" : `@group(0) @binding(${1 + 2 * count}) var<storage, read> scales_a: array<f32>;
@group(0) @binding(${2 + 2 * count}) var<storage, read> scales_b: array<f32>;`
  }
${unit.functions}
${flatWorkgroup}
${wholeBlocks ? "" : `var<workgroup> strips: array<f32, ${16 * widthOf(spread) * down * across}>;`}
${wholeBlocks ? "" : emit(type)}
/* Scales apart at first: together they may leave the range of f32 where the number does not. */
fn unscaled(x: f32, a: f32, b: f32) -> f32 {
  return x * min(a, b) * max(a, b);
}

@compute @workgroup_size(${threadsOf(unit, tiling)})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let group = flat_workgroup(id, grid);
  if (group >= sizes.workgroups) { return; }
  ${placeOf({ down: "sizes.down", across: "sizes.across", parts: "sizes.parts", swizzle })}
  let lane = lid % ${unit.lanes}u;
  let down = lid / ${unit.lanes * across}u;
  let across = lid / ${unit.lanes}u % ${across}u;
  let first_row = ${block.down}u * tile_row + ${rows}u * down;
  let first_column = ${block.across}u * tile_column + ${columns}u * across;
  ${operands.prepare}
  ${each > 1 ? running(tiling, (name) => `var ${name} = vec4f();`) : ""}
  let last = min(part * sizes.chunks_each + sizes.chunks_each, sizes.chunks);
  for (var chunk = part * sizes.chunks_each; chunk < last; chunk++) {
    ${unit.accumulators("c", rows, columns)}
    ${
    wholeBlocks
      ? `let corner = (batch * sizes.M + 16u * first_row) * sizes.N + 16u * first_column;
    ${spread.accumulate ? unit.load("c", rows, columns, sums) : ""}`
      : ""
  }
    let end = min(chunk * sizes.chunk_tiles + sizes.chunk_tiles, sizes.tiles);
    for (var k = chunk * sizes.chunk_tiles; k < end; k += ${unroll}u) {
      ${operands.step}
      ${unit.product({ into: "c", rows, columns, inner: unroll, a: operands.a, b: operands.b })}
    }
    ${wholeBlocks ? unit.store("c", rows, columns, sums) : unload(unit, spread, each > 1)}
  }
  ${each > 1 ? emitRunning(spread) : ""}
}
`;
}

const emit = (type: Spread["type"]): string => /* wgsl */ `
fn emit(batch: u32, part: u32, row: u32, column: u32, value: f32) {
  if (row >= sizes.M || column >= sizes.N) { return; }
  let at = ((part * sizes.batches + batch) * sizes.M + row) * sizes.N + column;
  if (sizes.accumulate == 0u) { result[at] = ${type}(value); } else { result[at] = ${type}(f32(result[at]) + value); }
}
`;

const runningName = (i: number, j: number, q: number): string => `sum_${i}_${j}_${q >> 2}`;

function running({ rows, columns }: Tiling, line: (name: string) => string): string {
  const lines: string[] = [];
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) for (const q of [0, 4]) lines.push(line(runningName(i, j, q)));
  }
  return lines.join("\n  ");
}

/** A lane holds column `lane % 16` of these rows of a tile: stores to C in runs of 16, and no two on one bank. */
const rowOf = (q: number): string => `2u * (lane / 16u) + ${(q & 1) + 4 * (q >> 1)}u`;
const eight = [0, 1, 2, 3, 4, 5, 6, 7] as const;

/** Sums of a chunk, a strip of tiles at a time: through workgroup memory into lanes, unscaled, and added or written. */
function unload(unit: MatrixUnit, spread: Spread, adds: boolean): string {
  const { tiling: { rows, columns }, direct, strip } = spread;
  const width = widthOf(spread);
  const lines: string[] = [`let strip = lid / ${unit.lanes}u * ${16 * width}u;`, ...(adds ? [] : biases(spread))];
  const scales = (name: "a" | "b", block: string): string =>
    `batch * sizes.scales_${name} + (chunk * sizes.blocks_${name} + min(${block}, sizes.blocks_${name} - 1u)) * 16u` +
    (name === "a" ? "" : " + lane % 16u");
  if (!direct) {
    for (let j = 0; j < columns; j++) {
      lines.push(`let scale_b_${j} = scales_b[${scales("b", `first_column + ${j}u`)}];`);
    }
  }
  const to = { array: "strips", at: "strip", stride: width };
  for (let i = 0; i < rows; i++) {
    lines.push("{");
    if (!direct) {
      lines.push(`let at = ${scales("a", `first_row + ${i}u`)};`);
      for (const q of eight) lines.push(`let scale_a_${q} = scales_a[at + ${rowOf(q)}];`);
    }
    for (let first = 0; first < columns; first += strip) {
      lines.push(unit.store("c", 1, strip, to, { row: i, column: first }), "workgroupBarrier();");
      for (let j = first; j < first + strip; j++) {
        for (const q of eight) {
          const read = `strips[strip + (${rowOf(q)}) * ${width}u + ${16 * (j - first)}u + lane % 16u]`;
          const value = direct ? read : `unscaled(${read}, scale_a_${q}, scale_b_${j})`;
          lines.push(adds ? `${runningName(i, j, q)}[${q & 3}] += ${value};` : emitOne(spread, i, j, q, value));
        }
      }
      lines.push("workgroupBarrier();");
    }
    lines.push("}");
  }
  return lines.join("\n    ");
}

/** A lane's numbers of the bias, one for every column of tiles. */
function biases({ bias, tiling: { columns } }: Spread): string[] {
  if (!bias) return [];
  return Array.from({ length: columns }, (_, j) => {
    return `let bias_${j} = bias[min(16u * (first_column + ${j}u) + lane % 16u, sizes.N - 1u)];`;
  });
}

/**
 * The bias is added to a number that was unscaled by powers of two: a compiler that fuses the last of these products with the sum
 * changes no bit, as the product is exact, unless it leaves the range of f32.
 */
function emitOne({ bias }: Spread, i: number, j: number, q: number, value: string): string {
  return `emit(batch, part, 16u * (first_row + ${i}u) + ${
    rowOf(q)
  }, 16u * (first_column + ${j}u) + lane % 16u, ${value}${bias ? ` + bias_${j}` : ""});`;
}

function emitRunning(spread: Spread): string {
  const { rows, columns } = spread.tiling;
  const lines = biases(spread);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      for (const q of eight) lines.push(emitOne(spread, i, j, q, `${runningName(i, j, q)}[${q & 3}]`));
    }
  }
  return lines.join("\n  ");
}
