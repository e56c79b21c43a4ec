/**
 * The fused selective scan as an execution of the harness: it runs S6, gated or not.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import type { Execution } from "../../models/execution.ts";
import type { FusedFamily, FusedOptions } from "../_fused_family.ts";
import type { Gpu } from "../gpu.ts";
import { runSelective, selectiveGradients } from "./_model.ts";
import type { SelectiveOptions } from "./forward.ts";
import { selectiveRounding } from "./rounding.ts";

function supports({ name }: AnyAffineModel): boolean {
  return name === "s6" || name === "s6-ungated";
}

/** The execution with a tuning of the caller's. */
export function selectiveExecution(gpu: Gpu, options: Omit<SelectiveOptions, "layout" | "softplus"> = {}): Execution {
  const { tile: _, ...backward } = options;
  const execution: Execution = {
    name: `fused selective scan (${gpu.adapter.provider})`,
    rounding: selectiveRounding(options),
    scans: true,
    accelerated: true,
    supports,
    run: (model, dims, inputs, run = {}) => runSelective(gpu, model, dims, inputs, run, options),
    gradients: (model, dims, inputs, given) => selectiveGradients(gpu, model, dims, inputs, given, backward),
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
  execution: (gpu: Gpu, { fault }: FusedOptions = {}): Execution => selectiveExecution(gpu, { fault }),
};
