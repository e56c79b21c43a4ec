/**
 * The product of few rows of A, as they lie, with packed columns of B, in one kernel: a workgroup finds the scales of its
 * rows, brings them into halves some tiles of the sum at a time, unscales what comes out, adds the bias, and stores C.
 *
 * By packed operands that takes three kernels, each of which a device begins and ends in the time that such a product takes.
 * The rows are read, and scaled, by every workgroup that needs them; B's tiles come straight from where they lie. The bits
 * are those of the three kernels where every row has a scale of its own.
 */

import type { MatrixUnit } from "../matrix_unit.ts";
import { entryPerGroup } from "./_entry.ts";
import { quadLoad } from "./_load.ts";
import { chunksOf, packedTiles, scaleFunctions, scalesEach } from "./_pack.ts";
import { productGrid, threadsOf } from "./_product.ts";
import { type Sizes, sizesText } from "./_sizes.ts";
import type { Spread } from "./_spread.ts";
import { blockOf, placeOf } from "./_tiling.ts";

/** Invocations that read a row side by side, four numbers each. */
const ABREAST = 16;
/** Tiles of the sum that are brought into halves together: what {@linkcode ABREAST} invocations read. */
export const STEP = 4;
/** Elements from one row of halves to the next: so many more than there are that rows of a tile meet no bank twice. */
const STRIDE = 16 * STEP + 8;
/** Numbers of a tile. */
const TILE = 256;
/** Vectors that an invocation has on their way while it looks for the largest number. */
const UNDER_WAY = 16;

const heightOf = ({ tiling }: Spread): number => 16 * blockOf(tiling).down;

/** Bytes of workgroup memory. */
export function rowsBytes(unit: MatrixUnit, spread: Spread): number {
  const height = heightOf(spread);
  const groups = threadsOf(unit, spread.tiling) / unit.lanes;
  return unit.bytes(height * STRIDE) + 4 * height * (ABREAST + 1) + 4 * TILE * groups;
}

export function rowsWorkgroups(spread: Spread): number {
  const { down, across } = productGrid(spread);
  return down * across * spread.parts * spread.problem.batches;
}

/** `added`: whether what C holds is added to. */
export function rowsSizes(spread: Spread, added: boolean): Sizes {
  const { problem: { batches, M, N, a: { outer, inner } }, a, b, first, parts } = spread;
  return {
    ...{ batches, first, parts, ...productGrid(spread), workgroups: rowsWorkgroups(spread) },
    ...{ outer, inner, M, N, tiles: a.tiles, chunk_tiles: a.chunkTiles, blocks_b: b.blocks },
    matrix_b: b.batches > 1 ? packedTiles(b) : 0,
    scales_b: b.batches > 1 ? chunksOf(b) * scalesEach(b) : 0,
    added: Number(added),
  };
}

/**
 * Bindings: the result, C or `[parts, batches, M, N]`, {@linkcode rowsSizes}, A, B's packed arrays and their scales, and the
 * bias if there is one.
 */
export function rowsShader(unit: MatrixUnit, spread: Spread, bias: boolean): string {
  const { problem: { a: side }, tiling, b } = spread;
  const { rows, columns, across, swizzle } = tiling;
  const block = blockOf(tiling);
  const [height, threads] = [heightOf(spread), threadsOf(unit, tiling)];
  const count = unit.arrays("b").length;
  // Rows that the workgroup reads side by side, and how often it does.
  const aside = threads / ABREAST;
  const turns = Array.from({ length: Math.ceil(height / aside) }, (_, i) => i);
  const own = (i: number): string => `own_row + ${aside * i}u`;
  const each = (text: (i: number) => string): string =>
    turns.map((i) => `${aside * (i + 1) <= height ? "" : `if (${own(i)} < ${height}u) `}{ ${text(i)} }`).join("\n    ");
  const quad = (i: number, k: string): string =>
    `x_quad(batch, ${height}u * tile_row + ${own(i)}, 16u * (${k}) + own_term)`;
  const together = Array.from({ length: Math.max(1, Math.floor(UNDER_WAY / turns.length)) }, (_, n) => n);
  const declared = (name: string): string => turns.map((i) => `var ${name}_${i} = vec4f();`).join(" ");
  const product = unit.product({
    into: "c",
    rows,
    columns,
    inner: STEP,
    a: {
      name: "a_tile",
      at: "0u",
      stride: STRIDE,
      step: 16,
      starts: Array.from({ length: rows }, (_, i) => `(${rows}u * down + ${i}u) * ${16 * STRIDE}u`),
    },
    b: {
      name: "b",
      at: `${TILE}u * (batch * sizes.matrix_b + (tile_column * sizes.tiles + k) * ${b.panel}u)`,
      stride: 16,
      step: TILE * b.panel,
      starts: Array.from({ length: columns }, (_, j) => `(${columns}u * across + ${j}u) * ${TILE}u`),
    },
  });
  return /* wgsl */ `${unit.prelude}
@group(0) @binding(0) var<storage, read_write> result: array<f32>;
${sizesText(rowsSizes(spread, false), 1)}
${quadLoad("x", 2, side, { outer: "sizes.outer", inner: "sizes.inner", matrix: "batch", whole: side.inner % 4 === 0 })}
${unit.storage("b", 3, "read")}
@group(0) @binding(${3 + count}) var<storage, read> scales_b: array<f32>;
${bias ? `@group(0) @binding(${4 + count}) var<storage, read> bias: array<f32>;` : ""}
${unit.functions}
${scaleFunctions}
${unit.declare("a_tile", height * STRIDE)}
var<workgroup> largest: array<f32, ${height * ABREAST}>;
var<workgroup> scales: array<f32, ${height}>;
var<workgroup> sums: array<f32, ${TILE * threads / unit.lanes}>;

${
    entryPerGroup(
      threads,
      /* wgsl */ `${placeOf({ down: "sizes.down", across: "sizes.across", parts: "sizes.parts", swizzle })}
  let chunk = sizes.first + part;
  let down = lid / ${unit.lanes * across}u;
  let across = lid / ${unit.lanes}u % ${across}u;
  let first_column = ${block.across}u * tile_column + ${columns}u * across;
  let begin = chunk * sizes.chunk_tiles;
  let end = min(begin + sizes.chunk_tiles, sizes.tiles);
  let own_row = lid / ${ABREAST}u;
  let own_term = 4u * (lid % ${ABREAST}u);

  // The largest number of every row.
  ${declared("most")}
  for (var k = begin; k < end; k += ${STEP * together.length}u) {
    ${
        together.map((n) =>
          each((i) => `most_${i} = max(most_${i}, abs(${quad(i, `min(k + ${STEP * n}u, end - ${STEP}u)`)}));`)
        ).join("\n    ")
      }
  }
  ${
        each((i) =>
          `largest[(${own(i)}) * ${ABREAST}u + lid % ${ABREAST}u] = ` +
          `max(max(most_${i}.x, most_${i}.y), max(most_${i}.z, most_${i}.w));`
        )
      }
  workgroupBarrier();
  for (var row = lid; row < ${height}u; row += ${threads}u) {
    var size = 0.0;
    for (var i = 0u; i < ${ABREAST}u; i++) { size = max(size, largest[row * ${ABREAST}u + i]); }
    scales[row] = scale_of(size);
  }

  // What the next step needs is read while this one multiplies.
  ${declared("next")}
  ${each((i) => `next_${i} = ${quad(i, "begin")};`)}
  ${unit.accumulators("c", rows, columns)}
  for (var k = begin; k < end; k += ${STEP}u) {
    workgroupBarrier();
    ${
        each((i) =>
          `let to = (${own(i)}) * ${STRIDE}u + own_term; let scale = scales[${own(i)}]; ` +
          [0, 1, 2, 3].map((c) => unit.put("a_tile", `to + ${c}u`, `next_${i}[${c}] * scale`)).join(" ")
        )
      }
    workgroupBarrier();
    if (k + ${STEP}u < end) {
      ${each((i) => `next_${i} = ${quad(i, `k + ${STEP}u`)};`)}
    }
    ${product}
  }

  let region = lid / ${unit.lanes}u * ${TILE}u;
  let first = lid % ${unit.lanes}u * ${TILE / unit.lanes}u;
  ${
        Array.from({ length: rows * columns }, (_, n) => {
          const [i, j] = [Math.floor(n / columns), n % columns];
          return /* wgsl */ `{
    workgroupBarrier();
    ${unit.store("c", 1, 1, { array: "sums", at: "region", stride: 16 }, { row: i, column: j })}
    workgroupBarrier();
    let local_row = 16u * (${rows}u * down + ${i}u) + first / 16u;
    let row = ${height}u * tile_row + local_row;
    let column = 16u * (first_column + ${j}u) + first % 16u;
    if (row < sizes.M && column < sizes.N) {
      let x = reciprocal(scales[local_row]);
      let y = scales_b[batch * sizes.scales_b + chunk * sizes.blocks_b + first_column + ${j}u];
      let at = ((part * sizes.batches + batch) * sizes.M + row) * sizes.N + column;
      for (var n = 0u; n < min(${TILE / unit.lanes}u, sizes.N - column); n++) {
        // One after the other: together they may leave the range of f32 where the number does not.
        var sum = sums[region + first + n] * min(x, y) * max(x, y);
        ${bias ? "sum += bias[column + n];" : ""}
        if (sizes.added != 0u) { sum += result[at + n]; }
        result[at + n] = sum;
      }
    }
  }`;
        }).join("\n  ")
      }`,
    )
  }
`;
}
