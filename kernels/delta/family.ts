/**
 * The delta-rule kernels as an execution of the harness: DeltaNet, Gated DeltaNet, KDA, DeltaProduct, RWKV-7.
 *
 * @module
 */
import type { Execution, Fault } from "../../models/execution.ts";
import type { Fault as KernelFault } from "../faults.ts";
import type { FusedFamily, FusedOptions } from "../fused.ts";
import type { Gpu } from "../gpu.ts";
import { deltaGradients } from "./gradients.ts";
import { deltaLayer } from "./layer.ts";
import { deltaRounding } from "./rounding.ts";
import { deltaRuleOf } from "./rule.ts";
import { type DeltaRunOptions, runDelta } from "./run.ts";

function kernelFault(fault: Fault): KernelFault {
  return fault === "relative" ? { relative: 2 ** -10 } : fault;
}

/** The family's kernels as an execution. A model's K and V must be in 1 … 256. */
export function deltaExecution(
  gpu: Gpu,
  options: FusedOptions & Omit<DeltaRunOptions, "initialState" | "states" | "chunkStates"> = {},
): Execution {
  return {
    name: `delta rule ${gpu.adapter.provider}`,
    rounding: deltaRounding,
    accelerated: true,
    supports: (model) => deltaRuleOf(model) !== undefined,
    run: (model, dims, inputs, run = {}) => runDelta(gpu, model, dims, inputs, { ...options, ...run }),
    gradients: (model, dims, inputs, given) => {
      const { fault, chunk } = options;
      return deltaGradients(gpu, model, dims, inputs, given, {
        ...(fault === undefined ? {} : { fault }),
        ...(chunk === undefined ? {} : { chunk }),
      });
    },
    planted: (fault) => deltaExecution(gpu, { ...options, fault: kernelFault(fault) }),
  };
}

export const deltaFamily: FusedFamily = {
  name: "delta rule",
  supports: (model) => deltaRuleOf(model) !== undefined,
  execution: deltaExecution,
  layer: deltaLayer,
};
