/**
 * What a selective scan reads and writes, and in which of the two layouts in use.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { Gpu } from "../gpu.ts";
import { assertShape, type Tensor } from "../tensor.ts";

/**
 * - `tokens-first`: the kit's, u `[B, T, D]`, B `[B, T, N]`;
 * - `channels-first`: mamba_ssm's, u `[B, D, T]`, B `[B, N, T]`.
 */
export type SelectiveLayout = "tokens-first" | "channels-first";

/** Inputs, all f32; "channel-shaped" is u's shape, "mode-shaped" B's. */
export interface SelectiveInputs {
  /** Channel-shaped. */
  readonly u: Tensor;
  /** Channel-shaped: δ before softplus, or the step Δ itself. */
  readonly delta: Tensor;
  /** `[N, D]`, negative. */
  readonly A: Tensor;
  /** Mode-shaped. */
  readonly B: Tensor;
  /** Mode-shaped. */
  readonly C: Tensor;
  /** `[D]`; the term D u is left out without it. */
  readonly D?: Tensor | undefined;
  /** `[D]`, added to δ; zero without it. */
  readonly deltaBias?: Tensor | undefined;
  /** Channel-shaped; the factor silu(z) is left out without it. */
  readonly z?: Tensor | undefined;
}

/** The forward pass: inputs, and where results go. */
export interface SelectiveTensors extends SelectiveInputs {
  /** Channel-shaped, written. */
  readonly y: Tensor;
  /** `[B, N, D]`: the state before the first token; zero without it. */
  readonly initialState?: Tensor | undefined;
  /** `[B, N, D]`, written: the state after the last token. */
  readonly finalState?: Tensor | undefined;
  /** `[B, ⌈T / chunk⌉, N, D]`, written: the state before each chunk, for the backward pass. */
  readonly states?: Tensor | undefined;
}

/** Extents of a selective scan. */
export interface SelectiveShape {
  readonly B: number;
  readonly T: number;
  /** Channels. */
  readonly D: number;
  /** Modes of a channel. */
  readonly N: number;
}

/** The shape of a channel-shaped (`width` D) or mode-shaped (`width` N) tensor. */
export function sequenceShape(layout: SelectiveLayout, { B, T }: SelectiveShape, width: number): readonly number[] {
  return layout === "tokens-first" ? [B, T, width] : [B, width, T];
}

/** Throws an {@link InputError} unless a tensor is f32, of the shape, and small enough to be bound. */
export function assertSelective(gpu: Gpu, what: string, tensor: Tensor | undefined, shape: readonly number[]): void {
  if (tensor === undefined) return;
  assertShape(`selective scan: ${what}`, tensor, shape);
  if (tensor.dtype !== "f32") {
    throw new InputError(`Cannot run selective scan: ${what} must be f32, got ${tensor.dtype}`);
  }
  assertBindable(gpu, what, tensor.bytes);
}

/** Throws an {@link InputError} unless so many bytes can be bound at once. */
export function assertBindable(gpu: Gpu, what: string, bytes: number): void {
  const limit = gpu.limits.maxStorageBufferBindingSize;
  if (bytes <= limit) return;
  throw new InputError(
    `Cannot run selective scan: ${what} must take ≤ ${limit} bytes (the device's maxStorageBufferBindingSize), ` +
      `got ${bytes}`,
  );
}

/** Checks the inputs against each other and returns their extents. Throws an {@link InputError}. */
export function selectiveShape(gpu: Gpu, layout: SelectiveLayout, inputs: SelectiveInputs): SelectiveShape {
  assertShape("selective scan: u", inputs.u, [-1, -1, -1]);
  assertShape("selective scan: A", inputs.A, [-1, -1]);
  const [B, second, third] = inputs.u.shape as [number, number, number];
  const [T, D] = layout === "tokens-first" ? [second, third] : [third, second];
  const shape: SelectiveShape = { B, T, D, N: inputs.A.shape[0]! };
  for (const [axis, extent] of Object.entries(shape)) {
    if (extent >= (axis === "T" ? 0 : 1)) continue;
    throw new InputError(`Cannot run selective scan: ${axis} must be ≥ ${axis === "T" ? 0 : 1}, got ${extent}`);
  }
  const channels = sequenceShape(layout, shape, D);
  const modes = sequenceShape(layout, shape, shape.N);
  for (const name of ["u", "delta", "z"] as const) assertSelective(gpu, name, inputs[name], channels);
  for (const name of ["B", "C"] as const) assertSelective(gpu, name, inputs[name], modes);
  for (const name of ["D", "deltaBias"] as const) assertSelective(gpu, name, inputs[name], [D]);
  assertSelective(gpu, "A", inputs.A, [shape.N, D]);
  return shape;
}
