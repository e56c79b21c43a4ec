/** What both kernels of chunks side by side begin with. */

import type { ParallelConfig } from "./_parallel_config.ts";

/** What a kernel is told at run time; `zero` is 0. */
export const parallelParameters = /* wgsl */ `
struct Parameters { B: u32, T: u32, H: u32, chunks: u32, scale: f32, zero: u32 }
`;

/** The words of {@link parallelParameters}. */
export function parallelWords(
  { B, T, H, chunks, scale }: { readonly [name in "B" | "T" | "H" | "chunks" | "scale"]: number },
): Uint32Array {
  const words = Uint32Array.of(B, T, H, chunks, 0, 0, 0, 0);
  new Float32Array(words.buffer)[4] = scale;
  return words;
}

/** `enable` and `diagnostic` lines. */
export function parallelPrelude({ subgroup, unit }: ParallelConfig): string {
  return subgroup > 0 && !unit.hardware
    ? `enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n${unit.prelude}`
    : unit.prelude;
}
