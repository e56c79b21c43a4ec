/** What one forward kernel is compiled for, and what follows from it. */

import type { MatrixUnit } from "../matrix_unit.ts";
import type { DType } from "../tensor.ts";
import type { DecayKind } from "./family.ts";

/** Pairs s ≤ t in a block of 16 tokens. */
export const TRIANGLE = 136;

/** The tiles of a kernel. */
export interface Tiles {
  /** Tokens of a chunk, a multiple of 16. */
  readonly chunk: number;
  /** Columns of V that a workgroup owns, a multiple of 16. */
  readonly columns: number;
  /** Keys that are in workgroup memory at a time: 16, 32 or 64. */
  readonly slice: number;
  /** Elements between rows of an operand, beyond its columns; 0: operands lie tile by tile. */
  readonly pad: number;
  /** Invocations of a workgroup, a multiple of the unit's lanes. */
  readonly threads: number;
  /** Whether loops over an invocation's registers are written out; else the text is short, and quick to compile. */
  readonly unrolled: boolean;
  /** Invocations of a subgroup, if they exchange numbers: consecutive ones, as with a hardware unit. 0: they do not. */
  readonly subgroup: number;
}

export interface ForwardConfig extends Tiles {
  readonly kind: DecayKind;
  readonly form: "log" | "factor";
  readonly per: "token" | "head";
  /** Whether token t reads S_{t−1} and the bonus. */
  readonly pre: boolean;
  readonly K: number;
  readonly V: number;
  readonly unit: MatrixUnit;
  /** Of q, k, v and o. */
  readonly dtype: DType;
  readonly gateDtype: DType;
  /** `outputs`: o, and the final state. `ends`: the state and decay over a segment from zero, no outputs. */
  readonly pass: "outputs" | "ends";
  readonly initial: boolean;
  readonly final: boolean;
  /** Tokens from one state that is kept to the next, a multiple of the chunk; 0 where none is. */
  readonly statesEvery: number;
  readonly fault: "dropped-carry" | "swapped-operands" | undefined;
  /** WGSL to append to a stored number. */
  readonly factor: string;
}

/** Numbers that follow from a configuration. */
export interface Derived {
  readonly slices: number;
  readonly tilesOfV: number;
  /** Vectors of four keys in a row of a slice, and of four columns in a row of a tile of V. */
  readonly keyQuads: number;
  readonly columnQuads: number;
  /** Vectors of four that an invocation holds of q, k (and diagonal g), per slice; and of v. */
  readonly keyItems: number;
  readonly columnItems: number;
  /** Numbers of the state that an invocation holds, per slice. */
  readonly stateItems: number;
  /** Whether operands are halves, and so have to be scaled. */
  readonly scaled: boolean;
  readonly outputs: boolean;
  /** Blocks of 16 tokens in a chunk. */
  readonly blocks: number;
  readonly groups: number;
  /** Whether `Kᵀ V` of a chunk takes the place of its scores in workgroup memory. */
  readonly late: boolean;
  /** Whether sums over slices start from zeros in workgroup memory: a loop has no first slice in its text. */
  readonly clears: boolean;
  /** Places in the f32 workgroup array `sums`: outputs at 0, scores, Kᵀ V; its length. */
  readonly scoresAt: number;
  readonly updateAt: number;
  readonly sums: number;
  /** Bits that products of decays may add to what they multiply: factors by token stay below 2, not 1. */
  readonly headroom: number;
  /** ⌈log2⌉ of K and of the chunk. */
  readonly logK: number;
  readonly logChunk: number;
}

type Sized =
  & Pick<ForwardConfig, "kind" | "K" | "V" | "unit" | "pass">
  & Partial<Pick<ForwardConfig, "form" | "per">>
  & Tiles;

export function derive(config: Sized): Derived {
  const { kind, K, V, chunk, columns, slice, threads, unit, subgroup } = config;
  const outputs = config.pass === "outputs";
  const slices = Math.ceil(K / slice);
  const diagonal = kind === "diagonal";
  const late = !diagonal && slices === 1 && outputs;
  const scoresAt = outputs ? chunk * columns : 0;
  // In a diagonal kernel partial scores lie where Kᵀ V will.
  const scores = !outputs || diagonal ? 0 : chunk * chunk;
  const partial = diagonal && outputs && subgroup === 0 ? (slice / 4) * 256 : 0;
  const update = Math.max(slice * columns, partial);
  const updateAt = late ? scoresAt : scoresAt + scores;
  return {
    slices,
    tilesOfV: Math.ceil(V / columns),
    keyQuads: slice / 4,
    columnQuads: columns / 4,
    keyItems: Math.ceil(chunk * slice / 4 / threads),
    columnItems: Math.ceil(chunk * columns / 4 / threads),
    stateItems: Math.ceil(slice * columns / threads),
    scaled: unit.mode !== "f32",
    outputs,
    blocks: chunk / 16,
    groups: threads / unit.lanes,
    late,
    clears: !config.unrolled && slices > 1 && outputs,
    scoresAt,
    updateAt,
    sums: late ? scoresAt + Math.max(scores, update) : scoresAt + scores + update,
    headroom: config.form === "factor" && config.per === "token" ? 1 : 0,
    logK: Math.ceil(Math.log2(K)),
    logChunk: Math.log2(chunk),
  };
}

/** A workgroup array that is not an operand of products. */
export interface WorkgroupArray {
  readonly type: string;
  readonly count: number;
  readonly bytes: number;
}

/** The workgroup arrays of a kernel: operands by the number of their elements, and others. */
export function workgroupArrays(config: Sized & Pick<ForwardConfig, "per" | "pre">): {
  readonly operands: { readonly [name: string]: number };
  readonly words: { readonly [name: string]: WorkgroupArray };
} {
  const { kind, chunk, columns, slice, pad, per, pre, subgroup } = config;
  const d = derive(config);
  const diagonal = kind === "diagonal";
  const keys = chunk * (slice + pad);
  const values = chunk * (columns + pad);
  const scores = chunk * (chunk + pad);
  const operands = {
    ...(d.outputs ? { op_q: diagonal ? keys : Math.max(keys, scores) } : {}),
    op_k: keys,
    ...(d.outputs || kind !== "scalar" ? { op_v: values } : {}),
    ...(kind === "scalar" ? { op_w: values } : {}),
    ...(d.outputs ? { op_s: slice * (columns + pad) } : {}),
    ...(d.outputs && diagonal ? { op_p: scores } : {}),
  };
  const f32 = (count: number): WorkgroupArray => ({ type: "f32", count, bytes: 4 * count });
  const fours = (count: number): WorkgroupArray => ({ type: "vec4f", count: count / 4, bytes: 4 * count });
  const maxima = (count: number): WorkgroupArray => ({ type: "atomic<u32>", count, bytes: 4 * count });
  const words = {
    sums: f32(d.sums),
    ...(diagonal ? { gate: fours(chunk * slice), total: f32(d.slices * slice) } : {}),
    ...(diagonal && d.outputs ? { query: fours(chunk * slice) } : {}),
    ...(pre && d.outputs ? { value: fours(chunk * columns), bonus_of: f32(subgroup > 0 ? 16 : 4 * slice) } : {}),
    ...(kind === "scalar" && per === "token"
      ? { gate: f32(chunk), decay: f32(TRIANGLE * d.blocks), prefix: f32(chunk) }
      : {}),
    ...(kind === "scalar" && per === "head" ? { power: f32(chunk + 4) } : {}),
    // Largest magnitudes, of even and odd chunks: k, v, state, nothing; rows of q.
    ...(d.scaled ? { largest: maxima(8) } : {}),
    ...(d.scaled && d.outputs ? { rows: maxima(2 * chunk) } : {}),
  };
  return { operands, words };
}

/** Bytes of workgroup memory of a kernel. */
export function workgroupBytes(config: Sized & Pick<ForwardConfig, "per" | "pre">): number {
  const { operands, words } = workgroupArrays(config);
  // Every array may be aligned to 16 bytes.
  const aligned = (bytes: number): number => 16 * Math.ceil(bytes / 16);
  let bytes = 0;
  for (const count of Object.values(operands)) bytes += aligned(config.unit.bytes(count)) + 16;
  for (const array of Object.values(words)) bytes += aligned(array.bytes);
  return bytes;
}
