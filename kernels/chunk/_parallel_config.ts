/** What the kernels of chunks side by side are compiled for, and the workgroup memory they take. */

import type { MatrixUnit } from "../matrix_unit.ts";
import type { DType } from "../tensor.ts";

/** The part of a sequence's state that a workgroup carries from chunk to chunk. */
export interface StateTiles {
  /** Keys and columns of V, multiples of 16 that divide K and V. */
  readonly keys: number;
  readonly columns: number;
  readonly threads: number;
  /** Chunks whose k and v are on their way while one is multiplied: 1 or 2. */
  readonly ahead: number;
}

/** The part of a chunk's outputs that a workgroup makes. */
export interface OutputTiles {
  /** Tokens, a multiple of 16 that divides the chunk. */
  readonly rows: number;
  /** Columns, a multiple of 16 that divides V. */
  readonly columns: number;
  readonly threads: number;
}

export interface ParallelConfig {
  readonly kind: "none" | "scalar";
  readonly form: "log" | "factor";
  readonly per: "token" | "head";
  readonly K: number;
  readonly V: number;
  /** Tokens of a chunk: 16, 32 or 64. */
  readonly chunk: number;
  readonly unit: MatrixUnit;
  /** Elements of an operand between two rows. */
  readonly pad: number;
  /** Whether loops over an invocation's registers are written out. */
  readonly unrolled: boolean;
  /** Invocations of a subgroup that find a largest number together; 0: they meet in workgroup memory. */
  readonly subgroup: number;
  /** Of q, k, v and o. */
  readonly dtype: DType;
  readonly gateDtype: DType;
  /**
   * Of states between the kernels. `f16`: of one scale a tile and chunk, 2^(15 − e) with e the exponent above the tile's
   * largest, which lies beside them; only where operands are halves anyway.
   */
  readonly stateDtype: DType;
  readonly initial: boolean;
  readonly final: boolean;
  readonly fault: "dropped-carry" | "swapped-operands" | undefined;
  /** WGSL to append to a stored number. */
  readonly factor: string;
}

/** Whether operands are halves, and so have to be scaled. */
export function scaled({ unit }: Pick<ParallelConfig, "unit">): boolean {
  return unit.mode !== "f32";
}

/** Whether inputs are the very halves that products are of: they need no scale unless a decay is to be rounded into them. */
export function halvesAsTheyAre({ unit, dtype }: Pick<ParallelConfig, "unit" | "dtype">): boolean {
  return unit.mode === "f16" && dtype === "f16";
}

/** Numbers of one 16-byte load from a tensor. */
export function lanesOf(dtype: DType): 4 | 8 {
  return dtype === "f32" ? 4 : 8;
}

type Sized = Pick<ParallelConfig, "K" | "V" | "chunk" | "unit" | "pad">;

/** Elements of operands, numbers of f32 sums, and words of gates, decays and largest numbers. */
export interface Arrays {
  readonly operands: { readonly [name: string]: number };
  readonly sums: number;
  readonly words: number;
}

/** Vectors of four from one row of decays inside a block of 16 tokens to the next: one more, so that rows lie in other banks. */
export const PAIR_QUADS = 5;

/** The workgroup arrays of the states' kernel: k and v of a chunk, and what they add to the state. */
export function stateArrays({ chunk, pad }: Sized, { keys, columns }: StateTiles): Arrays {
  return {
    operands: { op_k: chunk * (keys + pad), op_v: chunk * (columns + pad) },
    sums: keys * (columns + pad),
    words: 3 * chunk + 16,
  };
}

/** Those of the outputs' kernel: q, then scores; k, then the state, then v. */
export function outputArrays({ K, chunk, pad }: Sized, { rows, columns }: OutputTiles): Arrays {
  const wide = Math.max(columns, K);
  return {
    operands: {
      op_a: rows * (Math.max(K, chunk) + pad),
      op_b: Math.max(chunk * (wide + pad), K * (columns + pad)),
    },
    sums: rows * (Math.max(chunk, columns) + pad),
    words: (4 * PAIR_QUADS + 3) * chunk + 16,
  };
}

/** Bytes of workgroup memory. */
export function arrayBytes({ unit }: Sized, { operands, sums, words }: Arrays): number {
  return Object.values(operands).reduce((bytes, count) => bytes + unit.bytes(count), 4 * (sums + words));
}
