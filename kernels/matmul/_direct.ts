/**
 * Packed operands straight from where they lie, without workgroup memory: groups need not wait for each other, and what they read for
 * several of the sum's tiles is on its way at once. For products of few workgroups, whose time is that wait. Neighbouring groups of a
 * workgroup read the same tiles, which the cache holds.
 */

import type { MatrixUnit } from "../matrix_unit.ts";
import type { Packed } from "./_pack.ts";
import type { Spread } from "./_spread.ts";
import type { OperandText } from "./_stage.ts";

/** Elements of a tile, and from one of its rows to the next. */
const TILE = 256;
const ROW = 16;

export function directOperands(unit: MatrixUnit, { tiling, a, b }: Spread): OperandText {
  const { rows, columns } = tiling;
  const count = unit.arrays("a").length;
  const at = (name: "a" | "b", { panel }: Packed, place: string): string =>
    `${TILE}u * (batch * sizes.matrix_${name} + (${place} * sizes.tiles + k) * ${panel}u)`;
  const starts = (count: number, first: string): string[] =>
    Array.from({ length: count }, (_, i) => `(${first} + ${i}u) * ${TILE}u`);
  return {
    declarations: [unit.storage("a", 2, "read"), unit.storage("b", 2 + count, "read")].join("\n"),
    prepare: "",
    step: "",
    a: {
      name: "a",
      at: at("a", a, "tile_row"),
      stride: ROW,
      step: TILE * a.panel,
      starts: starts(rows, `${rows}u * down`),
    },
    b: {
      name: "b",
      at: at("b", b, "tile_column"),
      stride: ROW,
      step: TILE * b.panel,
      starts: starts(columns, `${columns}u * across`),
    },
  };
}
