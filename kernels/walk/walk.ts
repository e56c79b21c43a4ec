/**
 * Sums of outer products, walked through token by token with the state in registers: linear attention in its recurrent
 * form, and all of its gradients.
 *
 *     forward   S_t = a_t ⊙ S_{t−1} + x_t y_tᵀ          out_t = (scale · z_t)ᵀ S_t
 *     reverse   S_t = a_{t+1} ⊙ S_{t+1} + x_t y_tᵀ      out_t = (scale · z_t)ᵀ S_t
 *
 * a is 1, a number per token or per head, or a number per row or column of S. With S the state of linear attention the
 * forward pass is (x, y, z) = (k, v, q); with Λ the cotangent of S, dq is (v, k, dO), dv is reverse (q, dO, k) and dk
 * reverse (dO, q, v), where rows and columns change places.
 *
 * Why serial. In chunks of C tokens there are 2K + 2V + 2C... multiply-adds a token and column less, but at K = V = 64 no
 * fewer in all than the recurrence has: 2 or 3 per entry of the state and token. What chunks win is that matrix units
 * can do them, at the price of splitting operands into halves and of passing every product through workgroup
 * memory; measured on an H200 that price is higher (bench/NOTES.md). The recurrence's f32 error is that of the definition.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import { inputBuffers, serialPlan } from "../delta/forward.ts";
import { stagedCounts } from "../delta/_forward_shader.ts";
import { chooseTile, type TileOptions } from "../delta/tile.ts";
import type { Fault } from "../faults.ts";
import type { Gpu } from "../gpu.ts";
import type { Plan } from "../plan.ts";
import { assertShape, type Tensor } from "../tensor.ts";
import { type WalkDecay, walkShader, walkStaged } from "./_shader.ts";

export type { WalkDecay } from "./_shader.ts";

/** What a walk reads and writes, f32 or f16 each; states are f32. */
export interface WalkTensors {
  /** `[B, T, H, R]`. */
  readonly x: Tensor;
  readonly z: Tensor;
  /** `[B, T, H, C]`. */
  readonly y: Tensor;
  readonly out: Tensor;
  /** `[B, T, H]`, `[H]` (f32), `[B, T, H, R]` or `[B, T, H, C]`, as the decay says. */
  readonly g?: Tensor;
  /** `[B, H, R, C]`: the state before the first token, in the walk's direction; zero where not given. */
  readonly initial?: Tensor;
  /** `[B, H, R, C]`: the state after the last; in reverse with the decay of token 0, so that it is the initial state's cotangent. */
  readonly final?: Tensor;
  /** `[B, ⌈T / chunk⌉, H, R, C]`: the state before the first token of every chunk, in the walk's direction. */
  readonly chunkStates?: Tensor;
}

export interface WalkOptions extends TileOptions {
  readonly decay?: WalkDecay;
  /** Whether g is a logarithm (≤ 0, ≥ −104), the default, or the multiplier itself: for the decay `head` only. */
  readonly form?: "log" | "factor";
  readonly reverse?: boolean;
  /** Default 1. */
  readonly scale?: number;
  /** Tokens from one of `chunkStates` to the next, a power of two; default 64. */
  readonly chunk?: number;
  readonly fault?: Fault;
}

/** Makes a walk ready. Rejects with an {@link InputError} on shapes or options that do not fit, before any GPU work. */
export async function planWalk(gpu: Gpu, tensors: WalkTensors, options: WalkOptions = {}): Promise<Plan> {
  const { x, y, z, g, out, initial, final, chunkStates } = tensors;
  const { decay = "none", form = "log", reverse = false, scale = 1, chunk = 64, fault, ...tiling } = options;
  assertShape("x", x, [-1, -1, -1, -1]);
  const [B, T, H, R] = x.shape as [number, number, number, number];
  assertShape("z", z, [B, T, H, R]);
  assertShape("y", y, [B, T, H, -1]);
  const C = y.shape[3]!;
  assertShape("out", out, [B, T, H, C]);
  const gates: { readonly [kind in WalkDecay]: readonly number[] | undefined } = {
    none: undefined,
    scalar: [B, T, H],
    head: [H],
    rows: [B, T, H, R],
    columns: [B, T, H, C],
  };
  const refuse = (what: string): never => {
    throw new InputError(`Cannot walk: ${what}`);
  };
  if (gates[decay] === undefined ? g !== undefined : g === undefined) {
    refuse(`g must be ${decay === "none" ? "absent without decay" : `given for the decay "${decay}"`}`);
  }
  if (form === "factor" && decay !== "head") refuse(`g must be a logarithm for the decay "${decay}", got form factor`);
  if (g !== undefined) assertShape("g", g, gates[decay]!);
  if (decay === "head" && g!.dtype !== "f32") refuse(`g must be f32 for the decay "head", got ${g!.dtype}`);
  for (const [name, state] of [["initial", initial], ["final", final]] as const) {
    if (state === undefined) continue;
    assertShape(name, state, [B, H, R, C]);
    if (state.dtype !== "f32") refuse(`${name} must be f32, got ${state.dtype}`);
  }
  if (!Number.isInteger(Math.log2(chunk)) || chunk < 1) refuse(`chunk must be a power of two ≥ 1, got ${chunk}`);
  const chunks = Math.ceil(T / chunk);
  if (chunkStates !== undefined) assertShape("chunkStates", chunkStates, [B, chunks, H, R, C]);
  if (out.dtype === "f16" && C % 2 !== 0) refuse(`f16 outputs need an even number of columns, got ${C}`);
  const rounded = Math.fround(scale);
  const dtypes = { x: x.dtype, y: y.dtype, z: z.dtype, g: g?.dtype ?? "f32", out: out.dtype };
  const staged = walkStaged({ decay, scale: rounded, dtypes });
  const tile = chooseTile(gpu, {
    sequences: B * H,
    K: R,
    V: C,
    staged: stagedCounts(staged, 1),
    blockLimit: chunkStates === undefined ? 64 : chunk,
    leastColumns: out.dtype === "f16" ? 2 : 1,
  }, tiling);
  const shader = walkShader({
    rows: R,
    columns: C,
    decay,
    form,
    reverse,
    scale: rounded,
    tile,
    dtypes,
    initial: initial !== undefined,
    final: final !== undefined,
    chunk: chunkStates === undefined ? undefined : chunk,
    fault,
  });
  const given = [x, y, z, g, out, initial, final, chunkStates].filter((tensor) => tensor !== undefined);
  return await serialPlan(gpu, shader, { B, T, H, K: R, V: C }, chunks, tile, {
    ...inputBuffers({ x, y, z, ...(g === undefined ? {} : { g }) }),
    out_o: out.buffer,
    ...(initial === undefined ? {} : { initial: initial.buffer }),
    ...(final === undefined ? {} : { out_final: final.buffer }),
    ...(chunkStates === undefined ? {} : { out_states: chunkStates.buffer }),
  }, {
    name: `outer product walk${reverse ? ", reverse" : ""}`,
    bytes: given.reduce((sum, { bytes }) => sum + bytes, 0),
    operations: B * T * H * R * C * (decay === "none" ? 4 : 5),
  });
}
