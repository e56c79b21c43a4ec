/**
 * The products of tiles in the kernels of the family, dealt out to the groups of a workgroup, and where tiles lie.
 *
 * Sums are kept tile by tile, 16 × 16 numbers one after the other, rows first. So are operands without padding: rows of a
 * tile are then 16 elements apart, of which few meet in a memory bank; with padding they are rows of the whole matrix.
 */

import type { Operand, Sums } from "../matrix_unit.ts";
import { repeat } from "./_common.ts";
import type { Derived, ForwardConfig } from "./_config.ts";

/** Tile (i, j) of an operand of `width` columns; of its transpose, where it is to be read as that, tile (j, i). */
function tileOf(
  { pad }: ForwardConfig,
  name: string,
  width: number,
  i: string,
  j: string,
  transposed = false,
): Operand {
  return pad > 0
    ? { name, at: `(${i}) * ${16 * (width + pad)}u + (${j}) * 16u`, stride: width + pad, transposed }
    : { name, at: `((${i}) * ${width / 16}u + ${j}) * 256u`, stride: 16, transposed };
}

/** Statements: `into += Σ_n a(n) b(n)`, tile by tile. */
function multiply(
  config: ForwardConfig,
  into: string,
  inner: number,
  a: (n: string) => Operand,
  b: (n: string) => Operand,
): string {
  return repeat(
    config,
    "n",
    inner,
    (n) => config.unit.product({ into, rows: 1, columns: 1, inner: 1, a: a(n), b: b(n) }),
  );
}

const sumsAt = (from: number, tile: string): Sums => ({ array: "sums", at: `${from}u + (${tile}) * 256u`, stride: 16 });

/** Jobs `0 … count − 1` in `job`, each for one group. */
export interface Jobs {
  readonly count: number;
  readonly text: string;
}

/** Deals jobs of several kinds out to the groups, one kind after the other. */
export function dealt(d: Derived, kinds: readonly Jobs[]): string {
  const all = kinds.reduce((sum, { count }) => sum + count, 0);
  if (all === 0) return "";
  let from = 0;
  const branches = kinds.filter(({ count }) => count > 0).map(({ count, text }) => {
    const first = from;
    from += count;
    const head = from === all ? "" : `if (item < ${from}u) `;
    return `${head}{ let job = item - ${first}u;\n${text}\n}`;
  });
  return `for (var item = group; item < ${all}u; item += ${d.groups}u) {\n${branches.join(" else ")}\n}`;
}

/** `Kᵀ V` of the chunk: one job for each tile. `values` names the operand of V, with its decay to the chunk's end. */
export function updateJobs(config: ForwardConfig, d: Derived, values: string): Jobs {
  const { slice, columns, unit } = config;
  const across = columns / 16;
  return {
    count: (slice / 16) * across,
    text: `let i = job / ${across}u; let j = job % ${across}u;
${unit.accumulators("added", 1, 1)}
${
      multiply(
        config,
        "added",
        d.blocks,
        (n) => tileOf(config, "op_k", slice, n, "i", true),
        (n) => tileOf(config, values, columns, n, "j"),
      )
    }
${unit.store("added", 1, 1, sumsAt(d.updateAt, "job"))}`,
  };
}

/** Scores `Q Kᵀ`, the tiles on and below the diagonal; `add` to what earlier slices gave. */
export function scoreJobs(config: ForwardConfig, d: Derived, add: boolean): Jobs {
  const { slice, unit } = config;
  const place = sumsAt(d.scoresAt, `i * ${d.blocks}u + j`);
  return {
    count: d.blocks * (d.blocks + 1) / 2,
    text: `let i = u32(job >= 1u) + u32(job >= 3u) + u32(job >= 6u); let j = job - i * (i + 1u) / 2u;
${unit.accumulators("scores", 1, 1)}
${add ? unit.load("scores", 1, 1, place) : ""}
${
      multiply(
        config,
        "scores",
        slice / 16,
        (n) => tileOf(config, "op_q", slice, "i", n),
        (n) => tileOf(config, "op_k", slice, "j", n, true),
      )
    }
${unit.store("scores", 1, 1, place)}`,
  };
}

/** Outputs: `Q S` of a slice, `P V` of the chunk, or both; `add` to what is there. */
export function outputJobs(
  config: ForwardConfig,
  d: Derived,
  { add, state, scores }: { readonly add: boolean; readonly state: boolean; readonly scores?: string },
): Jobs {
  const { slice, columns, chunk, unit } = config;
  const across = columns / 16;
  const place = sumsAt(0, "job");
  const past = scores === undefined ? "" : `for (var past = 0u; past <= i; past++) {
${
    unit.product({
      into: "read",
      rows: 1,
      columns: 1,
      inner: 1,
      a: tileOf(config, scores, chunk, "i", "past"),
      b: tileOf(config, "op_v", columns, "past", "j"),
    })
  }
}`;
  return {
    count: d.blocks * across,
    text: `let i = job / ${across}u; let j = job % ${across}u;
${unit.accumulators("read", 1, 1)}
${add ? unit.load("read", 1, 1, place) : ""}
${
      state
        ? multiply(
          config,
          "read",
          slice / 16,
          (n) => tileOf(config, "op_q", slice, "i", n),
          (n) => tileOf(config, "op_s", columns, n, "j"),
        )
        : ""
    }
${past}
${unit.store("read", 1, 1, place)}`,
  };
}
