/**
 * When the forward pass is a walk through the tokens (walk.ts) rather than chunks on tiles, and how it is one.
 *
 * On an H200 the walk takes a third of the tiles' time where there are as many sequences as multiprocessors
 * (bench/NOTES.md); few, long sequences are the tiles', which split time. Software adapters keep the tiles, whose every mode is
 * checked there.
 */

import { InputError } from "../../models/error.ts";
import type { Gpu } from "../gpu.ts";
import type { Plan } from "../plan.ts";
import { planWalk, type WalkDecay } from "../walk/walk.ts";
import type { ChunkTensors } from "./_checked.ts";
import type { Decay } from "./family.ts";
import type { ChunkForwardOptions } from "./_options.ts";

/** Sequences from which the walk keeps a device busy. */
const MANY = 64;

/** Why the tensors cannot be walked through; undefined where they can. */
function obstacle({ u, g, chunkStates }: ChunkTensors, { form, per }: Required<Decay>): string | undefined {
  if (u !== undefined) return "a bonus is read before the update";
  if (chunkStates !== undefined) return "states at chunk starts are kept by tiles";
  if (form === "factor" && per !== "head") return "factors by token are the tiles'";
  if (per === "head" && g?.dtype === "f16") return "a decay per head must be f32";
  return undefined;
}

/** Whether a caller has asked for something that only tiles have. */
function tuned(options: ChunkForwardOptions): boolean {
  const shared = ["decay", "scale", "fault", "design", "segments"];
  return Object.entries(options).some(([name, value]) => value !== undefined && !shared.includes(name));
}

/** Whether to walk. Throws an {@link InputError} if that is asked for and cannot be. */
export function walks(gpu: Gpu, tensors: ChunkTensors, options: ChunkForwardOptions, decay: Required<Decay>): boolean {
  const { design, segments } = options;
  const [B = 0, T = 0, H = 0] = tensors.q.shape;
  const against = obstacle(tensors, decay);
  if (design === "walk" && against !== undefined) throw new InputError(`Cannot walk through chunks: ${against}`);
  if (T === 0 || design === "tiles" || design === "parallel") return false;
  if (design === "walk") return true;
  // One segment is asked for where a row's bits must not depend on how many others there are: nor must this choice.
  const fast = segments === 1 || (segments === undefined && B * H >= MANY);
  return fast && against === undefined && !gpu.adapter.software && !tuned(options);
}

/** The walk: keys are rows, values columns. */
export function planWalked(
  gpu: Gpu,
  { q, k, v, g, o, initial, final }: ChunkTensors,
  { scale, fault }: ChunkForwardOptions,
  { kind, form, per }: Required<Decay>,
): Promise<Plan> {
  const decay: WalkDecay = kind === "diagonal" ? "rows" : kind === "none" ? "none" : per === "head" ? "head" : "scalar";
  return planWalk(gpu, {
    x: k,
    y: v,
    z: q,
    out: o,
    ...(g === undefined ? {} : { g }),
    ...(initial === undefined ? {} : { initial }),
    ...(final === undefined ? {} : { final }),
  }, {
    decay,
    form,
    ...(scale === undefined ? {} : { scale }),
    ...(fault === undefined ? {} : { fault }),
  });
}
