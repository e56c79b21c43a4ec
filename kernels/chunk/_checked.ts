/** What the forward kernel's tensors must be like. */

import { InputError } from "../../models/error.ts";
import { assertShape, type Tensor } from "../tensor.ts";
import { type Decay, gateShape } from "./family.ts";

/** Inputs and outputs, canonical (family.ts). q, k, v and o have one type; states are f32. */
export interface ChunkTensors {
  /** `[B, T, H, K]`. */
  readonly q: Tensor;
  readonly k: Tensor;
  /** `[B, T, H, V]`. */
  readonly v: Tensor;
  /** `[B, T, H]`, `[H]` or `[B, T, H, K]`, as the decay says. */
  readonly g?: Tensor;
  /** `[H, K]`, f32: the bonus. With it, token t reads S_{t−1} + diag(u) k_t v_tᵀ. Diagonal decays only. */
  readonly u?: Tensor;
  /** `[B, T, H, V]`. */
  readonly o: Tensor;
  /** `[B, H, K, V]`; zero where not given. */
  readonly initial?: Tensor;
  /** `[B, H, K, V]`. */
  readonly final?: Tensor;
  /** `[B, ⌈T / chunk⌉, H, K, V]`: the state before every chunk, of as many tokens as asked for. */
  readonly chunkStates?: Tensor;
}

/** The extents of tensors. Throws an {@link InputError} where they do not fit each other, the decay or the kernel. */
export function checkedExtent(tensors: ChunkTensors, { kind, per, form }: Required<Decay>): {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly K: number;
  readonly V: number;
} {
  const { q, k, v, g, u, o, initial, final } = tensors;
  assertShape("q", q, [-1, -1, -1, -1]);
  const [B, T, H, K] = q.shape as [number, number, number, number];
  assertShape("k", k, [B, T, H, K]);
  assertShape("v", v, [B, T, H, -1]);
  const V = v.shape[3]!;
  assertShape("o", o, [B, T, H, V]);
  const refuse = (what: string): never => {
    throw new InputError(`Cannot run in chunks: ${what}`);
  };
  for (const [name, n] of [["K", K], ["V", V]] as const) {
    if (n < 1 || n > 256) refuse(`${name} must be in 1 … 256, got ${n}`);
  }
  const gates = gateShape({ kind, per, form }, { B, T, H, K });
  if (per === "head" && kind !== "scalar") refuse(`a decay per head must be scalar, got ${kind}`);
  if (gates !== undefined) {
    if (g === undefined) return refuse(`a ${kind} decay needs g, got none`);
    assertShape("g", g, gates);
  } else if (g !== undefined) refuse("g must be absent without decay");
  if (u !== undefined) {
    assertShape("u", u, [H, K]);
    if (kind !== "diagonal") refuse(`a bonus u needs a diagonal decay, got ${kind}`);
  }
  for (const [name, state] of [["initial", initial], ["final", final], ["u", u]] as const) {
    if (state === undefined) continue;
    if (name !== "u") assertShape(name, state, [B, H, K, V]);
    if (state.dtype !== "f32") refuse(`${name} must be f32, got ${state.dtype}`);
  }
  for (const [name, { dtype }] of [["k", k], ["v", v], ["o", o]] as const) {
    if (dtype !== q.dtype) refuse(`${name} must have the type of q, ${q.dtype}, got ${dtype}`);
  }
  if (q.dtype === "f16" && V % 2 !== 0) refuse(`V must be even for halves, got ${V}`);
  if (initial !== undefined && initial.buffer === final?.buffer) refuse("initial and final must be two buffers");
  return { B, T, H, K, V };
}
