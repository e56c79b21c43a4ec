/** How a matrix unit's product is spread over workgroups: the numbers that can be tuned. */

import { InputError } from "../../models/error.ts";

export interface TileTuning {
  /** Tiles of 16 × 16 that a group of lanes (a subgroup) holds. */
  readonly rows?: number;
  readonly columns?: number;
  /** Groups of a workgroup, down and across. */
  readonly down?: number;
  readonly across?: number;
  /** Tiles along the sum that are brought into workgroup memory together. */
  readonly unroll?: number;
  /** Rows of workgroups that walk the columns together, for the sake of the cache. */
  readonly swizzle?: number;
  /** Whether the next tiles are read into registers while these are multiplied; default: where workgroups are few and small. */
  readonly ahead?: boolean;
}

export type Tiling = Required<TileTuning>;

/** Throws an {@link InputError} if a number is not a positive integer. */
export function tilingOf(tuning: TileTuning, defaults: Tiling): Tiling {
  const tiling = { ...defaults, ...tuning };
  const { ahead: _, ...numbers } = tiling;
  for (const [name, value] of Object.entries(numbers)) {
    if (Number.isInteger(value) && value >= 1) continue;
    throw new InputError(`Cannot multiply: ${name} must be an integer ≥ 1, got ${value}`);
  }
  return tiling;
}

export interface Block {
  /** Tiles of a workgroup, down and across. */
  readonly down: number;
  readonly across: number;
}

export const blockOf = ({ rows, columns, down, across }: Tiling): Block => ({
  down: rows * down,
  across: columns * across,
});

/**
 * WGSL: from the flat index `group` to `tile_row` and `tile_column` (of workgroups), `part` and `batch`. A band of `swizzle`
 * rows walks the columns together, so that what workgroups at work read at a time fits the cache.
 */
export function placeOf(
  { down, across, parts, swizzle }: {
    /** WGSL. */
    readonly down: string;
    readonly across: string;
    readonly parts: string;
    readonly swizzle: number;
  },
): string {
  return /* wgsl */ `
  let inside = group % (${down} * ${across});
  let part = group / (${down} * ${across}) % ${parts};
  let batch = group / (${down} * ${across} * ${parts});
  let band = inside / (${swizzle}u * ${across}) * ${swizzle}u;
  let height = min(${down} - band, ${swizzle}u);
  let tile_row = band + inside % (${swizzle}u * ${across}) % height;
  let tile_column = inside % (${swizzle}u * ${across}) / height;
`;
}
