/** Operands as the kernel's text reads them from storage. */

import type { MatrixUnit, Operand } from "../matrix_unit.ts";
import type { Packed } from "./_pack.ts";
import type { Side } from "./_problem.ts";
import type { Spread } from "./_spread.ts";

/** What the kernel's text needs of its operands. */
export interface OperandText {
  readonly declarations: string;
  /** Once, ahead of all chunks. */
  readonly prepare: string;
  /** Ahead of the product at tile `k` of the sum. */
  readonly step: string;
  readonly a: Operand;
  readonly b: Operand;
}

/** Operands read from storage by every group for itself; the caches see to the rest. */
export function storedOperands(unit: MatrixUnit, { problem, tiling, a, b, direct }: Spread): OperandText {
  const count = unit.arrays("a").length;
  const one = (name: "a" | "b", side: Side, packed: Packed, first: string, tiles: number): [string, Operand] => {
    const batch = packed.batches > 1 ? "batch" : "0u";
    const starts = Array.from({ length: tiles }, (_, i) => `start_${name}_${i}`);
    const transposed = direct ? side.along === (name === "b") : name === "b";
    // Elements from one block of rows (columns) to the next, and from one tile to the next along the sum.
    const [outer, step, stride] = direct
      ? side.along ? [16 * side.inner, 16, side.inner] : [16, 16 * side.inner, side.inner]
      : [256 * packed.tiles, 256, 16];
    const each = direct ? side.outer * side.inner : 256 * packed.blocks * packed.tiles;
    const lines = starts.map((start, i) =>
      `let ${start} = ${batch} * ${each}u + min(${first} + ${i}u, ${packed.blocks - 1}u) * ${outer}u;`
    );
    return [lines.join("\n  "), { name, at: `k * ${step}u`, stride, transposed, starts, step }];
  };
  const [prepareA, operandA] = one("a", problem.a, a, "first_row", tiling.rows);
  const [prepareB, operandB] = one("b", problem.b, b, "first_column", tiling.columns);
  return {
    declarations: `${unit.storage("a", 1, "read")}\n${unit.storage("b", 1 + count, "read")}`,
    prepare: `${prepareA}\n  ${prepareB}`,
    step: "",
    a: operandA,
    b: operandB,
  };
}
