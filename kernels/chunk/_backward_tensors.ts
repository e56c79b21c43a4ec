/**
 * The tensors of the backward kernels of chunks, and what they have to be like.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import { assertShape, type Tensor } from "../tensor.ts";
import { type Decay, gateShape } from "./family.ts";

/** Canonical inputs (family.ts), cotangents and gradients, all f32. */
export interface ChunkBackwardTensors {
  /** `[B, T, H, K]`. */
  readonly q: Tensor;
  readonly k: Tensor;
  /** `[B, T, H, V]`. */
  readonly v: Tensor;
  /** `[B, T, H]`, `[H]` or `[B, T, H, K]`, as the decay says. */
  readonly g?: Tensor;
  /** `[H, K]`: the bonus; with it, token t reads S_{t−1} + diag(u) k_t v_tᵀ. Diagonal decays only. */
  readonly u?: Tensor;
  /** `[B, T, H, V]`: the cotangent of the outputs. */
  readonly dO: Tensor;
  /** `[B, H, K, V]`; zero where not given. */
  readonly initial?: Tensor;
  /** `[B, H, K, V]`: the cotangent of the final state; zero where not given. */
  readonly dFinal?: Tensor;
  /** `[B, ⌈T / chunk⌉, H, K, V]`: the states at chunk starts; computed where not given. */
  readonly chunkStates?: Tensor;
  /** `[B, ⌈T / chunk⌉, H, K, V]`: where computed states, and the cotangents Λ at chunk ends, are to be kept. */
  readonly keptStates?: Tensor;
  readonly keptCotangents?: Tensor;
  readonly dq: Tensor;
  readonly dk: Tensor;
  readonly dv: Tensor;
  /** In the shape of g, and exactly where there is one; for factors by token, of their logarithms. The gradient of u is that of a sum of products: see models. */
  readonly dg?: Tensor;
  /** `[B, H, K, V]`. */
  readonly dInitial?: Tensor;
}

/** Extents of a run. */
export interface ChunkExtent {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
}

/** Throws an {@link InputError}. */
export function refuse(what: string): never {
  throw new InputError(`Cannot run chunks backward: ${what}`);
}

/** The extents of tensors that fit each other. Throws an {@link InputError} otherwise. */
export function checkedExtent(tensors: ChunkBackwardTensors, decay: Required<Decay>): ChunkExtent {
  const { q, k, v, g, u, dO, initial, dFinal, dq, dk, dv, dg, dInitial } = tensors;
  const { kind, form, per } = decay;
  assertShape("q", q, [-1, -1, -1, -1]);
  const [B, T, H, K] = q.shape as [number, number, number, number];
  assertShape("v", v, [B, T, H, -1]);
  const V = v.shape[3]!;
  for (const [name, n] of [["K", K], ["V", V]] as const) {
    if (n < 1 || n > 256) refuse(`${name} must be in 1 … 256, got ${n}`);
  }
  for (const [name, tensor] of [["k", k], ["dq", dq], ["dk", dk]] as const) assertShape(name, tensor, [B, T, H, K]);
  for (const [name, tensor] of [["dO", dO], ["dv", dv]] as const) assertShape(name, tensor, [B, T, H, V]);
  for (const [name, tensor] of [["initial", initial], ["dFinal", dFinal], ["dInitial", dInitial]] as const) {
    if (tensor !== undefined) assertShape(name, tensor, [B, H, K, V]);
  }
  if (per === "head" && kind !== "scalar") refuse(`a decay per head must be scalar, got ${kind}`);
  if (form === "factor" && kind === "diagonal") refuse("factors must be of a scalar decay, got them by key");
  const gates = gateShape(decay, { B, T, H, K });
  for (const [name, tensor] of [["g", g], ["dg", dg]] as const) {
    if (gates === undefined) {
      if (tensor !== undefined) refuse(`${name} must be absent without decay`);
    } else if (tensor === undefined) refuse(`a ${kind} decay needs ${name}, got none`);
    else assertShape(name, tensor, gates);
  }
  if (u !== undefined) {
    assertShape("u", u, [H, K]);
    if (kind !== "diagonal") refuse(`a bonus u needs a diagonal decay, got ${kind}`);
  }
  for (const [name, tensor] of Object.entries(tensors) as [string, Tensor][]) {
    if (tensor.dtype !== "f32") refuse(`${name} must be f32, got ${tensor.dtype}`);
    if (tensor.length >= 2 ** 31) refuse(`${name} must hold less than 2^31 numbers, got ${tensor.length}`);
  }
  return { B, T, H, K, V };
}
