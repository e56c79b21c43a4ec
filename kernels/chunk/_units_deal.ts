/** How a workgroup's groups of lanes share rows and columns of tiles. */

/** The largest divisor of n that is at most `most`. */
export function divisorUpTo(n: number, most: number): number {
  let divisor = Math.max(1, Math.min(n, most));
  while (n % divisor !== 0) divisor--;
  return divisor;
}

/** How groups share tiles: each has `across` neighbouring columns of tiles, and every `apart`-th row of them. */
export interface Deal {
  readonly apart: number;
  readonly blocks: number;
  readonly groups: number;
}

/** Statement: `text` for a group's `n`-th row of tiles, if it has one among `rows`. */
export function ownRow({ apart, blocks, groups }: Deal, rows: number, n: number, text: string): string {
  const conditions = [
    ...(apart * (n + 1) <= rows ? [] : [`own_row + ${apart * n}u < ${rows}u`]),
    ...(apart * blocks === groups ? [] : [`own_row < ${apart}u`]),
  ];
  return conditions.length === 0 ? text : `if (${conditions.join(" && ")}) {\n${text}\n}`;
}
