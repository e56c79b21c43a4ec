/**
 * How the backward kernels of chunks lay their work out in a workgroup, and how much workgroup memory that takes.
 *
 * An invocation owns one key (column) of 16 consecutive tokens: `lid = block · slice + key`. Decays inside 16 tokens are
 * running products in its registers.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { Gpu } from "../gpu.ts";
import type { MatrixUnit } from "../matrix_unit.ts";

export type DecayKind = "none" | "scalar" | "diagonal";

/** Tokens of a block: what one invocation owns, and the side of a tile. */
export const BLOCK = 16;

/** The sizes of one workgroup. */
export interface ChunkLayout {
  readonly unit: MatrixUnit;
  readonly K: number;
  readonly V: number;
  /** Tokens of a chunk. */
  readonly chunk: number;
  /** Keys or values that are in workgroup memory at a time. */
  readonly slice: number;
  /** Columns of a state's slice that are in workgroup memory at a time. */
  readonly part: number;
  /** chunk / 16. */
  readonly blocks: number;
  readonly threads: number;
  /** Groups of the matrix unit. */
  readonly groups: number;
  /** Elements from one row of an operand to the next, for rows of so many. */
  stride(width: number): number;
  /** Whether operands are halves and have to be scaled. */
  readonly scaled: boolean;
  /** Whether loops over registers are written out, and K and V known to the text. */
  readonly unrolled: boolean;
  /** Whether one kernel does all gradients of a chunk, or one those of values and one those of keys. */
  readonly fused: boolean;
  /** K and V in WGSL. */
  readonly keys: string;
  readonly values: string;
  /** Whether rows of values are read as vectors of four. */
  readonly vectors: boolean;
}

export interface LayoutChoice {
  readonly chunk?: number | undefined;
  readonly slice?: number | undefined;
  readonly part?: number | undefined;
  /** Default: except on software adapters, which take the square of a text's length to compile it. */
  readonly unrolled?: boolean | undefined;
  /** Default true. */
  readonly fused?: boolean | undefined;
}

/** Numbers of the scratch array of sums: a chunk by a slice, by a chunk and one, four levels of 16 × 16 tiles a block. */
export function scratchNumbers({ chunk, slice }: Pick<ChunkLayout, "chunk" | "slice">): number {
  return chunk * Math.max(slice, chunk + 1, 4 * BLOCK);
}

/** Numbers of the operand that holds a state's part, and now and then a chunk of tokens. */
export function stateNumbers({ chunk, slice, part, stride }: ChunkLayout): number {
  return Math.max(slice * stride(part), chunk * stride(slice));
}

/** Bytes of workgroup memory of the kernel of gradients. */
export function layoutBytes(layout: ChunkLayout): number {
  const { unit, chunk, slice, threads, stride } = layout;
  const operands = 2 * chunk * stride(slice) + stateNumbers(layout) + chunk * stride(chunk);
  const tables = 4 * (3 * threads + slice + 2 * (Math.log2(chunk) + 1) * chunk + 4 * chunk + 32);
  return unit.bytes(operands) + 4 * scratchNumbers(layout) + tables;
}

function layoutOf(
  unit: MatrixUnit,
  { K, V }: { readonly K: number; readonly V: number },
  { chunk, slice, part }: { readonly chunk: number; readonly slice: number; readonly part: number },
  { unrolled, fused }: { readonly unrolled: boolean; readonly fused: boolean },
): ChunkLayout {
  const blocks = chunk / BLOCK;
  const threads = slice * blocks;
  // Rows of operands start at different banks; hardware wants them at multiples of 16 bytes.
  const pad = unit.hardware ? 8 : 4;
  return {
    unit,
    K,
    V,
    chunk,
    slice,
    part,
    blocks,
    threads,
    groups: Math.floor(threads / unit.lanes),
    stride: (width) => width + pad,
    scaled: unit.mode !== "f32",
    unrolled,
    fused,
    keys: unrolled ? `${K}u` : "extent.K",
    values: unrolled ? `${V}u` : "extent.V",
    vectors: unrolled && V % 4 === 0,
  };
}

/**
 * The layout of a device: the first that fits of chunks of 32 and 16 tokens, slices of 64 and 32, whole states and halves
 * of them. Throws an {@link InputError} where a choice does not fit.
 */
export function chooseLayout(
  gpu: Gpu,
  unit: MatrixUnit,
  extent: { readonly K: number; readonly V: number },
  choice: LayoutChoice,
): ChunkLayout {
  const memory = gpu.limits.maxComputeWorkgroupStorageSize;
  const invocations = gpu.limits.maxComputeInvocationsPerWorkgroup;
  const chunks = choice.chunk === undefined ? [32, 16] : [choice.chunk];
  const slices = choice.slice === undefined ? (Math.max(extent.K, extent.V) > 32 ? [64, 32] : [32]) : [choice.slice];
  const text = { unrolled: choice.unrolled ?? !gpu.adapter.software, fused: choice.fused ?? true };
  for (const chunk of chunks) {
    for (const slice of slices) {
      for (const part of choice.part === undefined ? [slice, slice / 2] : [choice.part]) {
        if (![16, 32, 64].includes(chunk) || ![32, 64].includes(slice) || ![slice, slice / 2].includes(part)) continue;
        const layout = layoutOf(unit, extent, { chunk, slice, part }, text);
        if (layout.threads > invocations || layout.groups < 1 || layoutBytes(layout) > memory) continue;
        return layout;
      }
    }
  }
  throw new InputError(
    `Cannot run chunks backward: chunk must be 16, 32 or 64, slice 32 or 64, part the slice or half of it, in ` +
      `${memory} bytes of workgroup memory and ${invocations} invocations, got chunk ${choice.chunk ?? "any"}, ` +
      `slice ${choice.slice ?? "any"}, part ${choice.part ?? "any"}`,
  );
}
