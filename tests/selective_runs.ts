/** Runs of the fused selective scan in either layout, from the kit's arrays, with every result poisoned beforehand. */

import type { Gpu } from "../kernels/device.ts";
import { type Plan, runPlans } from "../kernels/plan.ts";
import { planSelectiveScanBackward, type SelectiveGradientOptions } from "../kernels/selective/backward.ts";
import { planSelectiveScan, type SelectiveOptions, statesShape } from "../kernels/selective/forward.ts";
import { type SelectiveInputs, type SelectiveLayout, sequenceShape } from "../kernels/selective/tensors.ts";
import { Tensor } from "../kernels/tensor.ts";
import type { RunResult } from "../models/execution.ts";
import type { Dims, Inputs } from "../models/inputs.ts";
import { POISON32 } from "../oracle/ulp.ts";

/** `[B, T, width]` as `[B, width, T]`, or back with `back`. */
export function transposed(
  values: ArrayLike<number>,
  B: number,
  T: number,
  width: number,
  back: boolean = false,
): Float32Array {
  const out = new Float32Array(values.length);
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < T; t++) {
      for (let i = 0; i < width; i++) {
        const [kit, mamba] = [(b * T + t) * width + i, (b * width + i) * T + t];
        out[back ? kit : mamba] = values[back ? mamba : kit]!;
      }
    }
  }
  return out;
}

/** A result in the kit's layout, the states before every chunk, and what was chosen. */
export interface SelectiveRun {
  readonly result: RunResult;
  /** `[B, chunks, N, D]` */
  readonly states: Float32Array;
  readonly variant: string;
}

/** Runs a plan on checked inputs of S6. */
export async function runInLayout(
  gpu: Gpu,
  { B, T, sizes }: Dims,
  inputs: Inputs,
  initialState: Float32Array,
  layout: SelectiveLayout,
  options: Omit<SelectiveOptions, "layout"> = {},
): Promise<SelectiveRun> {
  const shape = { B, T, D: sizes.D!, N: sizes.N! };
  const { D, N } = shape;
  const made: Tensor[] = [];
  const keep = (tensor: Tensor): Tensor => {
    made.push(tensor);
    return tensor;
  };
  const given = (name: string, extent: readonly number[]): Tensor =>
    keep(Tensor.from(gpu, Float32Array.from(inputs[name]!), extent));
  const sequence = (name: string, width: number): Tensor => {
    const values = layout === "tokens-first" ? inputs[name]! : transposed(inputs[name]!, B, T, width);
    return keep(Tensor.from(gpu, values, sequenceShape(layout, shape, width)));
  };
  const poisoned = (extent: readonly number[]): Tensor =>
    keep(Tensor.from(gpu, new Float32Array(extent.reduce((x, y) => x * y, 1)).fill(POISON32), extent));
  try {
    const y = poisoned(sequenceShape(layout, shape, D));
    const finalState = poisoned([B, N, D]);
    const states = poisoned(statesShape(shape, options.chunk));
    const plan = await planSelectiveScan(gpu, {
      u: sequence("u", D),
      delta: sequence("delta", D),
      A: given("A", [N, D]),
      B: sequence("B", N),
      C: sequence("C", N),
      D: given("D", [D]),
      deltaBias: given("deltaBias", [D]),
      ...(inputs["z"] === undefined ? {} : { z: sequence("z", D) }),
      initialState: keep(Tensor.from(gpu, initialState, [B, N, D])),
      y,
      finalState,
      states,
    }, { ...options, layout });
    try {
      await runPlans(gpu, "selective scan", [plan]);
      const outputs = await y.read();
      return {
        result: {
          outputs: layout === "tokens-first" ? outputs : transposed(outputs, B, T, D, true),
          finalState: await finalState.read(),
        },
        states: await states.read(),
        variant: plan.variant,
      };
    } finally {
      plan.release();
    }
  } finally {
    for (const tensor of made) tensor.destroy();
  }
}

/** Gradients by input, and of the initial state, in the kit's layout; with `keep` from the forward pass's own states. */
export async function gradientsInLayout(
  gpu: Gpu,
  { B, T, sizes }: Dims,
  inputs: Inputs,
  given: {
    readonly outputs: ArrayLike<number>;
    readonly finalState: Float32Array;
    readonly initialState: Float32Array;
  },
  layout: SelectiveLayout,
  { keep = false, ...options }: Omit<SelectiveGradientOptions, "layout"> & { readonly keep?: boolean } = {},
): Promise<{ readonly gradients: { readonly [name: string]: Float32Array }; readonly variant: string }> {
  const shape = { B, T, D: sizes.D!, N: sizes.N! };
  const { D, N } = shape;
  const made: Tensor[] = [];
  const tensor = (values: ArrayLike<number>, extent: readonly number[]): Tensor => {
    made.push(Tensor.from(gpu, values, extent));
    return made.at(-1)!;
  };
  const poisoned = (extent: readonly number[]): Tensor =>
    tensor(new Float32Array(extent.reduce((x, y) => x * y, 1)).fill(POISON32), extent);
  const turn = (values: ArrayLike<number>, width: number, back = false): Float32Array =>
    layout === "tokens-first" ? Float32Array.from(values) : transposed(values, B, T, width, back);
  const widths: { readonly [name: string]: number } = { u: D, delta: D, B: N, C: N, z: D };
  const extents = Object.fromEntries(
    Object.keys(inputs).map((name) => [
      name,
      widths[name] !== undefined ? sequenceShape(layout, shape, widths[name]) : name === "A" ? [N, D] : [D],
    ]),
  );
  const tensors = Object.fromEntries(
    Object.entries(inputs).map(([name, values]) => [
      name,
      tensor(widths[name] === undefined ? values : turn(values, widths[name]), extents[name]!),
    ]),
  ) as unknown as SelectiveInputs;
  const written = Object.fromEntries(
    Object.entries(extents).map(([name, extent]) => [`d${name}`, poisoned(extent)]),
  ) as { readonly [name in "du" | "ddelta" | "dA" | "dB" | "dC"]: Tensor } & { readonly [name: string]: Tensor };
  const dInitialState = poisoned([B, N, D]);
  const initialState = tensor(given.initialState, [B, N, D]);
  const plans: Plan[] = [];
  try {
    const states = keep ? poisoned(statesShape(shape, options.chunk)) : undefined;
    if (states !== undefined) {
      const y = poisoned(sequenceShape(layout, shape, D));
      const { chunk } = options;
      plans.push(await planSelectiveScan(gpu, { ...tensors, initialState, y, states }, { layout, chunk }));
    }
    const backward = await planSelectiveScanBackward(gpu, {
      ...tensors,
      ...written,
      dInitialState,
      dy: tensor(turn(given.outputs, D), sequenceShape(layout, shape, D)),
      dFinalState: tensor(given.finalState, [B, N, D]),
      ...(states === undefined ? { initialState } : { states }),
    }, { ...options, layout });
    plans.push(backward);
    await runPlans(gpu, "gradients of the selective scan", plans);
    const gradients: { [name: string]: Float32Array } = { "initial state": await dInitialState.read() };
    for (const name of Object.keys(extents)) {
      const values = await written[`d${name}`]!.read();
      gradients[name] = widths[name] === undefined ? values : turn(values, widths[name], true);
    }
    return { gradients, variant: backward.variant };
  } finally {
    for (const plan of plans) plan.release();
    for (const one of made) one.destroy();
  }
}
