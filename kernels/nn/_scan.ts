/** Affine models as operations of a network, with their gradients. */
import { type AnyAffineModel, type Axis, outputColumns } from "../../models/affine.ts";
import { InputError } from "../../models/error.ts";
import { type Dims, inputEntries, inputShape, microSteps, stateShape, stateWidth } from "../../models/inputs.ts";
import { mixerKept, type MixerOptions, planMixer, planMixerBackward } from "../mixer.ts";
import type { Tensor } from "../tensor.ts";
import type { Placement } from "./program.ts";
import { type Recorder, result, step } from "./recorder.ts";
import { expectShape, shown } from "./shapes.ts";
import type { Slot } from "./slot.ts";
import { Value } from "./value.ts";

export type ScanInputs = { readonly [name: string]: Value };

type Slots = { readonly [name: string]: Slot };

function tensorsOf(at: Placement, slots: Slots): { readonly [name: string]: Tensor } {
  return Object.fromEntries(Object.entries(slots).map(([name, slot]) => [name, at.tensor(slot)]));
}

/** The extents of the inputs, which must agree with each other and be all that the model needs. */
function dimsOf(model: AnyAffineModel, inputs: ScanInputs): Dims {
  const what = `scan ${model.name}`;
  const entries = inputEntries(model);
  for (const name of Object.keys(inputs)) {
    if (entries.some(([known]) => known === name)) continue;
    throw new InputError(`Cannot ${what}: its inputs are ${entries.map(([known]) => known).join(", ")}, got ${name}`);
  }
  const known: { [axis: string]: number } = {};
  for (const [name, spec] of entries) {
    const shape = inputs[name]?.shape;
    if (shape === undefined) {
      if (spec.initial === undefined) throw new InputError(`Cannot ${what}: it needs the input ${name}, got none`);
      continue;
    }
    const axes = [...(spec.per === "parameter" ? ["H"] : ["B", "T", "H"]), ...spec.axes];
    if (shape.length !== axes.length) {
      throw new InputError(`Cannot ${what}: ${name} must be [${axes.join(", ")}], got ${shown(shape)}`);
    }
    const every = spec.micro === undefined || spec.micro === "every";
    axes.forEach((axis, i) => known[axis] ??= axis === "T" && every ? shape[i]! / microSteps(model) : shape[i]!);
  }
  const sizes: { [axis in Axis]?: number } = {};
  for (const axis of ["K", "V", "D", "N"] as const) if (known[axis] !== undefined) sizes[axis] = known[axis];
  const dims = { B: known["B"] ?? 1, T: known["T"] ?? 1, H: known["H"] ?? 1, sizes };
  for (const [name, spec] of entries) {
    const given = inputs[name];
    if (given) expectShape(what, name, given.shape, inputShape(model, spec, dims));
  }
  return dims;
}

const slotsOf = (inputs: ScanInputs): Slots =>
  Object.fromEntries(Object.entries(inputs).map(([name, { slot }]) => [name, slot]));

export function scan(recorder: Recorder, model: AnyAffineModel, inputs: ScanInputs): Value {
  const { gpu, program, tape } = recorder;
  const dims = dimsOf(model, inputs);
  // The mode of products is not theirs: what a scan does of itself is the fastest and the most exact.
  const options: MixerOptions = {};
  const values = Object.values(inputs);
  const y = result(recorder, [dims.B, dims.T, dims.H, outputColumns(model, dims.sizes)], values);
  const slots = slotsOf(inputs);
  const kept: Slots = y.tracked
    ? Object.fromEntries(
      Object.entries(mixerKept(gpu, model, dims, options)).map(([name, shape]) => [name, program.slot(shape)]),
    )
    : {};
  const keeps = Object.values(kept);
  step(
    recorder,
    model.name,
    Object.values(slots),
    [y.slot, ...keeps],
    (at) =>
      planMixer(gpu, model, {
        inputs: tensorsOf(at, slots),
        outputs: at.tensor(y.slot),
        ...(keeps.length > 0 && { kept: tensorsOf(at, kept) }),
      }, options),
  );
  tape?.record(y, (g) => {
    tape.contributeAll(inputs, (targets) => {
      const gradients = Object.fromEntries(Object.entries(targets).map(([name, { slot }]) => [name, slot]));
      const accumulate = Object.entries(targets).filter(([, each]) => each.accumulate).map(([name]) => name);
      step(
        recorder,
        `${model.name} backward`,
        [g, y.slot, ...Object.values(slots), ...keeps],
        Object.values(gradients),
        (at) =>
          planMixerBackward(gpu, model, {
            inputs: tensorsOf(at, slots),
            dOutputs: at.tensor(g),
            outputs: at.tensor(y.slot),
            gradients: tensorsOf(at, gradients),
            ...(keeps.length > 0 && { kept: tensorsOf(at, kept) }),
            // Only the forward pass must give a token the bits that it has when it is streamed.
          }, { ...options, accumulate, summed: true, split: true }),
      );
    });
  });
  return y;
}

/** From a state `[B, H, rows, columns, width]`, and with the state after the last token. Not differentiable. */
export function scanFrom(
  recorder: Recorder,
  model: AnyAffineModel,
  inputs: ScanInputs,
  state?: Value,
): { readonly outputs: Value; readonly state: Value } {
  const { gpu, program, tape } = recorder;
  if (tape && [...Object.values(inputs), state].some((value) => value?.tracked)) {
    throw new InputError(`Cannot scan ${model.name} from a state: operations must not be recorded for training`);
  }
  const dims = dimsOf(model, inputs);
  const own = stateShape(model, dims);
  const shape = stateWidth(model) === 1 ? [...own, 1] : own;
  if (state) expectShape(`scan ${model.name}`, "the state", state.shape, shape);
  const slots = slotsOf(inputs);
  const initial = state?.slot.view(own);
  const final = program.slot(own);
  const y = program.slot([dims.B, dims.T, dims.H, outputColumns(model, dims.sizes)]);
  step(recorder, model.name, [...Object.values(slots), initial], [y, final], (at) =>
    planMixer(gpu, model, {
      inputs: tensorsOf(at, slots),
      outputs: at.tensor(y),
      ...(initial && { initial: at.tensor(initial) }),
      final: at.tensor(final),
    }));
  return { outputs: new Value(y), state: new Value(final.view(shape)) };
}
