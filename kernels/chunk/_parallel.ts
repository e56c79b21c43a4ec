/**
 * The forward pass in its chunkwise parallel form: all chunks of all sequences at once. One kernel makes the states at the
 * starts of chunks (_parallel_states.ts), one all outputs (_parallel_outputs.ts), both on matrix units where there are some.
 *
 * It is for many sequences and a state of one decay a head: k and v are read twice, and states, `[B, H, ⌈T / chunk⌉, K, V]` in
 * f32, are written and read once, as scratch. With K = V = chunk that is twice, or of halves 2.5 times the bytes of a walk.
 *
 * Bounds are those of rounding.ts: a term meets the same sums. States that are halves between the kernels (`stateHalves`) are
 * rounded there instead of in the outputs' kernel, and only what a power of two takes below 2^−14 is rounded twice: 2^(es − 40)
 * once more in Q S. With that the floor is at most 2^−40 K q* ((6 + 4 C/K) s* + (16 K + 22 C) k* v*), for K ≤ 128 still within
 * the judge's.
 */

import { InputError } from "../../models/error.ts";
import { relativeFactor } from "../faults.ts";
import { BufferUsage, type Gpu } from "../gpu.ts";
import type { MatrixUnit } from "../matrix_unit.ts";
import { type Plan, planOf } from "../plan.ts";
import { compileShader, dispatch } from "../wgsl.ts";
import type { ChunkTensors } from "./_checked.ts";
import type { ChunkForwardOptions } from "./_options.ts";
import {
  arrayBytes,
  outputArrays,
  type OutputTiles,
  type ParallelConfig,
  stateArrays,
  type StateTiles,
} from "./_parallel_config.ts";
import { outputsShader } from "./_parallel_outputs.ts";
import { statesShader } from "./_parallel_states.ts";
import { parallelWords } from "./_parallel_text.ts";
import { subgroupOf } from "./_tiles.ts";
import type { Decay } from "./family.ts";

interface Extent {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
}

/** Why chunks of the tensors cannot run side by side; undefined where they can. */
export function parallelObstacle(
  { u, chunkStates }: ChunkTensors,
  { kind, form, per }: Required<Decay>,
  { K, V }: Pick<Extent, "K" | "V">,
): string | undefined {
  if (kind === "diagonal") return "its decay must be none or scalar, got diagonal";
  if (u !== undefined) return "a bonus is read before the update";
  if (chunkStates !== undefined) return "states at chunk starts are kept by tiles";
  if (form === "factor" && per !== "head") return "factors by token are for walks and tiles";
  for (const [name, n] of [["K", K], ["V", V]] as const) {
    if (n % 16 !== 0 || n > 128) return `${name} must be a multiple of 16 up to 128, got ${n}`;
  }
  return undefined;
}

function refuse(what: string): never {
  throw new InputError(`Cannot run chunks side by side: ${what}`);
}

/** The largest multiple of 16 that divides n and is at most `most`. */
function divisor(n: number, most: number): number {
  let width = Math.min(n, most);
  while (n % width !== 0 || width % 16 !== 0) width--;
  return width;
}

function check(name: string, value: number, whole: number): number {
  if (value < 16 || value % 16 !== 0 || whole % value !== 0) {
    refuse(`${name} must be a multiple of 16 that divides ${whole}, got ${value}`);
  }
  return value;
}

function checkThreads(gpu: Gpu, name: string, value: number, unit: MatrixUnit, least: number): number {
  const most = gpu.limits.maxComputeInvocationsPerWorkgroup;
  if (value % unit.lanes !== 0 || value < least || value > most) {
    refuse(`${name} must be a multiple of ${unit.lanes} from ${least} to ${most}, got ${value}`);
  }
  return value;
}

interface Chosen {
  readonly chunk: number;
  readonly pad: number;
  readonly states: StateTiles;
  readonly outputs: OutputTiles;
}

/** The largest chunk whose tiles fit the device's workgroup memory, with all of its rows or half of them in a workgroup. */
function chooseParallel(gpu: Gpu, { K, V }: Extent, unit: MatrixUnit, options: ChunkForwardOptions): Chosen {
  const memory = gpu.limits.maxComputeWorkgroupStorageSize;
  const most = gpu.limits.maxComputeInvocationsPerWorkgroup;
  const { chunk: asked, pad: askedPad } = options;
  if (asked !== undefined && ![16, 32, 64].includes(asked)) refuse(`chunk must be 16, 32 or 64, got ${asked}`);
  const pad = askedPad ?? (unit.hardware ? 8 : 0);
  if (pad < 0 || pad % 8 !== 0) refuse(`pad must be a multiple of 8, got ${pad}`);
  const usual = Math.min(128, most - most % unit.lanes);
  let fewest = Infinity;
  for (const chunk of asked === undefined ? [64, 32, 16] : [asked]) {
    const states: StateTiles = {
      keys: check("stateKeys", options.stateKeys ?? divisor(K, 32), K),
      columns: check("stateColumns", options.stateColumns ?? divisor(V, 32), V),
      threads: checkThreads(gpu, "stateThreads", options.stateThreads ?? usual, unit, Math.max(unit.lanes, chunk)),
      ahead: options.stateAhead ?? (unit.hardware ? 2 : 1),
    };
    if (states.ahead !== 1 && states.ahead !== 2) refuse(`stateAhead must be 1 or 2, got ${states.ahead}`);
    const allColumns = options.columns === undefined ? [divisor(V, 64), divisor(V, 32), 16] : [options.columns];
    const allRows = options.rows === undefined ? [chunk, Math.max(16, chunk / 2)] : [options.rows];
    for (const columns of allColumns) {
      for (const rows of allRows) {
        check("columns", columns, V);
        check("rows", rows, chunk);
        const least = Math.max(unit.lanes * Math.max(1, rows / 32), chunk);
        const threads = checkThreads(gpu, "threads", options.threads ?? usual, unit, least);
        const sized = { K, V, chunk, unit, pad };
        const outputs: OutputTiles = { rows, columns, threads };
        const bytes = Math.max(
          arrayBytes(sized, stateArrays(sized, states)),
          arrayBytes(sized, outputArrays(sized, outputs)),
        );
        if (bytes <= memory) return { chunk, pad, states, outputs };
        fewest = Math.min(fewest, bytes);
      }
    }
  }
  return refuse(`the tiles take at least ${fewest} bytes of workgroup memory, the device has ${memory}`);
}

/** The plan. Rejects with an {@link InputError} on tensors or tiles that do not fit, before any GPU work. T > 0. */
export async function planParallel(
  gpu: Gpu,
  tensors: ChunkTensors,
  options: ChunkForwardOptions,
  decay: Required<Decay>,
  extent: Extent,
  unit: MatrixUnit,
): Promise<Plan> {
  const { q, k, v, g, o, initial, final } = tensors;
  const { B, T, H, K, V } = extent;
  const { kind, form, per } = decay;
  const against = parallelObstacle(tensors, decay, extent);
  if (against !== undefined || kind === "diagonal") return refuse(against!);
  if ((options.segments ?? 1) !== 1) refuse(`segments must be 1, got ${options.segments}`);
  const { chunk, pad, states, outputs } = chooseParallel(gpu, extent, unit, options);
  if (options.stateHalves === true && unit.mode !== "f16") {
    refuse(`stateHalves must be false in other modes than f16, got ${unit.mode}`);
  }
  const chunks = Math.ceil(T / chunk);
  const config: ParallelConfig = {
    kind,
    form,
    per,
    K,
    V,
    chunk,
    unit,
    pad,
    unrolled: options.unrolled ?? unit.hardware,
    subgroup: subgroupOf(gpu, unit, options.subgroups),
    dtype: q.dtype,
    gateDtype: g?.dtype ?? "f32",
    stateDtype: options.stateHalves === true ? "f16" : "f32",
    initial: initial !== undefined,
    final: final !== undefined,
    fault: typeof options.fault === "string" ? options.fault : undefined,
    factor: relativeFactor(options.fault),
  };
  const scratch = [
    gpu.upload(parallelWords({ B, T, H, chunks, scale: options.scale ?? 1 }), {
      label: "chunk parameters",
      usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
    }),
  ];
  try {
    const [first, second] = await Promise.all([
      compileShader(gpu, statesShader(config, states)),
      compileShader(gpu, outputsShader(config, outputs, states)),
    ]);
    const held = (bytes: number, label: string): GPUBuffer => {
      const buffer = gpu.createBuffer({ bytes, label });
      scratch.push(buffer);
      return buffer;
    };
    const parts = (K / states.keys) * (V / states.columns);
    const halves = config.stateDtype === "f16";
    const buffers = {
      params: scratch[0]!,
      in_q: q.buffer,
      in_k: k.buffer,
      in_v: v.buffer,
      ...(g === undefined ? {} : { in_g: g.buffer }),
      states: held((halves ? 2 : 4) * B * H * chunks * K * V, "states at chunk starts"),
      ...(halves ? { state_exponents: held(4 * B * H * chunks * parts, "exponents of states") } : {}),
      out_o: o.buffer,
      ...(initial === undefined ? {} : { state_in: initial.buffer }),
      ...(final === undefined ? {} : { state_out: final.buffer }),
    };
    const present = [q, k, v, g, o, initial, final].filter((tensor) => tensor !== undefined);
    return planOf({
      name: `chunk ${kind} forward, chunks side by side`,
      variant: `${unit.key}, chunk ${chunk}, pad ${pad}, states by ${states.keys} × ${states.columns}, ` +
        `${states.threads} threads, ${states.ahead} ahead, in ${config.stateDtype}, outputs by ${outputs.rows} × ${outputs.columns}, ${outputs.threads} threads`,
      dispatches: [
        dispatch(first, buffers, B * H * parts),
        dispatch(second, buffers, B * H * chunks * (chunk / outputs.rows) * (V / outputs.columns)),
      ],
      bytes: present.reduce((sum, { bytes }) => sum + bytes, 0),
      operations: B * T * H * K * V * (kind === "none" ? 4 : 5),
      scratch,
    });
  } catch (error) {
    for (const buffer of scratch) buffer.destroy();
    throw error;
  }
}
