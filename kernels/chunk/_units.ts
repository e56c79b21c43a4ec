/**
 * The forward pass in chunks on matrix units, one kernel for a sequence and some columns of its state (_units_shader.ts).
 *
 * It is for many sequences and a state of one decay a head, in halves: at 8 × 16 of them, K = V = 64, an H200 takes a sixth to a
 * third less than by a walk (bench/NOTES.md). q, k and v are read once for every tile of columns, o is written once, and nothing else.
 *
 * Bounds are those of rounding.ts: a term meets the same sums. An |scale · q| or |k| above 2^100 may count as zero: what it is
 * multiplied by before it is rounded is one factor.
 */

import { InputError } from "../../models/error.ts";
import { relativeFactor } from "../faults.ts";
import { BufferUsage, type Gpu } from "../gpu.ts";
import type { MatrixUnit } from "../matrix_unit.ts";
import { type Plan, planOf } from "../plan.ts";
import { compileShader, dispatch } from "../wgsl.ts";
import type { ChunkTensors } from "./_checked.ts";
import type { ChunkForwardOptions } from "./_options.ts";
import { arrayBytes, type UnitsConfig } from "./_units_config.ts";
import { divisorUpTo } from "./_units_deal.ts";
import { unitsShader } from "./_units_shader.ts";
import { unitsWords } from "./_units_text.ts";
import { subgroupOf } from "./_tiles.ts";
import type { Decay } from "./family.ts";

interface Extent {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
}

/** Why chunks of the tensors cannot run on matrix units; undefined where they can. */
function unitsObstacle(
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
  throw new InputError(`Cannot run chunks on matrix units: ${what}`);
}

function check(name: string, value: number, whole: number): number {
  if (value < 16 || value % 16 !== 0 || whole % value !== 0) {
    refuse(`${name} must be a multiple of 16 that divides ${whole}, got ${value}`);
  }
  return value;
}

function checkThreads(gpu: Gpu, value: number, unit: MatrixUnit, least: number): number {
  const most = gpu.limits.maxComputeInvocationsPerWorkgroup;
  if (value % unit.lanes !== 0 || value < least || value > most) {
    refuse(`threads must be a multiple of ${unit.lanes} from ${least} to ${most}, got ${value}`);
  }
  return value;
}

type Chosen = Pick<UnitsConfig, "chunk" | "columns" | "pad" | "threads">;

/** The largest chunk, and the most columns, whose tiles fit the device's workgroup memory. */
function chooseUnits(
  gpu: Gpu,
  { K, V }: Extent,
  kind: UnitsConfig["kind"],
  unit: MatrixUnit,
  options: ChunkForwardOptions,
): Chosen {
  const memory = gpu.limits.maxComputeWorkgroupStorageSize;
  const most = gpu.limits.maxComputeInvocationsPerWorkgroup;
  const { chunk: asked, pad: askedPad } = options;
  if (asked !== undefined && ![16, 32, 64].includes(asked)) refuse(`chunk must be 16, 32 or 64, got ${asked}`);
  const pad = askedPad ?? (unit.hardware ? 8 : 0);
  if (pad < 0 || pad % 8 !== 0) refuse(`pad must be a multiple of 8, got ${pad}`);
  const usual = Math.min(unit.hardware ? 256 : 128, most - most % unit.lanes);
  let fewest = Infinity;
  const threads = checkThreads(gpu, options.threads ?? usual, unit, Math.max(unit.lanes, asked ?? 16));
  for (const chunk of asked === undefined ? [64, 32, 16].filter((chunk) => chunk <= threads) : [asked]) {
    for (
      const columns of options.columns === undefined
        ? [64, 32, 16].map((most) => 16 * divisorUpTo(V / 16, most / 16))
        : [options.columns]
    ) {
      check("columns", columns, V);
      const bytes = arrayBytes({ kind, K, chunk, columns, unit, pad });
      if (bytes <= memory) return { chunk, columns, pad, threads };
      fewest = Math.min(fewest, bytes);
    }
  }
  return refuse(`the tiles take at least ${fewest} bytes of workgroup memory, the device has ${memory}`);
}

/**
 * The plan; undefined without tokens, of which there is nothing to do here. Rejects with an {@link InputError} on tensors or tiles
 * that do not fit, before any GPU work.
 */
export async function planUnits(
  gpu: Gpu,
  tensors: ChunkTensors,
  options: ChunkForwardOptions,
  decay: Required<Decay>,
  extent: Extent,
  unit: MatrixUnit,
): Promise<Plan | undefined> {
  const { q, k, v, g, o, initial, final } = tensors;
  const { B, T, H, K, V } = extent;
  const { kind, form, per } = decay;
  const against = unitsObstacle(tensors, decay, extent);
  if (against !== undefined || kind === "diagonal") return refuse(against!);
  if ((options.segments ?? 1) !== 1) refuse(`segments must be 1, got ${options.segments}`);
  if (options.slice !== undefined) refuse(`slice must be left out, got ${options.slice}`);
  const chosen = chooseUnits(gpu, extent, kind, unit, options);
  if (T === 0) return undefined;
  const { chunk, columns, pad, threads } = chosen;
  const config: UnitsConfig = {
    kind,
    form,
    per,
    K,
    V,
    ...chosen,
    unit,
    unrolled: options.unrolled ?? unit.hardware,
    // An H200 finds a largest number as fast by workgroup memory as by shuffles before it.
    subgroup: subgroupOf(gpu, unit, options.subgroups ?? false),
    dtype: q.dtype,
    gateDtype: g?.dtype ?? "f32",
    initial: initial !== undefined,
    final: final !== undefined,
    fault: typeof options.fault === "string" ? options.fault : undefined,
    factor: relativeFactor(options.fault),
  };
  const params = gpu.upload(unitsWords({ B, T, H, chunks: Math.ceil(T / chunk), scale: options.scale ?? 1 }), {
    label: "chunk parameters",
    usage: BufferUsage.UNIFORM | BufferUsage.COPY_DST,
  });
  try {
    const kernel = await compileShader(gpu, unitsShader(config));
    const buffers = {
      params,
      in_q: q.buffer,
      in_k: k.buffer,
      in_v: v.buffer,
      ...(g === undefined ? {} : { in_g: g.buffer }),
      out_o: o.buffer,
      ...(initial === undefined ? {} : { state_in: initial.buffer }),
      ...(final === undefined ? {} : { state_out: final.buffer }),
    };
    const present = [q, k, v, g, o, initial, final].filter((tensor) => tensor !== undefined);
    return planOf({
      name: `chunk ${kind} forward on matrix units`,
      variant: `${unit.key}, chunk ${chunk}, ${columns} of ${V} columns, pad ${pad}, ${threads} threads`,
      dispatches: [dispatch(kernel, buffers, B * H * (V / columns))],
      bytes: present.reduce((sum, { bytes }) => sum + bytes, 0),
      operations: B * T * H * K * V * (kind === "none" ? 4 : 5),
      scratch: [params],
    });
  } catch (error) {
    params.destroy();
    throw error;
  }
}
