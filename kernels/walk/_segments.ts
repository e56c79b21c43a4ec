/** The passes before a walk in segments, made ready: what each segment adds to a state, and the states that they start from. */
import { stagedCounts } from "../delta/_forward_shader.ts";
import { columnTiles } from "../delta/_serial_shader.ts";
import { chooseTile, type TileDemand } from "../delta/tile.ts";
import type { Fault } from "../faults.ts";
import { BufferUsage, type Dispatch, type Gpu } from "../gpu.ts";
import { compileShader, dispatch, dispatchItems, type NamedBuffers } from "../wgsl.ts";
import type { CheckedWalk } from "./_checked.ts";
import { segmentShader, segmentStaged } from "./_segment_ends.ts";
import { startsShader } from "./_segment_starts.ts";

export interface SegmentsGiven {
  /** Segments, two at least, and the tokens of one. */
  readonly segments: number;
  readonly segment: number;
  /** What the walk's tile was chosen by, and its block, which segments are multiples of. */
  readonly demand: Omit<TileDemand, "staged" | "leastColumns">;
  readonly block: number;
  /** The walk's own, and its state before the first token. */
  readonly buffers: NamedBuffers;
  readonly initial: GPUBuffer | undefined;
  readonly fault: Fault | undefined;
  /** Makes a buffer of the plan's; keeps one. */
  held(bytes: number, label: string): GPUBuffer;
  keep(buffer: GPUBuffer): GPUBuffer;
}

/** The dispatches, and the states they leave, `[B, H, segments, R, C]`. */
export async function planSegments(
  gpu: Gpu,
  { B, H, R, C, decay, form, reverse, dtypes, tiling }: CheckedWalk,
  { segments, segment, demand, block, buffers, initial, fault, held, keep }: SegmentsGiven,
): Promise<{ readonly dispatches: readonly Dispatch[]; readonly starts: GPUBuffer }> {
  const text = { rows: R, columns: C, decay, form, reverse, dtypes } as const;
  const staged = stagedCounts(segmentStaged({ decay, form, dtypes }), 1);
  const tile = chooseTile(gpu, { ...demand, staged, leastColumns: 1 }, { ...tiling, block });
  const [first, between] = await Promise.all([
    compileShader(gpu, segmentShader({ ...text, tile, segment })),
    compileShader(gpu, startsShader({ ...text, initial: initial !== undefined, dropped: fault === "dropped-carry" })),
  ]);
  const states = 4 * B * H * segments * R * C;
  const ends = held(states, "segment ends");
  const starts = held(states, "segment starts");
  const each = decay === "rows" ? R : decay === "columns" ? C : 1;
  const totals = held(4 * B * H * segments * each, "segment decays");
  const sizes = keep(gpu.upload(Uint32Array.of(B * H * R * C, segments), {
    label: "segment sizes",
    usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
  }));
  return {
    starts,
    dispatches: [
      dispatch(first, { ...buffers, out_ends: ends, out_totals: totals }, B * H * columnTiles(C, tile) * segments),
      dispatchItems(
        between,
        { sizes, ends, totals, starts, ...(initial === undefined ? {} : { initial }) },
        B * H * R * C,
      ),
    ],
  };
}
