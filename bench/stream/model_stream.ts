/**
 * A model of the registry, one token a dispatch.
 *
 * @module
 */
import type { Gpu } from "../../kernels/device.ts";
import { runPlans } from "../../kernels/plan.ts";
import { openStepper } from "../../kernels/step.ts";
import type { AnyAffineModel } from "../../models/affine.ts";
import { type Dims, inputEntries, sampleInputs, sliceInputs } from "../../models/inputs.ts";
import type { TimedStream } from "./latency.ts";

/** Different tokens, which come again and again. */
const TOKENS = 32;
const SEED = 1;

/** Opens a stream of one sequence with seeded inputs. */
export async function modelStream(
  gpu: Gpu,
  model: AnyAffineModel,
  { H, sizes }: Pick<Dims, "H" | "sizes">,
): Promise<TimedStream> {
  const heads = model.heads ? H : 1;
  const dims: Dims = { B: 1, T: TOKENS, H: heads, sizes };
  const inputs = sampleInputs(model, dims, "random", SEED);
  const perToken = inputEntries(model).filter(([, { per }]) => per !== "parameter").map(([name]) => name);
  const tokens = Array.from({ length: TOKENS }, (_, t) => sliceInputs(model, dims, inputs, t, t + 1));
  const stepper = await openStepper(gpu, model, { B: 1, H: heads, sizes });
  for (const [name, { per }] of inputEntries(model)) {
    if (per === "parameter") stepper.inputs[name]!.write(inputs[name]!);
  }
  const axes = [...new Set([...model.state, ...inputEntries(model).flatMap(([, spec]) => spec.axes)])];
  return {
    model: model.name,
    shape: `B=1 H=${heads} ${axes.map((axis) => `${axis}=${sizes[axis]}`).join(" ")}`,
    async push(t) {
      for (const name of perToken) stepper.inputs[name]!.write(tokens[t % TOKENS]![name]!);
      await runPlans(gpu, "token", [stepper.plan]);
      await stepper.output.read();
    },
    get bytes() {
      return gpu.bytes;
    },
    close: stepper.close,
  };
}
