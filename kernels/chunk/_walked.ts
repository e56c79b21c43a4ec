/**
 * When the forward pass is a walk through the tokens (walk.ts) rather than chunks on tiles, and how it is one.
 *
 * Always where it can be, but on software adapters, which keep the tiles: their every mode is checked there. On an H200 the walk
 * takes a third of the tiles' time where there are as many sequences as multiprocessors (bench/NOTES.md); few, long ones are
 * walked through in segments of time. It errs less than tiles do: a product of split halves on matrix units has a bound that
 * is too wide to see faults where a normaliser or a shut gate amplifies it.
 */

import { InputError } from "../../models/error.ts";
import type { Fault } from "../faults.ts";
import type { Gpu } from "../gpu.ts";
import type { Plan } from "../plan.ts";
import type { DType, Tensor } from "../tensor.ts";
import { planWalk, type WalkDecay, type WalkTensors } from "../walk/walk.ts";
import type { ChunkTensors } from "./_checked.ts";
import type { Decay } from "./family.ts";
import type { ChunkForwardOptions, ChunkTuning } from "./_options.ts";
import { chooseSegments } from "./_segments.ts";

/** Tokens of a segment at least. */
const LEAST_TOKENS = 256;
/** Columns that a workgroup holds, or about so many. */
const COLUMNS = 64;

/** What decides, besides the decay. */
export interface Traits {
  readonly chunkStates: boolean;
  readonly gates: DType;
}

/** The traits of tensors. */
export function traitsOf({ g, chunkStates }: ChunkTensors): Traits {
  return { chunkStates: chunkStates !== undefined, gates: g?.dtype ?? "f32" };
}

/** Why tensors cannot be walked through; undefined where they can. */
function obstacle({ chunkStates, gates }: Traits, { per }: Required<Decay>): string | undefined {
  if (chunkStates) return "states at chunk starts are kept by tiles";
  if (per === "head" && gates === "f16") return "a decay per head must be f32";
  return undefined;
}

/** Whether a caller has asked for something that only tiles have. */
function tuned(options: ChunkTuning): boolean {
  const shared = ["decay", "scale", "fault", "design", "segments"];
  return Object.entries(options).some(([name, value]) => value !== undefined && !shared.includes(name));
}

/** Whether tokens, where there are any, are walked through. It does not depend on how many sequences there are. */
export function walks(
  gpu: Gpu,
  traits: Traits,
  options: ChunkTuning & { readonly fault?: Fault },
  decay: Required<Decay>,
): boolean {
  const { design } = options;
  if (design === "tiles" || design === "units" || obstacle(traits, decay) !== undefined) return false;
  return design === "walk" || (!gpu.adapter.software && !tuned(options));
}

/** Throws an {@link InputError} if a walk is asked for and cannot be. */
export function assertWalkable(traits: Traits, { design }: ChunkTuning, decay: Required<Decay>): void {
  const against = obstacle(traits, decay);
  if (design === "walk" && against !== undefined) throw new InputError(`Cannot walk through chunks: ${against}`);
}

/** How a walk calls a decay. */
export function walkDecay({ kind, per }: Decay): Exclude<WalkDecay, "columns"> {
  return kind === "diagonal" ? "rows" : kind === "none" ? "none" : per === "head" ? "head" : "scalar";
}

/** Workgroups of a walk over values `[B, T, H, V]` that walks through all tokens, and segments that each is cut into. */
export function walkWork(
  gpu: Pick<Gpu, "adapter">,
  [B, T, H, V]: readonly [number, number, number, number],
  asked: number | undefined,
): { readonly workgroups: number; readonly segments: number } {
  const workgroups = B * H * Math.ceil(V / COLUMNS);
  return { workgroups, segments: chooseSegments(gpu, { workgroups, most: T, worth: T / LEAST_TOKENS }, asked) };
}

/** Segments of a walk over values `v`. */
export function walkSegments(gpu: Gpu, v: Tensor, asked: number | undefined): number {
  return walkWork(gpu, v.shape as [number, number, number, number], asked).segments;
}

/** What a walk is given besides canonical tensors. */
export type WalkedBesides = Pick<WalkTensors, "factor" | "normaliser">;

/** The walk: keys are rows, values columns. */
export function planWalked(
  gpu: Gpu,
  { q, k, v, g, u, o, initial, final }: ChunkTensors,
  { scale, fault, segments }: ChunkForwardOptions,
  decay: Required<Decay>,
  besides: WalkedBesides = {},
): Promise<Plan> {
  return planWalk(gpu, {
    ...besides,
    x: k,
    y: v,
    z: q,
    out: o,
    ...(g === undefined ? {} : { g }),
    ...(u === undefined ? {} : { u }),
    ...(initial === undefined ? {} : { initial }),
    ...(final === undefined ? {} : { final }),
  }, {
    decay: walkDecay(decay),
    form: decay.form,
    segments: walkSegments(gpu, v, segments),
    // One segment is asked for where a row's bits must not depend on how many others there are: nor must the tile, as sums go by
    // it, and decays wait by its block.
    ...(segments === 1 ? { threads: 128 } : {}),
    ...(scale === undefined ? {} : { scale }),
    ...(fault === undefined ? {} : { fault }),
  });
}
