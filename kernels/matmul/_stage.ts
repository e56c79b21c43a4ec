/**
 * Packed operands by way of workgroup memory, four numbers at a time. Nothing is read ahead: on an H200 the registers that
 * takes cost more than the wait, which other workgroups fill.
 */

import type { MatrixUnit } from "../matrix_unit.ts";
import type { Packed } from "./_pack.ts";
import type { Spread } from "./_spread.ts";
import type { OperandText } from "./_stored.ts";
import type { Tiling } from "./_tiling.ts";

/** Elements from one row to the next: so many more than a row has that rows of a tile meet no bank twice. */
const strideOf = ({ unroll }: Tiling): number => 16 * unroll + 8;

export function stagedOperands(unit: MatrixUnit, { tiling, a, b }: Spread): OperandText & { readonly bytes: number } {
  const { rows, columns, down, across, unroll } = tiling;
  const stride = strideOf(tiling);
  const threads = unit.lanes * down * across;
  const declarations: string[] = [];
  const prepare: string[] = [];
  const reads: string[] = [];
  const writes: string[] = [];
  let binding = 1;
  const side = (name: "a" | "b", { panel }: Packed, place: string): void => {
    // Of a panel's tiles, which lie one after the other.
    const quads = panel * unroll * 64;
    prepare.push(
      `let panel_${name} = 64u * (batch * sizes.matrix_${name} + ${place} * ${panel}u * sizes.tiles) + lid;`,
    );
    unit.arrays(name).forEach((array, part) => {
      const to = unit.arrays(`${name}_tile`)[part]!;
      declarations.push(
        `@group(0) @binding(${binding++}) var<storage, read> ${array}: array<vec4<${unit.element}>>;`,
      );
      for (let from = 0; from < quads; from += threads) {
        const register = `next_${array}_${from / threads}`;
        const only = from + threads <= quads ? "" : `if (lid + ${from}u < ${quads}u) `;
        reads.push(`var ${register}: vec4<${unit.element}>;`);
        reads.push(`${only}{ ${register} = ${array}[panel_${name} + k * ${64 * panel}u + ${from}u]; }`);
        const stores = [0, 1, 2, 3].map((c) => `${to}[to + ${c}u] = ${register}[${c}];`);
        const row = `(quad / 64u % ${panel}u * 16u + quad % 64u / 4u)`;
        writes.push(
          `${only}{ let quad = lid + ${from}u; ` +
            `let to = ${row} * ${stride}u + quad / ${64 * panel}u * 16u + quad % 4u * 4u; ${stores.join(" ")} }`,
        );
      }
    });
  };
  side("a", a, "tile_row");
  side("b", b, "tile_column");
  const starts = (count: number, first: string): string[] =>
    Array.from({ length: count }, (_, i) => `(${first} + ${i}u) * ${16 * stride}u`);
  const counts = [16 * a.panel * stride, 16 * b.panel * stride] as const;
  const shared = { at: "0u", stride, step: 16 };
  return {
    bytes: unit.bytes(counts[0]) + unit.bytes(counts[1]),
    declarations: [...declarations, unit.declare("a_tile", counts[0]), unit.declare("b_tile", counts[1])].join("\n"),
    prepare: prepare.join("\n  "),
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
