/**
 * The gradients of a delta rule, as a plan, from what the forward run saved: e_t (u_t) of every token and the state
 * before every chunk.
 *
 * Two passes. The first is serial over the tokens, as the forward run is: λ = ∂L/∂S from the end to the start, which leaves
 * du_t, dv_t, and λ at chunk ends (`_reverse_shader.ts`). With both directions solved, all chunks are taken side by
 * side: S and λ again give dq, dk and the gates' gradients (`_local_shader.ts`). Sums over the values (β) and over the
 * keys (a gate that they share) come last.
 *
 * Of 4·K·V multiply-adds per token and head in the first and 11·K·V in the second only the first's wait for one another.
 *
 * @module
 */
import type { AnyAffineModel } from "../../models/affine.ts";
import { InputError } from "../../models/error.ts";
import type { Fault } from "../faults.ts";
import type { Gpu } from "../gpu.ts";
import { type Plan, planOf } from "../plan.ts";
import { assertShape, type DType, Tensor } from "../tensor.ts";
import { compileShader, dispatch, dispatchItems, type NamedBuffers, type Shader } from "../wgsl.ts";
import { stagedCounts } from "./_forward_shader.ts";
import { localOutputs, localStaged } from "./_local_arrays.ts";
import { localShader, type LocalText } from "./_local_shader.ts";
import { reverseShader, reverseStaged } from "./_reverse_shader.ts";
import { rowSums } from "./_row_sums.ts";
import { columnTiles } from "./_serial_shader.ts";
import type { Staged } from "./_staging.ts";
import { assertBindable, bytesOfAll, inputBuffers, serialParameters } from "./forward.ts";
import { deltaRule, inputLayouts } from "./rule.ts";
import { assertChunk, assertFloat, deltaDims, type DeltaInputs, inputShape } from "./tensors.ts";
import { chooseTile, type Tile, type TileOptions } from "./tile.ts";

/** What a backward run reads and writes. */
export interface DeltaBackwardTensors {
  /** As the forward run had them. */
  readonly inputs: DeltaInputs;
  /** Cotangent of the outputs, `[B, T, H, V]`, f32 or f16. */
  readonly outputs: Tensor;
  /** Cotangent of the final state, `[B, H, K, V]`, f32; zero where absent. */
  readonly finalState?: Tensor;
  /** As the forward run wrote them, with the same `chunk`. */
  readonly chunkStates: Tensor;
  readonly solved: Tensor;
  /** Where the gradient of every input goes, f32, in its shape. */
  readonly gradients: DeltaInputs;
  /** Where the gradient of the initial state goes, `[B, H, K, V]`, f32. */
  readonly initialState: Tensor;
  /** Where du goes, `[B, T·n_h, H, V]`, and λ at chunk ends, `[B, ceil(T / chunk), H, K, V]`; f32, scratch where absent. */
  readonly solvedCotangents?: Tensor;
  readonly chunkCotangents?: Tensor;
}

export interface DeltaBackwardOptions {
  /** Tokens from one of `chunkStates` to the next, a power of two; default 64. */
  readonly chunk?: number;
  /** Of the serial pass. */
  readonly reverse?: TileOptions;
  /** Of the passes over chunks; `rows` is along V there, `columns` along K. */
  readonly local?: TileOptions;
  readonly fault?: Fault;
}

/**
 * The local pass keeps the states of a group of tokens in registers, and those at groups' starts in private memory: few
 * entries an invocation, so many invocations.
 */
function localDefaults(gpu: Gpu, V: number): TileOptions {
  const widest = gpu.subgroups?.min ?? 16;
  return { rows: Math.max(4, 4 * Math.ceil(V / widest / 4)), columns: 2, threads: 256 };
}

/** The local kernel, or where the device binds too few buffers for all that it writes, several that share the work. */
function localPasses(gpu: Gpu, text: LocalText): Shader[] {
  const shader = localShader(text);
  const { outputs } = text;
  const over = shader.bindings.length - 1 - gpu.limits.maxStorageBuffersPerShaderStage;
  if (over <= 0 || outputs.length === 1) return [shader];
  const fitting = Math.max(1, outputs.length - over);
  return Array.from(
    { length: Math.ceil(outputs.length / fitting) },
    (_, part) => localShader({ ...text, outputs: outputs.slice(part * fitting, (part + 1) * fitting) }),
  );
}

/** Plans a backward run. Throws an {@link InputError} on shapes, types or options outside the contract. */
export async function planDeltaBackward(
  gpu: Gpu,
  model: AnyAffineModel,
  tensors: DeltaBackwardTensors,
  options: DeltaBackwardOptions = {},
): Promise<Plan> {
  const rule = deltaRule(model);
  const { inputs, outputs, finalState, chunkStates, solved, gradients, initialState } = tensors;
  const { solvedCotangents, chunkCotangents } = tensors;
  const { chunk = 64, fault } = options;
  const dims = deltaDims(rule, inputs);
  const { B, T, H, K, V } = dims;
  const { microSteps } = rule;
  const steps = T * microSteps;
  assertChunk(chunk);
  const chunks = Math.max(1, Math.ceil(T / chunk));
  assertShape("the cotangent of outputs", outputs, [B, T, H, V]);
  if (finalState !== undefined) assertFloat("the cotangent of finalState", finalState, [B, H, K, V]);
  assertFloat("chunkStates", chunkStates, [B, Math.ceil(T / chunk), H, K, V]);
  assertFloat("solved", solved, [B, steps, H, V]);
  if (solvedCotangents !== undefined) assertFloat("solvedCotangents", solvedCotangents, solved.shape);
  if (chunkCotangents !== undefined) assertFloat("chunkCotangents", chunkCotangents, chunkStates.shape);
  assertFloat("the gradient of initialState", initialState, [B, H, K, V]);
  for (const [name, layout] of Object.entries(inputLayouts(rule))) {
    const gradient = gradients[name];
    if (gradient === undefined) {
      throw new InputError(
        `Cannot plan a delta rule: the gradient of ${name} is missing, got ${Object.keys(gradients).join(", ")}`,
      );
    }
    assertFloat(`the gradient of ${name}`, gradient, inputShape(layout, dims, microSteps));
  }
  const dtypes: Record<string, DType> = {
    ...Object.fromEntries(Object.entries(inputs).map(([name, { dtype }]) => [name, dtype])),
    do: outputs.dtype,
  };
  const tileOf = (
    staged: readonly Staged[],
    rows: number,
    columns: number,
    groups: number,
    given?: TileOptions,
    together: number = 1,
  ): Tile =>
    chooseTile(gpu, {
      purpose: "plan a delta rule",
      sequences: groups,
      tokens: T,
      K: rows,
      V: columns,
      staged: stagedCounts(staged, microSteps),
      microSteps: together,
      blockLimit: chunk,
      leastColumns: 1,
    }, given);
  const reverseTile = tileOf(reverseStaged(rule, K, dtypes), K, V, B * H, options.reverse, microSteps);
  const localTile = tileOf(localStaged(rule, K, dtypes), V, K, B * H * chunks, {
    ...localDefaults(gpu, V),
    ...options.local,
  });
  const extents = { K, V, microSteps };
  const text = { rule, extents, dtypes, chunk, fault };
  const shaders = {
    reverse: reverseShader({ ...text, tile: reverseTile, initial: finalState !== undefined }),
    local: localPasses(gpu, { ...text, tile: localTile, outputs: localOutputs(rule) }),
  };
  for (const shader of [shaders.reverse, ...shaders.local]) assertBindable(gpu, shader);

  const scratch: GPUBuffer[] = [];
  const made = (shape: readonly number[], label: string): Tensor => {
    const tensor = Tensor.empty(gpu, shape, { label });
    scratch.push(tensor.buffer);
    return tensor;
  };
  try {
    const shared = rule.gate !== undefined && rule.decay === "scalar";
    const du = solvedCotangents ?? made([B, steps, H, V], "du");
    const ends = chunkCotangents ?? made([B, chunks, H, K, V], "cotangents of chunk ends");
    const perKey = shared ? made([B, T, H, K], "gates' gradients per key") : undefined;
    const parameters = serialParameters(gpu, dims, chunks);
    scratch.push(parameters);
    const buffers: NamedBuffers = {
      ...inputBuffers(inputs),
      p: parameters,
      in_do: outputs.buffer,
      in_du: du.buffer,
      in_solved: solved.buffer,
      before: chunkStates.buffer,
      behind_chunk: ends.buffer,
      out_du: du.buffer,
      out_dv: gradients.v!.buffer,
      out_ends: ends.buffer,
      out_initial: initialState.buffer,
      ...(finalState === undefined ? {} : { initial: finalState.buffer }),
      ...Object.fromEntries(localOutputs(rule).map((name) => [`out_d_${name}`, gradients[name]!.buffer])),
      ...(perKey === undefined ? {} : { [`out_d_${rule.gate}`]: perKey.buffer }),
    };
    const launch = async (shader: Shader, workgroups: number): Promise<Plan["dispatches"][number]> =>
      dispatch(await compileShader(gpu, shader), buffers, workgroups);
    const sum = async (into: Tensor, a: Tensor, b: Tensor | undefined): Promise<Plan["dispatches"][number]> => {
      const kernel = await compileShader(gpu, rowSums(a.shape.at(-1)!, b !== undefined, fault));
      // Rows are counted by the binding: a caller's buffer may be larger.
      const row_sums = { buffer: into.buffer, size: into.bytes };
      return dispatchItems(kernel, { a: a.buffer, row_sums, ...(b === undefined ? {} : { b: b.buffer }) }, into.length);
    };
    const parallel = B * H * chunks * columnTiles(K, localTile);
    const dispatches = [await launch(shaders.reverse, B * H * columnTiles(V, reverseTile))];
    if (T > 0) {
      for (const shader of shaders.local) dispatches.push(await launch(shader, parallel));
      if (rule.form === "delta") dispatches.push(await sum(gradients.beta!, du, solved));
      if (perKey !== undefined) dispatches.push(await sum(gradients[rule.gate!]!, perKey, undefined));
    }
    const decays = rule.gate === undefined ? 0 : 1;
    return planOf({
      name: `${model.name} backward`,
      variant: `chunks of ${chunk}; reverse ${reverseTile.text}; local ${localTile.text}`,
      dispatches,
      bytes: bytesOfAll([
        ...Object.values(inputs),
        ...Object.values(gradients),
        ...[outputs, finalState, chunkStates, solved, initialState],
      ]),
      operations: B * T * H * K * V * (microSteps * (rule.form === "delta" ? 14 : 20) + 6 + 6 * decays),
      scratch,
    });
  } catch (error) {
    for (const buffer of scratch) buffer.destroy();
    throw error;
  }
}
