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

function chosen({ mode, hardware, split, fault }: LayerOptions): Partial<ChunkForwardOptions> & ChunkGradientTuning {
  return {
    ...(mode === undefined ? {} : { mode }),
    ...(hardware === undefined ? {} : { hardware }),
    ...(split === true ? {} : { segments: 1 }),
    ...(fault === undefined ? {} : { fault }),
  };
}

/**
 * Sequences, in columns of 64, from which on a backward pass is walked through: fewer leave most of a GPU idle, which chunks do not.
 * Where the two meet is not measured; at 128 of 4,096 tokens GLA's walks take an H200 1.5 ms.
 */
const MANY = 64;

/** Whether a backward pass that may be walked through is. On software adapters tiles are taken, whose every mode is checked there. */
export function worthWalking({ adapter }: Pick<Gpu, "adapter">, { B, H, sizes: { V = 1 } }: Dims): boolean {
  return !adapter.software && B * H * Math.ceil(V / 64) >= MANY;
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
        ...(options.summed === true && worthWalking(gpu, dims) ? { walks: true } : {}),
        ...backward,
      }),
  };
}

export const chunkLayer: Layer = chunkLayerOf();
