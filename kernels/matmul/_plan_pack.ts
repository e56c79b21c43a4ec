/** An operand's packing made ready. */

import type { Dispatch, Gpu } from "../gpu.ts";
import type { MatrixUnit } from "../matrix_unit.ts";
import type { Memory, Shared, Wanted } from "./_design.ts";
import { type Packed, packedLength, packKey, packShader, packSizes, packWorkgroups, scalesLength } from "./_pack.ts";
import type { Side } from "./_problem.ts";
import { sizesWords } from "./_sizes.ts";

export interface Pack {
  readonly operands: readonly GPUBuffer[];
  readonly scales: GPUBuffer;
  /** None if another product has packed the operand. */
  dispatches(): Promise<Dispatch[]>;
}

export function planPack(
  gpu: Gpu,
  { scratch, uniform, share }: Memory & { readonly share: Shared | undefined },
  unit: MatrixUnit,
  side: Side,
  packed: Packed,
): Pack {
  const width = unit.element === "f16" ? 2 : 4;
  const wanted: readonly Wanted[] = [
    { bytes: 4 * scalesLength(packed), label: "scales" },
    ...unit.arrays("operand").map((label) => ({ bytes: width * packedLength(packed), label })),
  ];
  const words = sizesWords(packSizes(side, packed));
  const { buffers, filled } = share?.(packKey(unit, side, packed), wanted) ??
    { buffers: wanted.map(({ bytes, label }) => scratch(bytes, label)), filled: false };
  const [scales, ...operands] = buffers as [GPUBuffer, ...GPUBuffer[]];
  if (filled) return { operands, scales, dispatches: () => Promise.resolve([]) };
  const sizes = uniform(words);
  return {
    operands,
    scales,
    async dispatches() {
      const pipeline = await gpu.compile({ label: `matmul pack ${unit.key}`, code: packShader(unit, side, packed) });
      const buffers = [side.tensor.buffer, scales, ...operands, sizes];
      return [{ pipeline, buffers, workgroups: packWorkgroups(packed) }];
    },
  };
}
