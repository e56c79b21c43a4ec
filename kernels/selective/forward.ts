/**
 * The selective scan of Mamba (S6), forward, in one pass over the sequence with the state in registers:
 *
 *     Δ = softplus(δ + bias)    h_n ← e^{Δ A_n} h_n + Δ B_n u    y = (Σ_n C_n h_n + D u) · silu(z)
 *
 * ```ts
 * const plan = await planSelectiveScan(gpu, { u, delta, A, B, C, D, deltaBias, z, y });
 * await runPlans(gpu, "mamba", [plan]);
 * ```
 *
 * Nothing of the size of all states is stored. Where batch and channels are too few to fill the device, segments of
 * time run in parallel: a first pass folds each to a pair, a second carries the state across, the third is the scan.
 *
 * Source: Gu & Dao 2023, arXiv 2312.00752, algorithm 2.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { Fault } from "../faults.ts";
import type { Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import type { Tensor } from "../tensor.ts";
import { type NamedBuffers, WORKGROUP } from "../wgsl.ts";
import { Assembly } from "./_assembly.ts";
import { forwardFloats, forwardShader } from "./_forward_wgsl.ts";
import { carryShader, foldFloats, foldShader } from "./_segments_wgsl.ts";
import {
  assertSelective,
  type SelectiveInputs,
  type SelectiveLayout,
  type SelectiveShape,
  selectiveShape,
  type SelectiveTensors,
  sequenceShape,
} from "./tensors.ts";
import { chooseTiling, type SelectiveTuning, type Tiled, tilingText } from "./tiling.ts";

/** How to read the tensors, and how to run. */
export interface SelectiveOptions extends SelectiveTuning {
  /** Default `tokens-first`. */
  readonly layout?: SelectiveLayout | undefined;
  /** Whether Δ = softplus(δ + bias), or δ + bias itself, which then must be ≥ 0; default true. */
  readonly softplus?: boolean | undefined;
  /** Tokens between the states that are kept, a multiple of 4; default {@linkcode CHUNK}. */
  readonly chunk?: number | undefined;
  /** Only for tests. */
  readonly fault?: Fault | undefined;
}

/** Tokens between kept states where nothing else is said. */
export const CHUNK = 16;

/** Numbers of the kept states: `[B, chunks, N, D]`. */
export function statesShape({ B, T, D, N }: SelectiveShape, chunk: number = CHUNK): readonly number[] {
  return [B, Math.ceil(T / chunk), N, D];
}

/** Makes a selective scan ready. Rejects with an {@link InputError} on tensors that do not fit each other or the device. */
export async function planSelectiveScan(
  gpu: Gpu,
  tensors: SelectiveTensors,
  options: SelectiveOptions = {},
): Promise<Plan> {
  const { layout = "tokens-first", chunk = CHUNK } = options;
  const shape = selectiveShape(gpu, layout, tensors);
  const { B, T, D, N } = shape;
  assertSelective(gpu, "y", tensors.y, sequenceShape(layout, shape, D));
  for (const name of ["initialState", "finalState"] as const) assertSelective(gpu, name, tensors[name], [B, N, D]);
  assertChunk(chunk);
  assertSelective(gpu, "states", tensors.states, statesShape(shape, chunk));
  const tiled = chooseTiling(gpu, layout, shape, options, { tile: 32, modes: 4, floats: forwardFloats });
  const assembly = new Assembly(gpu);
  try {
    addForward(assembly, tiled, shape, tensors, options);
    const sequences = B * T * D;
    const kept = (tensor: Tensor | undefined): number => tensor?.bytes ?? 0;
    return planOf({
      name: "selective scan forward",
      variant: tilingText(tiled),
      dispatches: await assembly.dispatches(),
      bytes: 4 * sequences * (tensors.z === undefined ? 3 : 4) + 8 * B * T * N + 4 * N * D +
        kept(tensors.initialState) + kept(tensors.finalState) + kept(tensors.states),
      // e^{ΔA} two, the update three, the read-out two; Δu, D u and the activations per channel.
      operations: sequences * (7 * N + 1 + (tensors.D === undefined ? 0 : 2) + (tensors.z === undefined ? 0 : 3) +
        (options.softplus === false ? 0 : 3)),
      scratch: assembly.scratch,
    });
  } catch (error) {
    assembly.release();
    throw error;
  }
}

/** Throws an {@link InputError} unless states can be kept every so many tokens. */
export function assertChunk(chunk: number): void {
  if (Number.isSafeInteger(chunk) && chunk >= 4 && chunk % 4 === 0) return;
  throw new InputError(`Cannot run selective scan: chunk must be a multiple of 4, got ${chunk}`);
}

/** What {@linkcode addForward} reads and writes: without y, only states. */
export type ForwardTensors =
  & SelectiveInputs
  & {
    readonly [name in "y" | "initialState" | "finalState" | "states"]?: Tensor | undefined;
  };

/** Adds the dispatches of a forward pass. */
export function addForward(
  assembly: Assembly,
  tiled: Tiled,
  shape: SelectiveShape,
  tensors: ForwardTensors,
  { softplus = true, chunk = CHUNK, fault }: SelectiveOptions,
): void {
  const { tiling, blocks, segments } = tiled;
  const { B, D, N } = shape;
  const parts = { softplus, bias: tensors.deltaBias !== undefined, gate: tensors.z !== undefined };
  const sequence = (name: string, tensor: Tensor | undefined): NamedBuffers =>
    tensor === undefined ? {} : { [name]: tensor.buffer };
  const buffers: NamedBuffers = {
    p: assembly.params(tiled, shape, { chunks: statesShape(shape, chunk)[1]! }),
    in_u: tensors.u.buffer,
    in_delta: tensors.delta.buffer,
    in_b: tensors.B.buffer,
    in_c: tensors.C.buffer,
    par_a: tensors.A.buffer,
    ...sequence("in_z", tensors.z),
    ...sequence("par_d", tensors.D),
    ...sequence("par_bias", tensors.deltaBias),
    ...sequence("out_y", tensors.y),
    ...sequence("state_out", tensors.finalState),
    ...sequence("states", tensors.states),
  };
  let entering = tensors.initialState?.buffer;
  if (segments > 1) {
    const carries = assembly.room("pairs of segments", 2 * B * segments * N * D);
    const given = entering;
    assembly.add(
      foldShader(tiling, { ...parts, direction: "forward" }),
      { ...buffers, carries },
      blocks * B * (segments - 1),
    );
    assembly.add(
      carryShader(N, { direction: "forward", given: given !== undefined, fault }),
      { ...buffers, carries, ...(given === undefined ? {} : { given }) },
      Math.ceil(B * N * D / WORKGROUP),
    );
    entering = carries;
  }
  assembly.add(
    forwardShader(tiling, {
      ...parts,
      skip: tensors.D !== undefined,
      outputs: tensors.y !== undefined,
      incoming: entering !== undefined,
      final: tensors.finalState !== undefined,
      chunk: tensors.states === undefined ? undefined : chunk,
      fault,
    }),
    entering === undefined ? buffers : { ...buffers, state_in: entering },
    blocks * B * segments,
  );
}

/** Floats of workgroup memory that a forward pass needs in its largest kernel. */
export function forwardMemory(tiling: Parameters<typeof forwardFloats>[0]): number {
  return Math.max(forwardFloats(tiling), foldFloats(tiling));
}
