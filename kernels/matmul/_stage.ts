/**
 * Packed operands by way of workgroup memory, four numbers at a time. Nothing is read ahead: on an H200 the registers that
 * takes cost more than the wait, which other workgroups fill.
 */

import type { MatrixUnit } from "../matrix_unit.ts";
import type { Spread } from "./_spread.ts";
import type { OperandText } from "./_stored.ts";
import { blockOf } from "./_tiling.ts";

/** Elements from one row of a tile to the next: rows 48 bytes apart meet no bank twice. */
const STRIDE = 24;
const TILE = 16 * STRIDE;

export function stagedOperands(unit: MatrixUnit, spread: Spread): OperandText & { readonly bytes: number } {
  const { tiling } = spread;
  const { rows, columns, down, across, unroll } = tiling;
  const block = blockOf(tiling);
  const threads = unit.lanes * down * across;
  const declarations: string[] = [];
  const reads: string[] = [];
  const writes: string[] = [];
  let binding = 1;
  const side = (name: "a" | "b", tiles: number, first: string): void => {
    const quads = tiles * unroll * 64;
    unit.arrays(name).forEach((array, part) => {
      const to = unit.arrays(`${name}_tile`)[part]!;
      declarations.push(
        `@group(0) @binding(${binding++}) var<storage, read> ${array}: array<vec4<${unit.element}>>;`,
      );
      for (let from = 0; from < quads; from += threads) {
        const register = `next_${array}_${from / threads}`;
        const whole = from + threads <= quads;
        const quad = whole ? `lid + ${from}u` : `min(lid + ${from}u, ${quads - 1}u)`;
        const guarded = (line: string): string => {
          const body = `let quad = ${quad}; let tile = quad / 64u; ${line}`;
          return whole ? `{ ${body} }` : `if (lid + ${from}u < ${quads}u) { ${body} }`;
        };
        const source = `64u * (batch * sizes.matrix_${name} + min(${first} + tile / ${unroll}u, ` +
          `sizes.blocks_${name} - 1u) * sizes.tiles + k + tile % ${unroll}u) + quad % 64u`;
        reads.push(
          `var ${register}: vec4<${unit.element}>; { let quad = ${quad}; let tile = quad / 64u; ${register} = ${array}[${source}]; }`,
        );
        const at = `let to = tile * ${TILE}u + quad % 64u / 4u * ${STRIDE}u + quad % 4u * 4u;`;
        const stores = [0, 1, 2, 3].map((c) => `${to}[to + ${c}u] = ${register}[${c}];`);
        writes.push(guarded(`${at} ${stores.join(" ")}`));
      }
    });
  };
  side("a", block.down, `${block.down}u * tile_row`);
  side("b", block.across, `${block.across}u * tile_column`);
  const starts = (count: number, first: string): string[] =>
    Array.from({ length: count }, (_, i) => `(${first} + ${i}u) * ${unroll * TILE}u`);
  const counts = [block.down * unroll * TILE, block.across * unroll * TILE] as const;
  const shared = { at: "0u", stride: STRIDE, step: TILE };
  return {
    bytes: unit.bytes(counts[0]) + unit.bytes(counts[1]),
    declarations: [...declarations, unit.declare("a_tile", counts[0]), unit.declare("b_tile", counts[1])].join("\n"),
    prepare: "",
    step: `{
      ${reads.join("\n")}
      workgroupBarrier();
      ${writes.join("\n")}
      }
      workgroupBarrier();`,
    a: { name: "a_tile", ...shared, starts: starts(rows, `${rows}u * down`) },
    b: { name: "b_tile", ...shared, transposed: true, starts: starts(columns, `${columns}u * across`) },
  };
}
