/**
 * The chunked linear attention family as a layer.
 *
 * @module
 */
import type { Dims } from "../../models/inputs.ts";
import type { Gpu } from "../gpu.ts";
import type { Layer, LayerOptions } from "../mixer/layer.ts";
import { type ChunkGradientTuning, planChunkModelBackward } from "./gradients.ts";
import { requireChunkModel } from "./family.ts";
import type { ChunkForwardOptions, ChunkTuning } from "./forward.ts";
import { planChunkModel } from "./prepare.ts";
import { walkWork } from "./_walked.ts";

function chosen({ mode, hardware, split, fault }: LayerOptions): Partial<ChunkForwardOptions> & ChunkGradientTuning {
  return {
    ...(mode === undefined ? {} : { mode }),
    ...(hardware === undefined ? {} : { hardware }),
    ...(split === true ? {} : { segments: 1 }),
    ...(fault === undefined ? {} : { fault }),
  };
}

/**
 * Workgroups from which on a backward pass is walked through: fewer leave most of a GPU idle, which chunks do not. Where the two
 * meet is not measured. GLA's forward and backward pass at 4,096 tokens, both cut, takes an H200 1.88 ms by walks of 128
 * sequences, 1.48 of 64 in four segments each, 0.72 of 16 in 16; on tiles 6.66 at 128, 1.08 at 16.
 */
const MANY = 64;

/** Whether a backward pass that may be walked through is. On software adapters tiles are taken, whose every mode is checked there. */
export function worthWalking(
  gpu: Pick<Gpu, "adapter">,
  { B, T, H, sizes: { V = 1 } }: Dims,
  split: boolean,
): boolean {
  if (gpu.adapter.software) return false;
  const { workgroups, segments } = walkWork(gpu, [B, T, H, V], split ? undefined : 1);
  return workgroups * segments >= MANY;
}

/** The layer with a tuning of the caller's. */
export function chunkLayerOf(tuning: ChunkTuning = {}, backward: ChunkGradientTuning = {}): Layer {
  return {
    accumulates: false,
    // States at chunk starts take more room than they save time.
    kept: () => ({}),
    forward: (gpu, model, _, tensors, options) =>
      planChunkModel(gpu, requireChunkModel(model), tensors, { ...chosen(options), ...tuning }),
    backward: (gpu, model, dims, tensors, options) =>
      planChunkModelBackward(gpu, requireChunkModel(model), tensors, {
        ...chosen(options),
        ...(options.summed === true && worthWalking(gpu, dims, options.split === true) ? { walks: true } : {}),
        ...backward,
      }),
  };
}

export const chunkLayer: Layer = chunkLayerOf();
