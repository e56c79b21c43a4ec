/** What the kernel of chunks on matrix units is compiled for, and the workgroup memory it takes. */

import type { MatrixUnit } from "../matrix_unit.ts";
import type { DType } from "../tensor.ts";

export interface UnitsConfig {
  readonly kind: "none" | "scalar";
  readonly form: "log" | "factor";
  readonly per: "token" | "head";
  readonly K: number;
  readonly V: number;
  /** Tokens of a chunk: 16, 32 or 64. */
  readonly chunk: number;
  /** Columns of V that a workgroup carries the state of, a multiple of 16 that divides V. */
  readonly columns: number;
  readonly threads: number;
  readonly unit: MatrixUnit;
  /** Elements of an operand, and of f32 sums, between two rows. */
  readonly pad: number;
  /** Whether loops over an invocation's registers are written out. */
  readonly unrolled: boolean;
  /** Invocations of a subgroup that find a largest number together; 0: they meet in workgroup memory. */
  readonly subgroup: number;
  /** Of q, k, v and o. */
  readonly dtype: DType;
  readonly gateDtype: DType;
  readonly initial: boolean;
  readonly final: boolean;
  readonly fault: "dropped-carry" | "swapped-operands" | undefined;
  /** WGSL to append to a stored number. */
  readonly factor: string;
}

/** Whether operands are halves, and so have to be scaled. */
export function scaled({ unit }: Pick<UnitsConfig, "unit">): boolean {
  return unit.mode !== "f32";
}

/** Whether inputs are the very halves that products are of: they need no scale unless a decay is to be rounded into them. */
export function halvesAsTheyAre({ unit, dtype }: Pick<UnitsConfig, "unit" | "dtype">): boolean {
  return unit.mode === "f16" && dtype === "f16";
}

/** Numbers of one 16-byte load from a tensor. */
export function lanesOf(dtype: DType): 4 | 8 {
  return dtype === "f32" ? 4 : 8;
}

type Sized = Pick<UnitsConfig, "kind" | "K" | "chunk" | "columns" | "unit" | "pad">;

/** The array that an operand lies in: of its own, or one that it shares with others in turn. */
export interface Places {
  readonly q: string;
  /** q with the decays from the chunk's start. */
  readonly decayedQ: string;
  readonly k: string;
  /** k with the decays until the chunk's end. */
  readonly decayedK: string;
  readonly v: string;
  readonly scores: string;
  readonly state: string;
}

/**
 * Where fragments are held in registers an array is free as soon as they are: q, k and scores take turns in one, decayed q, v and
 * decayed k in another. So all fits the 48 KiB that a GPU has for 64 tokens, 64 keys and 64 columns.
 */
export function placesOf({ unit }: Pick<UnitsConfig, "unit">): Places {
  return unit.holds
    ? { q: "op_a", k: "op_a", scores: "op_a", decayedQ: "op_b", v: "op_b", decayedK: "op_b", state: "op_s" }
    : { q: "op_q", k: "op_k", scores: "op_p", decayedQ: "op_r", v: "op_v", decayedK: "op_e", state: "op_s" };
}

/** Elements of operands, numbers of f32 sums, and words of gates, decays and largest numbers. */
export interface Arrays {
  readonly operands: { readonly [name: string]: number };
  readonly sums: number;
  readonly words: number;
}

/** The workgroup arrays. */
export function arraysOf(config: Sized): Arrays {
  const { kind, K, chunk, columns, pad } = config;
  const at = placesOf(config);
  const keys = chunk * (K + pad);
  const wanted: readonly (readonly [string, number])[] = [
    [at.q, keys],
    [at.k, keys],
    [at.scores, chunk * (chunk + pad)],
    ...(kind === "none" ? [] : [[at.decayedQ, keys], [at.decayedK, keys]] as const),
    [at.v, chunk * (columns + pad)],
    [at.state, K * (columns + pad)],
  ];
  const operands: Record<string, number> = {};
  for (const [name, count] of wanted) operands[name] = Math.max(operands[name] ?? 0, count);
  return {
    operands,
    sums: Math.max(chunk * (chunk + pad), chunk * (columns + pad), K * (columns + pad)),
    words: 10 * chunk + 4,
  };
}

/** Bytes of workgroup memory. */
export function arrayBytes(config: Sized): number {
  const { operands, sums, words } = arraysOf(config);
  return Object.values(operands).reduce((bytes, count) => bytes + config.unit.bytes(count), 4 * (sums + words));
}
