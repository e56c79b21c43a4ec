/** Operands as the kernel's text reads them from storage. */

import type { MatrixUnit, Operand } from "../matrix_unit.ts";
import { packedTiles } from "./_pack.ts";
import type { Side } from "./_problem.ts";
import type { Sizes } from "./_sizes.ts";
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

/** Elements that places are multiples of, so that the compiler knows they are aligned: tiles, or as halves lie 16. */
const grainOf = (direct: boolean): number => direct ? 16 : 256;

/**
 * Of one operand: blocks of 16 rows (columns); and, in grains, its matrix (0 if one serves every batch), the way from one block
 * to the next, and where halves are taken as they lie a row.
 */
export function storedSizes(name: "a" | "b", { problem, direct, ...spread }: Spread): Sizes {
  const { batches, blocks, tiles } = spread[name];
  const { outer, inner, along } = problem[name];
  const row = inner / grainOf(true);
  const matrix = direct ? outer * row : packedTiles(spread[name]);
  return {
    [`blocks_${name}`]: blocks,
    [`matrix_${name}`]: batches > 1 ? matrix : 0,
    [`block_${name}`]: direct ? along ? 16 * row : 1 : tiles,
    ...(direct && { [`row_${name}`]: row }),
  };
}

/** Operands read from storage by every group for itself; the caches see to the rest. */
export function storedOperands(unit: MatrixUnit, { problem, tiling, direct }: Spread): OperandText {
  const count = unit.arrays("a").length;
  const one = (name: "a" | "b", side: Side, first: string, tiles: number): [string, Operand] => {
    const starts = Array.from({ length: tiles }, (_, i) => `start_${name}_${i}`);
    const transposed = direct ? side.along === (name === "b") : name === "b";
    const stride = direct ? `16u * sizes.row_${name}` : 16;
    const step = direct ? side.along ? 16 : `256u * sizes.row_${name}` : 256;
    const lines = starts.map((start, i) =>
      `let ${start} = ${grainOf(direct)}u * (batch * sizes.matrix_${name} + ` +
      `min(${first} + ${i}u, sizes.blocks_${name} - 1u) * sizes.block_${name});`
    );
    return [lines.join("\n  "), { name, at: `k * ${wgsl(step)}`, stride, transposed, starts, step }];
  };
  const [prepareA, operandA] = one("a", problem.a, "first_row", tiling.rows);
  const [prepareB, operandB] = one("b", problem.b, "first_column", tiling.columns);
  return {
    declarations: `${unit.storage("a", 1, "read")}\n${unit.storage("b", 1 + count, "read")}`,
    prepare: `${prepareA}\n  ${prepareB}`,
    step: "",
    a: operandA,
    b: operandB,
  };
}

const wgsl = (elements: number | string): string => typeof elements === "number" ? `${elements}u` : `(${elements})`;
