/**
 * The delta rule as a layer: DeltaNet, Gated DeltaNet, KDA, DeltaProduct, RWKV-7.
 *
 * @module
 */
import type { Layer, LayerOptions } from "../mixer/layer.ts";
import type { AnyAffineModel } from "../../models/affine.ts";
import { type Dims, microSteps, stateShape } from "../../models/inputs.ts";
import { Tensor } from "../tensor.ts";
import { Work } from "../_work.ts";
import { type DeltaBackwardOptions, planDeltaBackward } from "./backward.ts";
import { planDeltaForward } from "./forward.ts";
import { deltaRule, inputLayouts } from "./rule.ts";
import { inputShape } from "./tensors.ts";
import type { TileOptions } from "./tile.ts";

/** Tunings of the passes. */
export interface DeltaLayerTuning extends Omit<DeltaBackwardOptions, "fault"> {
  readonly forward?: TileOptions;
}

/** Invocations of a workgroup where there are many sequences: a narrower one may add up in another order. */
const USUAL: TileOptions = { threads: 128 };

function tiles({ split }: LayerOptions): TileOptions {
  return split === true ? {} : USUAL;
}

/** The largest K and V of the family's kernels. */
const LARGEST = 256;

function keptShapes(
  model: AnyAffineModel,
  { B, T, H, sizes: { K, V } }: Dims,
  chunk: number,
): { readonly [name: string]: readonly number[] } {
  if (Math.max(K!, V!) > LARGEST) return {};
  return { chunkStates: [B, Math.ceil(T / chunk), H, K!, V!], solved: [B, T * microSteps(model), H, V!] };
}

/** The layer with a tuning of the caller's. */
export function deltaLayerOf({ forward = {}, chunk = 64, ...tuning }: DeltaLayerTuning = {}): Layer {
  return {
    accumulates: false,
    kept: (_, model, dims) => keptShapes(model, dims, chunk),
    async forward(gpu, model, dims, { inputs, outputs, initial, final, kept }, options) {
      const work = new Work(gpu);
      try {
        const plan = await planDeltaForward(gpu, model, {
          inputs,
          outputs,
          finalState: final ?? work.room("final state", stateShape(model, dims)),
          ...(initial === undefined ? {} : { initialState: initial }),
          ...kept,
        }, { ...tiles(options), ...forward, chunk, ...(options.fault === undefined ? {} : { fault: options.fault }) });
        work.plan(plan);
        return work.finish(plan);
      } catch (error) {
        work.release();
        throw error;
      }
    },
    async backward(gpu, model, dims, tensors, options) {
      const { inputs, dOutputs, gradients, initial, dFinal, dInitial } = tensors;
      const { B, T, H, sizes } = dims;
      const rule = deltaRule(model);
      const work = new Work(gpu);
      try {
        const extent = { B, T, H, K: sizes.K!, V: sizes.V! };
        const results: { [name: string]: Tensor } = {};
        for (const [name, layout] of Object.entries(inputLayouts(rule))) {
          const shape = inputShape(layout, extent, rule.microSteps);
          results[name] = gradients[name] ?? work.room(`gradient of ${name}`, shape);
        }
        let kept = tensors.kept;
        if (kept === undefined) {
          const saved = Object.entries(keptShapes(model, dims, chunk));
          kept = Object.fromEntries(saved.map(([name, shape]) => [name, work.room(name, shape)]));
          work.plan(
            await planDeltaForward(gpu, model, {
              inputs,
              // Nobody needs the outputs again, and the gradient of v is not there yet.
              outputs: new Tensor(gpu, results["v"]!.buffer, [B, T, H, sizes.V!]),
              finalState: work.room("final state", stateShape(model, dims)),
              ...(initial === undefined ? {} : { initialState: initial }),
              ...kept,
            }, { ...tiles(options), ...forward, chunk }),
          );
        }
        const plan = await planDeltaBackward(gpu, model, {
          inputs,
          outputs: dOutputs,
          gradients: results,
          chunkStates: kept["chunkStates"]!,
          solved: kept["solved"]!,
          initialState: dInitial ?? work.room("gradient of the initial state", stateShape(model, dims)),
          ...(dFinal === undefined ? {} : { finalState: dFinal }),
        }, {
          ...(options.split === true ? {} : { reverse: USUAL }),
          ...tuning,
          chunk,
          ...(options.fault === undefined ? {} : { fault: options.fault }),
        });
        work.plan(plan);
        return work.finish(plan);
      } catch (error) {
        work.release();
        throw error;
      }
    },
  };
}

export const deltaLayer: Layer = deltaLayerOf();
