/** What the kernel of chunks on matrix units begins with. */

import type { UnitsConfig } from "./_units_config.ts";

/** What the kernel is told at run time; `zero` is 0. */
export const unitsParameters = /* wgsl */ `
struct Parameters { B: u32, T: u32, H: u32, chunks: u32, scale: f32, zero: u32 }
`;

/** The words of {@link unitsParameters}. */
export function unitsWords(
  { B, T, H, chunks, scale }: { readonly [name in "B" | "T" | "H" | "chunks" | "scale"]: number },
): Uint32Array {
  const words = Uint32Array.of(B, T, H, chunks, 0, 0, 0, 0);
  new Float32Array(words.buffer)[4] = scale;
  return words;
}

/** `enable` and `diagnostic` lines. */
export function unitsPrelude({ subgroup, unit }: UnitsConfig): string {
  return subgroup > 0 && !unit.hardware
    ? `enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n${unit.prelude}`
    : unit.prelude;
}
