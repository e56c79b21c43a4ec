/**
 * The chunked linear attention family as a layer.
 *
 * @module
 */
import type { Layer, LayerOptions } from "../mixer/layer.ts";
import { type ChunkGradientTuning, planChunkModelBackward } from "./_backward_models.ts";
import { requireChunkModel } from "./family.ts";
import type { ChunkForwardOptions, ChunkTuning } from "./forward.ts";
import { planChunkModel } from "./prepare.ts";

function chosen({ mode, hardware, split, fault }: LayerOptions): Partial<ChunkForwardOptions> & ChunkGradientTuning {
  return {
    ...(mode === undefined ? {} : { mode }),
    ...(hardware === undefined ? {} : { hardware }),
    ...(split === true ? {} : { segments: 1 }),
    ...(fault === undefined ? {} : { fault }),
  };
}

/** The layer with a tuning of the caller's. */
export function chunkLayerOf(tuning: ChunkTuning = {}, backward: ChunkGradientTuning = {}): Layer {
  return {
    accumulates: false,
    // States at chunk starts take more room than they save time.
    kept: () => ({}),
    forward: (gpu, model, _, tensors, options) =>
      planChunkModel(gpu, requireChunkModel(model), tensors, { ...chosen(options), ...tuning }),
    backward: (gpu, model, _, tensors, options) =>
      planChunkModelBackward(gpu, requireChunkModel(model), tensors, { ...chosen(options), ...backward }),
  };
}

export const chunkLayer: Layer = chunkLayerOf();
