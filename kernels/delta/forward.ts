/**
 * The delta rule forward, as a plan: one dispatch, serial in time, the state in registers.
 *
 * ```ts
 * const plan = await planDeltaForward(gpu, gatedDeltaNet, { inputs: { q, k, v, g, beta }, outputs: o, finalState });
 * await runPlans(gpu, "layer", [plan]);
 * ```
 *
 * Why serial. A chunked form (solve a triangular system per chunk, then products of tiles) does not do fewer
 * multiply-adds than the recurrence at K = V = 64: per token 3 K·V against 3 K·V + C·(2K + 1.5V) and a solve whose substitution
 * is serial itself; it pays off only in products on matrix units, with operands rounded to 11 bits, or thrice the work.
 * The recurrence is all multiply-adds of registers, 3 or 4 per entry and token; each number is read once; nothing
 * has to be inverted, no decay is ever divided by; and its f32 error is that of the definition.
 *
 * What bounds it: 4·K·V multiply-adds per token and head (gated), 0.29 ms for B8 T4096 H16 K=V=64 at 59 TFLOP/s; and the
 * latency of one step (a sum over K, then the update), which other warps of the same multiprocessor hide.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import { InputError } from "../../models/error.ts";
import type { Fault } from "../faults.ts";
import { BufferUsage, type Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import { assertShape, type DType, type Tensor } from "../tensor.ts";
import { compileShader, dispatch, type NamedBuffers, type Shader } from "../wgsl.ts";
import { forwardShader, stagedCounts, stagedInputs } from "./_forward_shader.ts";
import { columnTiles } from "./_serial_shader.ts";
import { deltaRule, inputLayouts } from "./rule.ts";
import { assertChunk, assertFloat, type DeltaDims, deltaDims, type DeltaInputs, type DeltaTensors } from "./tensors.ts";
import { chooseTile, type Tile, type TileOptions, TOGETHER } from "./tile.ts";

export type { DeltaTensors } from "./tensors.ts";

export interface DeltaOptions extends TileOptions {
  /** Tokens from one of `chunkStates` to the next, a power of two; default 64. */
  readonly chunk?: number;
  readonly fault?: Fault;
}

/** A parameter block of a serial kernel. */
export function serialParameters(gpu: Gpu, { B, T, H }: DeltaDims, chunks: number): GPUBuffer {
  return gpu.upload(Uint32Array.of(T, H, B * H, chunks), {
    label: "delta parameters",
    usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
  });
}

/** All buffers of a serial kernel but its parameters. */
const storageBuffers = ({ bindings }: Shader): number => bindings.length - 1;

/** Whether a device binds as many buffers as a serial kernel has. */
export function bindable(gpu: Gpu, shader: Shader): boolean {
  return storageBuffers(shader) <= gpu.limits.maxStorageBuffersPerShaderStage;
}

/** Refuses a kernel with more buffers than the device binds. */
export function assertBindable(gpu: Gpu, shader: Shader): void {
  if (!bindable(gpu, shader)) {
    const most = gpu.limits.maxStorageBuffersPerShaderStage;
    throw new InputError(
      `Cannot plan ${shader.label}: it needs ${storageBuffers(shader)} buffers, the device binds ≤ ${most}`,
    );
  }
}

/** The dispatch of a serial kernel, with its parameters as scratch. */
export async function serialPlan(
  gpu: Gpu,
  shader: Shader,
  dims: DeltaDims,
  chunks: number,
  tile: Tile,
  buffers: NamedBuffers,
  costs: Pick<Plan, "name" | "bytes" | "operations">,
): Promise<Plan> {
  assertBindable(gpu, shader);
  const kernel = await compileShader(gpu, shader);
  const parameters = serialParameters(gpu, dims, chunks);
  const workgroups = dims.B * dims.H * columnTiles(dims.V, tile);
  return planOf({
    ...costs,
    variant: tile.text,
    dispatches: [dispatch(kernel, { ...buffers, p: parameters }, workgroups)],
    scratch: [parameters],
  });
}

/** Buffers of the inputs under the names a kernel knows them by. */
export function inputBuffers(inputs: DeltaInputs): NamedBuffers {
  return Object.fromEntries(Object.entries(inputs).map(([name, { buffer }]) => [`in_${name}`, buffer]));
}

export const bytesOfAll = (tensors: readonly (Tensor | undefined)[]): number =>
  tensors.reduce((sum, tensor) => sum + (tensor?.bytes ?? 0), 0);

/** How a forward run is divided. */
export function forwardTile(
  gpu: Gpu,
  model: AnyAffineModel,
  { inputs, outputs, chunkStates }: Pick<DeltaTensors, "inputs" | "outputs" | "chunkStates">,
  options: DeltaOptions = {},
): Tile {
  const rule = deltaRule(model);
  const { B, T, H, K, V } = deltaDims(rule, inputs);
  const staged = stagedCounts(stagedInputs(rule, K, dtypesOf(inputs)), rule.microSteps);
  return chooseTile(gpu, {
    purpose: "plan a delta rule",
    sequences: B * H,
    tokens: T,
    K,
    V,
    staged,
    microSteps: rule.microSteps,
    // A step of RWKV-7 has five vectors along K, and eight of them 29 KB of instructions: on an H200 0.89 ms in f32 and 0.92 in f16,
    // where four take 0.84 and 0.83.
    ...(staged.K / rule.microSteps > 4 ? { steps: TOGETHER / 2 } : {}),
    blockLimit: chunkStates === undefined ? 64 : options.chunk ?? 64,
    leastColumns: outputs.dtype === "f16" ? 2 : 1,
  }, options);
}

const dtypesOf = (inputs: DeltaInputs): Record<string, DType> =>
  Object.fromEntries(Object.entries(inputs).map(([name, { dtype }]) => [name, dtype]));

/** Plans a forward run. Throws an {@link InputError} on shapes, types or options outside the contract. */
export async function planDeltaForward(
  gpu: Gpu,
  model: AnyAffineModel,
  tensors: DeltaTensors,
  options: DeltaOptions = {},
): Promise<Plan> {
  const rule = deltaRule(model);
  const { inputs, outputs, finalState, initialState, chunkStates, states, solved } = tensors;
  const dims = deltaDims(rule, inputs);
  const { B, T, H, K, V } = dims;
  const { chunk = 64, fault } = options;
  assertChunk(chunk);
  const chunks = Math.ceil(T / chunk);
  assertShape("outputs", outputs, [B, T, H, V]);
  assertFloat("finalState", finalState, [B, H, K, V]);
  if (initialState !== undefined) assertFloat("initialState", initialState, [B, H, K, V]);
  if (chunkStates !== undefined) assertFloat("chunkStates", chunkStates, [B, chunks, H, K, V]);
  if (states !== undefined) assertFloat("states", states, [B, T * rule.microSteps, H, K, V]);
  if (states !== undefined && chunkStates !== undefined) {
    throw new InputError("Cannot plan a delta rule: states and chunkStates must not both be given, got both");
  }
  if (solved !== undefined) assertFloat("solved", solved, [B, T * rule.microSteps, H, V]);
  if (outputs.dtype === "f16" && V % 2 !== 0) {
    throw new InputError(`Cannot plan a delta rule: f16 outputs need an even V, got ${V}`);
  }
  const tile = forwardTile(gpu, model, tensors, options);
  const shader = forwardShader({
    rule,
    extents: { K, V, microSteps: rule.microSteps },
    tile,
    dtypes: dtypesOf(inputs),
    initial: initialState !== undefined,
    outputs: outputs.dtype,
    chunk: states !== undefined ? "step" : chunkStates === undefined ? undefined : chunk,
    solved: solved !== undefined,
    fault,
  });
  // Per entry and micro-step a multiply-add for kᵀS and one for the update; once a token the read-out, and the decay.
  const perMicro = rule.form === "delta" ? 4 : 6;
  const perToken = 2 + (rule.decay === "none" ? 0 : 1);
  return await serialPlan(gpu, shader, dims, chunks, tile, {
    ...inputBuffers(inputs),
    out_o: outputs.buffer,
    out_final: finalState.buffer,
    ...(initialState === undefined ? {} : { initial: initialState.buffer }),
    ...(chunkStates === undefined ? {} : { out_states: chunkStates.buffer }),
    ...(states === undefined ? {} : { out_states: states.buffer }),
    ...(solved === undefined ? {} : { out_solved: solved.buffer }),
  }, {
    name: `${model.name} forward`,
    bytes: bytesOfAll([...Object.values(inputs), outputs, finalState, initialState, chunkStates, states, solved]),
    operations: B * T * H * K * V * (perMicro * rule.microSteps + perToken),
  });
}

/** The inputs' names in the order of the model. */
export const inputNames = (model: AnyAffineModel): string[] => Object.keys(inputLayouts(deltaRule(model)));
