/**
 * Packed operands by way of workgroup memory, four numbers at a time. What the next step needs is read while this one
 * multiplies if the tiling says so (`ahead`): the bits are the same. On an H200 the registers that takes cost more than the
 * wait where a group holds 4 × 4 tiles and other workgroups fill it.
 */

import type { MatrixUnit, Operand } from "../matrix_unit.ts";
import type { Packed } from "./_pack.ts";
import type { Spread } from "./_spread.ts";
import type { Tiling } from "./_tiling.ts";

/** What the kernel's text needs of its operands. */
export interface OperandText {
  readonly declarations: string;
  /** Once, where the sum's tiles from `begin` to `end` are known. */
  readonly prepare: string;
  /** Ahead of the product at tile `k` of the sum. */
  readonly step: string;
  readonly a: Operand;
  readonly b: Operand;
}

/**
 * Elements from one row of A to the next (a term of B to the next): so many more than there are that rows of a tile meet no
 * bank twice.
 */
const strideA = ({ unroll }: Tiling): number => 16 * unroll + 8;
const strideB = ({ panel }: Packed): number => 16 * panel + 8;

/** Numbers of A's and B's tiles in workgroup memory. */
const countsOf = ({ tiling, a, b }: Spread): readonly [number, number] => [
  16 * a.panel * strideA(tiling),
  16 * tiling.unroll * strideB(b),
];

/** Bytes of workgroup memory. */
export function stagedBytes(unit: MatrixUnit, spread: Spread): number {
  return countsOf(spread).reduce((bytes, count) => bytes + unit.bytes(count), 0);
}

export function stagedOperands(unit: MatrixUnit, spread: Spread): OperandText {
  const { tiling, a, b } = spread;
  const { rows, columns, down, across, unroll, ahead } = tiling;
  const threads = unit.lanes * down * across;
  const declarations: string[] = [];
  const prepare: string[] = [];
  const registers: string[] = [];
  const reads: string[] = [];
  const writes: string[] = [];
  let binding = 2;
  /** `to`: where the four numbers `quad` of the panel go, which are the `inside`-th of its tile. */
  const side = (name: "a" | "b", { panel }: Packed, place: string, to: string): void => {
    // Of a panel's tiles, which lie one after the other.
    const quads = panel * unroll * 64;
    prepare.push(
      `let panel_${name} = 64u * (batch * sizes.matrix_${name} + ${place} * ${panel}u * sizes.tiles) + lid;`,
    );
    unit.arrays(name).forEach((array, part) => {
      const tile = unit.arrays(`${name}_tile`)[part]!;
      declarations.push(
        `@group(0) @binding(${binding++}) var<storage, read> ${array}: array<vec4<${unit.element}>>;`,
      );
      for (let from = 0; from < quads; from += threads) {
        const register = `next_${array}_${from / threads}`;
        const only = from + threads <= quads ? "" : `if (lid + ${from}u < ${quads}u) `;
        registers.push(`var ${register}: vec4<${unit.element}>;`);
        reads.push(`${only}{ ${register} = ${array}[panel_${name} + next * ${64 * panel}u + ${from}u]; }`);
        const stores = [0, 1, 2, 3].map((c) => `${tile}[to + ${c}u] = ${register}[${c}];`);
        writes.push(
          `${only}{ let quad = lid + ${from}u; let inside = quad % 64u; let tile = quad / 64u; let to = ${to}; ` +
            `${stores.join(" ")} }`,
        );
      }
    });
  };
  const [left, right] = [strideA(tiling), strideB(b)];
  side(
    "a",
    a,
    "tile_row",
    `(tile % ${a.panel}u * 16u + inside / 4u) * ${left}u + tile / ${a.panel}u * 16u + inside % 4u * 4u`,
  );
  side(
    "b",
    b,
    "tile_column",
    `(tile / ${b.panel}u * 16u + inside / 4u) * ${right}u + tile % ${b.panel}u * 16u + inside % 4u * 4u`,
  );
  const starts = (count: number, first: string, each: number): string[] =>
    Array.from({ length: count }, (_, i) => `(${first} + ${i}u) * ${each}u`);
  const counts = countsOf(spread);
  const read = (at: string): string => `let next = ${at};\n      ${reads.join("\n")}`;
  const write = `workgroupBarrier();
      ${writes.join("\n")}`;
  return {
    declarations: [...declarations, unit.declare("a_tile", counts[0]), unit.declare("b_tile", counts[1])].join("\n"),
    prepare: [...prepare, ...(ahead ? [...registers, `{ ${read("begin")} }`] : [])].join("\n  "),
    step: ahead
      ? `${write}
      workgroupBarrier();
      if (k + ${unroll}u < end) { ${read(`k + ${unroll}u`)} }`
      : `{
      ${registers.join("\n")}
      ${read("k")}
      ${write}
      }
      workgroupBarrier();`,
    a: { name: "a_tile", at: "0u", stride: left, step: 16, starts: starts(rows, `${rows}u * down`, 16 * left) },
    b: {
      name: "b_tile",
      at: "0u",
      stride: right,
      step: 16 * right,
      starts: starts(columns, `${columns}u * across`, 16),
    },
  };
}
