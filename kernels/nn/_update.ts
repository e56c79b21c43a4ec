/** The update of all parameters from their gradients: their norm, then AdamW. */
import { InputError } from "../../models/error.ts";
import type { OptimiserOptions } from "../../models/networks/training.ts";
import type { Tensor } from "../tensor.ts";
import type { StoredParameter, StoredParameters } from "./_stored_parameters.ts";
import { planAdamW } from "./adamw.ts";
import type { GpuOps } from "./gpu_ops.ts";
import { planGradientNorm } from "./gradient_norm.ts";
import { step } from "./recorder.ts";
import { Slot } from "./slot.ts";
import type { Value } from "./value.ts";

export interface Update {
  readonly parameters: StoredParameters;
  /** As the network read them. */
  readonly values: { readonly [name: string]: Value };
  readonly loss: Value;
  /** `[1]`, a word: whether a step was not finite, and those behind it are to change nothing. */
  readonly halted: Tensor;
  readonly optimiser: OptimiserOptions;
}

/**
 * Records the update; the result is the norm. A parameter that the loss does not depend on stays as it is. Throws an
 * {@link InputError} if it depends on none.
 */
export function recordUpdate(ops: GpuOps, { parameters, values, loss, halted, optimiser }: Update): Slot {
  const { gpu, program } = ops;
  const updated: StoredParameter[] = [];
  const gradients: Slot[] = [];
  for (const parameter of parameters.all) {
    const gradient = ops.gradient(values[parameter.name]!);
    if (gradient === undefined) continue;
    updated.push(parameter);
    gradients.push(gradient);
  }
  if (updated.length === 0) {
    throw new InputError("Cannot train: the loss must depend on a parameter, it depends on none");
  }
  const norm = program.slot([1]);
  const lossSlot = loss.slot.view([1]);
  step(
    ops,
    "gradient norm",
    [...gradients, lossSlot],
    [norm, Slot.of(halted)],
    (at) =>
      planGradientNorm(gpu, gradients.map((slot) => at.tensor(slot)), {
        norm: at.tensor(norm),
        guard: { loss: at.tensor(lossSlot), halted },
      }),
  );
  const stored = (of: (parameter: StoredParameter) => Tensor): Tensor[] => updated.map(of);
  const written = updated.flatMap(({ value, first, second }) => [value, first, second].map((each) => Slot.of(each)));
  step(ops, "update", [...gradients, norm, lossSlot], written, (at) =>
    planAdamW(gpu, {
      parameters: stored(({ value }) => value),
      gradients: gradients.map((slot) => at.tensor(slot)),
      first: stored(({ first }) => first),
      second: stored(({ second }) => second),
      norm: at.tensor(norm),
      loss: at.tensor(lossSlot),
      knobs: at.knobs,
    }, { ...optimiser, decays: updated.map(({ decay }) => decay) }));
  return norm;
}
