/**
 * The fused selective scan as an execution of the harness: it runs S6, gated or not.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import { InputError } from "../../models/error.ts";
import type { Execution } from "../../models/execution.ts";
import { s6 } from "../../models/s6.ts";
import type { FusedFamily, FusedOptions } from "../_fused_family.ts";
import type { Gpu } from "../gpu.ts";
import { hostedGradients, runHosted } from "../_hosted.ts";
import type { SelectiveOptions } from "./forward.ts";
import { selectiveLayer, selectiveLayerOf } from "./layer.ts";
import { selectiveRounding } from "./rounding.ts";

/** `selectiveScan` makes a new model at every call; all of them share the stages' source. */
function supports({ name, paper }: AnyAffineModel): boolean {
  return (name === "s6" || name === "s6-ungated") && paper.arxiv === s6.paper.arxiv;
}

/** The execution with a tuning of the caller's. */
export function selectiveExecution(gpu: Gpu, options: Omit<SelectiveOptions, "layout" | "softplus"> = {}): Execution {
  const { fault, ...tuning } = options;
  const layer = selectiveLayerOf(tuning);
  const layerOptions = { split: true, fault };
  const execution: Execution = {
    name: `fused selective scan (${gpu.adapter.provider})`,
    rounding: selectiveRounding(options),
    scans: true,
    accelerated: true,
    supports,
    async run(model, dims, inputs, run = {}) {
      if (run.states !== true) return await runHosted(gpu, layer, model, dims, inputs, run, layerOptions);
      throw new InputError(
        `Cannot run ${model.name}: the fused selective scan keeps no state per token, got states: true`,
      );
    },
    gradients: (model, dims, inputs, given) => hostedGradients(gpu, layer, model, dims, inputs, given, layerOptions),
    planted(fault) {
      // Operands can only be swapped where segments are combined: at least as many as tokens allow.
      if (fault === "swapped-operands") return selectiveExecution(gpu, { ...options, segments: 2 ** 20, fault });
      if (fault === "dropped-carry") return selectiveExecution(gpu, { ...options, fault });
      return selectiveExecution(gpu, { ...options, fault: { relative: 2 ** -10 } });
    },
  };
  return execution;
}

export const selectiveFamily: FusedFamily = {
  name: "selective scan",
  supports,
  layer: selectiveLayer,
  execution: (gpu: Gpu, { fault }: FusedOptions = {}): Execution => selectiveExecution(gpu, { fault }),
};
