/**
 * The gradient of the selective scan (forward.ts): of every input and the initial state, from the cotangents of outputs
 * and final state.
 *
 * ```ts
 * const forward = await planSelectiveScan(gpu, { u, delta, A, B, C, D, deltaBias, z, y, states });
 * const backward = await planSelectiveScanBackward(gpu, { u, delta, A, B, C, D, deltaBias, z, states, dy, du, … });
 * await runPlans(gpu, "mamba", [forward, backward]);
 * ```
 *
 * States inside a chunk are computed again from the one kept at its start; without kept states a forward pass without outputs
 * makes them first. Sums over channels, time and batch are added in a fixed order: every run gives the same bits.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import { Tensor } from "../tensor.ts";
import { type NamedBuffers, WORKGROUP } from "../wgsl.ts";
import { Assembly } from "./_assembly.ts";
import { backwardFloats, packedRows } from "./_backward_parts.ts";
import { backwardShader } from "./_backward_wgsl.ts";
import { carryShader, foldFloats, foldShader } from "./_segments_wgsl.ts";
import { modeSumsShader, packShader, startShader, totalsShader } from "./_sums_wgsl.ts";
import { addForward, assertChunk, CHUNK, forwardMemory, type SelectiveOptions, statesShape } from "./forward.ts";
import {
  assertSelective,
  type SelectiveInputs,
  type SelectiveShape,
  selectiveShape,
  sequenceShape,
} from "./tensors.ts";
import { chooseTiling, type SelectiveTuning, tilingText } from "./tiling.ts";

/** The backward pass: the forward pass's inputs, cotangents, and where gradients go (each in its input's shape). */
export interface SelectiveGradientTensors extends SelectiveInputs {
  /** Cotangent of the outputs, channel-shaped. */
  readonly dy: Tensor;
  /** `[B, N, D]`: cotangent of the final state; zero without it. */
  readonly dFinalState?: Tensor | undefined;
  /** `[B, ⌈T / chunk⌉, N, D]` as the forward pass kept them. */
  readonly states?: Tensor | undefined;
  /** `[B, N, D]`; only read where there are no kept states. */
  readonly initialState?: Tensor | undefined;
  readonly du: Tensor;
  readonly ddelta: Tensor;
  readonly dA: Tensor;
  readonly dB: Tensor;
  readonly dC: Tensor;
  /** Only with D. */
  readonly dD?: Tensor | undefined;
  /** Only with deltaBias. */
  readonly ddeltaBias?: Tensor | undefined;
  /** With z, and only then. */
  readonly dz?: Tensor | undefined;
  /** `[B, N, D]` */
  readonly dInitialState?: Tensor | undefined;
}

/** How to read the tensors, and how to run. `chunk` is a power of two here: a tile of the pass. */
export interface SelectiveGradientOptions extends Omit<SelectiveOptions, "tile"> {
  /** Tuning of the pass that makes the states, where none are given. */
  readonly states?: SelectiveTuning | undefined;
}

/**
 * Makes the backward pass ready. Rejects with an {@link InputError} on tensors that do not fit each other or the device; the
 * partial sums of dB and dC take `8·B·T·N·⌈D / channels of a workgroup⌉` bytes.
 */
export async function planSelectiveScanBackward(
  gpu: Gpu,
  tensors: SelectiveGradientTensors,
  options: SelectiveGradientOptions = {},
): Promise<Plan> {
  const { layout = "tokens-first", chunk = CHUNK } = options;
  const shape = selectiveShape(gpu, layout, tensors);
  checkGradients(gpu, shape, tensors, options);
  const tiled = chooseTiling(gpu, layout, shape, { ...options, tile: chunk }, {
    tile: chunk,
    modes: 4,
    floats: (tiling) => Math.max(backwardFloats(tiling), foldFloats(tiling)),
  });
  const assembly = new Assembly(gpu);
  try {
    const kept = statesOf(gpu, assembly, shape, tensors, options);
    addBackward(assembly, tiled, shape, tensors, kept, options);
    const { B, T, D, N } = shape;
    const gate = tensors.z !== undefined;
    return planOf({
      name: "selective scan backward",
      variant: tilingText(tiled),
      dispatches: await assembly.dispatches(),
      bytes: 4 * B * T * D * (gate ? 7 : 5) + 16 * B * T * N + 8 * N * D + (tensors.states?.bytes ?? 0) +
        (tensors.dFinalState?.bytes ?? 0) + (tensors.dInitialState?.bytes ?? 0),
      // The states again five; λ three, w and dΔ three, dA two, the sums dB, dC, s six, the read-out for dz two.
      operations: B * T * D * (N * (gate ? 21 : 19) + (gate ? 20 : 10)),
      scratch: assembly.scratch,
    });
  } catch (error) {
    assembly.release();
    throw error;
  }
}

function checkGradients(
  gpu: Gpu,
  shape: SelectiveShape,
  tensors: SelectiveGradientTensors,
  { layout = "tokens-first", chunk = CHUNK }: SelectiveGradientOptions,
): void {
  const { B, D, N } = shape;
  assertChunk(chunk);
  if (2 ** Math.round(Math.log2(chunk)) !== chunk) {
    throw new InputError(`Cannot run selective scan backward: chunk must be a power of two, got ${chunk}`);
  }
  for (const name of ["dy", "du", "ddelta", "dz"] as const) {
    assertSelective(gpu, name, tensors[name], sequenceShape(layout, shape, D));
  }
  for (const name of ["dB", "dC"] as const) assertSelective(gpu, name, tensors[name], sequenceShape(layout, shape, N));
  for (const name of ["dFinalState", "initialState", "dInitialState"] as const) {
    assertSelective(gpu, name, tensors[name], [B, N, D]);
  }
  assertSelective(gpu, "dA", tensors.dA, [N, D]);
  for (const name of ["dD", "ddeltaBias"] as const) assertSelective(gpu, name, tensors[name], [D]);
  assertSelective(gpu, "states", tensors.states, statesShape(shape, chunk));
  const pairs = [["z", "dz"], ["D", "dD"], ["deltaBias", "ddeltaBias"]] as const;
  for (const [input, gradient] of pairs) {
    if (tensors[gradient] !== undefined && tensors[input] === undefined) {
      throw new InputError(`Cannot run selective scan backward: ${gradient} needs ${input}, got none`);
    }
  }
  if (tensors.z !== undefined && tensors.dz === undefined) {
    throw new InputError("Cannot run selective scan backward: with z there must be dz, got none");
  }
}

/** The kept states, or scratch for them and the forward pass that fills it. */
function statesOf(
  gpu: Gpu,
  assembly: Assembly,
  shape: SelectiveShape,
  tensors: SelectiveGradientTensors,
  { layout = "tokens-first", chunk = CHUNK, softplus, exp, states: tuning = {} }: SelectiveGradientOptions,
): GPUBuffer {
  if (tensors.states !== undefined) return tensors.states.buffer;
  const extent = statesShape(shape, chunk);
  const buffer = assembly.room("states", extent.reduce((product, n) => product * n, 1));
  const { u, delta, A, B, C, deltaBias, initialState } = tensors;
  const states = new Tensor(gpu, buffer, extent);
  const tiled = chooseTiling(gpu, layout, shape, { exp, ...tuning }, { tile: 32, modes: 4, floats: forwardMemory });
  addForward(assembly, tiled, shape, { u, delta, A, B, C, deltaBias, initialState, states }, { softplus, chunk });
  return buffer;
}

function addBackward(
  assembly: Assembly,
  tiled: ReturnType<typeof chooseTiling>,
  shape: SelectiveShape,
  tensors: SelectiveGradientTensors,
  states: GPUBuffer,
  { softplus = true, fault }: SelectiveGradientOptions,
): void {
  const { tiling, blocks, segments } = tiled;
  const { B, T, D, N } = shape;
  const rows = packedRows(N);
  const padded = Math.ceil(T / tiling.tile) * tiling.tile;
  const [skip, bias, gate] = [tensors.D !== undefined, tensors.deltaBias !== undefined, tensors.z !== undefined];
  // One buffer, for the sake of bindings: pairs of segments, partial sums over channels, over time, the start.
  const partialsAt = 2 * B * segments * N * D;
  const totalsAt = partialsAt + 2 * B * blocks * N * padded;
  const startAt = totalsAt + B * segments * rows * D;
  const sums = assembly.room("the partial sums of the gradients", startAt + B * N * D);
  const packed = assembly.room("parameters", rows * D);
  const optional = (name: string, tensor: Tensor | undefined): NamedBuffers =>
    tensor === undefined ? {} : { [name]: tensor.buffer };
  const buffers: NamedBuffers = {
    p: assembly.params(tiled, shape, {
      chunks: Math.ceil(T / tiling.tile),
      partials_at: partialsAt,
      totals_at: totalsAt,
      start_at: startAt,
    }),
    sums,
    carries: sums,
    packed,
    states,
    in_u: tensors.u.buffer,
    in_delta: tensors.delta.buffer,
    in_dy: tensors.dy.buffer,
    in_b: tensors.B.buffer,
    in_c: tensors.C.buffer,
    par_a: tensors.A.buffer,
    out_du: tensors.du.buffer,
    out_ddelta: tensors.ddelta.buffer,
    out_da: tensors.dA.buffer,
    out_db: tensors.dB.buffer,
    out_dc: tensors.dC.buffer,
    ...optional("in_z", tensors.z),
    ...optional("par_d", tensors.D),
    ...optional("par_bias", tensors.deltaBias),
    ...optional("out_dz", tensors.dz),
    ...optional("out_dd", tensors.dD),
    ...optional("out_dbias", tensors.ddeltaBias),
    ...optional("out_start", tensors.dInitialState),
    ...optional("given", tensors.dFinalState),
  };
  const perItem = (items: number): number => Math.ceil(items / WORKGROUP);
  assembly.add(packShader(N, { skip, bias }), buffers, perItem(rows * D));
  if (segments > 1) {
    const fold = foldShader(tiling, { direction: "backward", softplus, bias, gate });
    assembly.add(fold, buffers, blocks * B * (segments - 1));
  }
  const given = tensors.dFinalState !== undefined;
  assembly.add(carryShader(N, { direction: "backward", given, fault }), buffers, perItem(B * N * D));
  assembly.add(backwardShader(tiling, { softplus, gate, fault }), buffers, blocks * B * segments);
  assembly.add(modeSumsShader(tiling), buffers, perItem(B * N * T));
  const wanted = { skip: tensors.dD !== undefined, bias: tensors.ddeltaBias !== undefined };
  assembly.add(totalsShader(N, wanted), buffers, perItem(rows * D));
  if (tensors.dInitialState !== undefined) assembly.add(startShader(N), buffers, perItem(B * N * D));
}
