/** Workgroup counts beyond the 65,535 a device allows in one dimension. */

import { InputError } from "../models/error.ts";

/**
 * WGSL that undoes {@linkcode foldWorkgroups}: the flat index of a workgroup. The grid may hold a few workgroups more
 * than were asked for; the kernel returns early when the index is not below the count.
 */
export const flatWorkgroup: string = /* wgsl */ `
fn flat_workgroup(id: vec3u, grid: vec3u) -> u32 {
  return id.x + grid.x * (id.y + grid.y * id.z);
}
`;

/**
 * The smallest near-rectangular grid of at least `count` workgroups with no side above `limit`: one row while that
 * fits, then rows, then layers. Less than one row (or one layer) is surplus.
 *
 * @throws {InputError} when `count` is not an integer ≥ 0 or exceeds `limit³`.
 */
export function foldWorkgroups(count: number, limit = 65_535): [number, number, number] {
  if (!Number.isSafeInteger(count) || count < 0 || count > limit ** 3) {
    throw new InputError(`Cannot fold workgroups: count must be an integer in 0 … ${limit ** 3}, got ${count}`);
  }
  const z = Math.max(1, Math.ceil(count / limit ** 2));
  const layer = Math.ceil(count / z);
  const y = Math.max(1, Math.ceil(layer / limit));
  return [Math.ceil(layer / y), y, z];
}

/** @throws {InputError} when a side of the grid exceeds the device's limit. */
export function checkWorkgroups(label: string, grid: readonly number[], limit: number): void {
  for (const side of grid) {
    if (!Number.isInteger(side) || side < 0 || side > limit) {
      throw new InputError(
        `Cannot run ${label}: workgroups per dimension must be integers in 0 … ${limit}, got ${grid.join(" × ")}`,
      );
    }
  }
}
