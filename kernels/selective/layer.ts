/**
 * The fused selective scan as a layer: S6, gated or not.
 *
 * @module
 */
import type { Dims } from "../../models/inputs.ts";
import type { Layer, LayerOptions } from "../mixer/layer.ts";
import { Tensor } from "../tensor.ts";
import { type Named, Work } from "../_work.ts";
import { planSelectiveScanBackward, type SelectiveGradientOptions } from "./backward.ts";
import { planSelectiveScan, type SelectiveOptions, statesShape } from "./forward.ts";
import type { SelectiveInputs } from "./tensors.ts";

/** The same numbers without the axis of heads, which S6 has one of. */
function headless({ gpu, buffer, shape }: Tensor, axis: number): Tensor {
  return new Tensor(gpu, buffer, shape.filter((_, n) => n !== axis));
}

const perToken: ReadonlySet<string> = new Set(["u", "delta", "B", "C", "z"]);

/** Inputs, or their gradients, as the kernels want them. */
function views<T extends Named>(tensors: T): Named {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => [name, headless(tensor, perToken.has(name) ? 2 : 0)]),
  );
}

const state = (tensor: Tensor | undefined): Tensor | undefined => tensor && headless(tensor, 1);

function chosen({ split, fault }: LayerOptions): SelectiveGradientOptions {
  return {
    ...(split === true ? {} : { segments: 1, states: { segments: 1 } }),
    ...(fault === undefined ? {} : { fault }),
  };
}

const shapeOf = ({ B, T, sizes }: Dims) => ({ B, T, D: sizes.D!, N: sizes.N! });

/** The layer with a tuning of the caller's. */
export function selectiveLayerOf(tuning: Omit<SelectiveOptions, "layout" | "softplus" | "fault"> = {}): Layer {
  const { tile: _, ...backward } = tuning;
  return {
    accumulates: false,
    kept: (_gpu, _model, dims) => ({ states: statesShape(shapeOf(dims)) }),
    async forward(gpu, _model, _dims, { inputs, outputs, initial, final, kept }, options) {
      const { states: _, ...split } = chosen(options);
      return await planSelectiveScan(gpu, {
        ...views(inputs) as Named & SelectiveInputs,
        y: headless(outputs, 2),
        initialState: state(initial),
        finalState: state(final),
        states: kept?.["states"],
      }, { ...split, ...tuning });
    },
    async backward(gpu, model, _dims, tensors, options) {
      const { inputs, dOutputs, gradients, initial, dFinal, dInitial, kept } = tensors;
      const given = views(inputs) as Named & SelectiveInputs;
      const wanted = views(gradients);
      const work = new Work(gpu);
      try {
        // D, bias and the initial state have gradients only where these are wanted; the kernel writes the others always.
        const result = (name: string): Tensor => wanted[name] ?? work.room(`gradient of ${name}`, given[name]!.shape);
        const plan = await planSelectiveScanBackward(gpu, {
          ...given,
          dy: headless(dOutputs, 2),
          // Kept states begin with the initial one.
          initialState: state(initial),
          dFinalState: state(dFinal),
          dInitialState: state(dInitial),
          states: kept?.["states"],
          du: result("u"),
          ddelta: result("delta"),
          dA: result("A"),
          dB: result("B"),
          dC: result("C"),
          dD: wanted["D"],
          ddeltaBias: wanted["deltaBias"],
          dz: given.z === undefined ? undefined : result("z"),
        }, { ...chosen(options), ...backward });
        work.plan(plan);
        const { bytes, operations, variant } = plan;
        return work.finish({ name: `${model.name} backward`, variant, bytes, operations });
      } catch (error) {
        work.release();
        throw error;
      }
    },
  };
}

export const selectiveLayer: Layer = selectiveLayerOf();
