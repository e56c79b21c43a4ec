/**
 * A product of few rows on a matrix unit, made ready: B's packing, then the rows, then the sum of parts if there are several.
 */

import type { Dispatch, Gpu } from "../gpu.ts";
import type { MatrixUnit } from "../matrix_unit.ts";
import type { Design, Memory } from "./_design.ts";
import { planFinish } from "./_finish.ts";
import { planPack } from "./_plan_pack.ts";
import { rowsShader, rowsSizes, rowsWorkgroups } from "./_rows.ts";
import { sizesWords } from "./_sizes.ts";
import type { Spread } from "./_spread.ts";
import { blockOf } from "./_tiling.ts";

export function planRows(
  gpu: Gpu,
  unit: MatrixUnit,
  memory: Memory,
  { spread, accumulate }: { readonly spread: Spread; readonly accumulate: boolean },
): Design {
  const { problem, tiling, a, b, parts } = spread;
  const { c, bias, batches, M, N } = problem;
  const pack = planPack(gpu, { ...memory, share: memory.shared?.b }, unit, problem.b, b);
  const partial = parts > 1 ? memory.scratch(4 * parts * batches * M * N, "partial sums") : undefined;
  const finish = partial && planFinish(gpu, memory, {
    ...{ c, bias, before: accumulate ? "added" : "replaced" },
    partial: { buffer: partial, parts, rows: M, columns: N },
  });
  const own = finish === undefined ? bias : undefined;
  const sizes = memory.uniform(sizesWords(rowsSizes(spread, finish === undefined && accumulate)));
  const block = blockOf(tiling);
  return {
    variant: `${unit.key}, rows as they lie, ${16 * block.down}x${16 * block.across}, chunk ${16 * a.chunkTiles}, ` +
      (parts === 1 ? "1 part" : `${parts} parts`),
    mode: unit.mode,
    hardware: unit.hardware,
    chunk: 16 * a.chunkTiles,
    scaled: { a: 1, b: b.scaled },
    parts,
    async dispatches(): Promise<Dispatch[]> {
      const [packing, pipeline, last] = await Promise.all([
        pack.dispatches(),
        gpu.compile({ label: `matmul rows ${unit.key}`, code: rowsShader(unit, spread, own !== undefined) }),
        finish?.(),
      ]);
      const operands = [problem.a.tensor.buffer, ...pack.operands, pack.scales, ...(own ? [own.buffer] : [])];
      const product = {
        pipeline,
        buffers: [partial ?? c.buffer, sizes, ...operands],
        workgroups: rowsWorkgroups(spread),
      };
      return [...packing, product, ...(last ? [last] : [])];
    },
  };
}
