/** What the pieces of the backward kernel's text share: which inputs there are, and what lies where in workgroup memory. */
import type { Fault } from "../faults.ts";
import { subgroups } from "./_lanes.ts";
import { modeFloats } from "./_staging.ts";
import { paddedModes, rowOf, type Tiling } from "./tiling.ts";

/** Which of the optional inputs there are. */
export interface BackwardParts {
  readonly softplus: boolean;
  readonly gate: boolean;
  readonly fault?: Fault | undefined;
}

/** Rows of the packed parameters, `[N + 2, D]`: A, D, the bias. */
export const packedRows = (N: number): number => N + 2;

/** Sums over the lanes of a channel, `[3, channels, tile]` in `s_output`: Σ λ B, Σ A w, Σ C h. */
export const outputs = { through: 0, rates: 1, read: 2 } as const;

/** Numbers in a row of `s_output`: odd, so that neither lanes nor items meet in a bank. */
export const outputRow = ({ tile }: Tiling): number => tile + 5;

/** Sums over the channels of a subgroup in `s_sums`: dB and dC of each of a lane's modes. */
export const sumsOfLane = ({ modes }: Tiling): number => 2 * modes;

/** Vectors of `s_sums` that one subgroup writes. */
export function sumVectors(tiling: Tiling): number {
  return 2 * paddedModes(tiling) * rowOf(tiling);
}

/** Floats of workgroup memory. */
export function backwardFloats(tiling: Tiling): number {
  const { channels, modes, threads, tile, reduce } = tiling;
  return 4 * rowOf(tiling) * 3 * channels + modeFloats(tiling, 2) + 3 * channels * outputRow(tiling) +
    (tile / 4) * modes * threads + 4 * subgroups(tiling) * sumVectors(tiling) + (reduce === "memory" ? 4 * threads : 0);
}

/** Declarations in workgroup memory, but for the staged modes. */
export function backwardMemory(tiling: Tiling): string {
  const { channels, modes, threads, tile } = tiling;
  const row = rowOf(tiling);
  return [
    ...["s_delta", "s_input", "s_back"].map((name) => `var<workgroup> ${name}: array<vec4f, ${channels * row}>;`),
    `var<workgroup> s_output: array<array<f32, ${channels * outputRow(tiling)}>, 3>;`,
    `var<workgroup> s_sums: array<vec4f, ${subgroups(tiling) * sumVectors(tiling)}>;`,
    `var<workgroup> s_aside: array<array<f32, ${tile / 4 * threads}>, ${modes}>;`,
  ].join("\n");
}
