/** The choice of tiles for a device and a shape. */

import { InputError } from "../../models/error.ts";
import type { Gpu } from "../gpu.ts";
import type { MatrixUnit } from "../matrix_unit.ts";
import { type Tiles, workgroupBytes } from "./_config.ts";
import { DIAGONAL_CHUNK } from "./_diagonal.ts";
import type { Decay } from "./family.ts";

/** What a caller may fix; the rest is chosen. */
export interface TileChoice extends Partial<Omit<Tiles, "subgroup">> {
  /** Whether invocations exchange numbers in subgroups. Default: on tiles with a hardware unit. */
  readonly subgroups?: boolean;
}

const up16 = (n: number): number => 16 * Math.ceil(n / 16);

function check(what: string, value: number, constraint: string, holds: boolean): void {
  if (!holds) throw new InputError(`Cannot run in chunks: ${what} must be ${constraint}, got ${value}`);
}

/** The size of subgroups, 0 for none. Throws where they are asked for and have no one size. */
export function subgroupOf(gpu: Gpu, unit: MatrixUnit, asked: boolean | undefined): number {
  if (!(asked ?? unit.hardware)) return 0;
  if (unit.hardware) return unit.lanes;
  const { min, max } = gpu.subgroups ?? { min: 0, max: 0 };
  if (min === 0 || min !== max || min > unit.lanes) {
    throw new InputError(
      `Cannot run in chunks: subgroups must have one size of at most ${unit.lanes}, they have ${min} to ${max}`,
    );
  }
  return min;
}

/**
 * The largest tiles that fit the device's workgroup memory: whole rows of keys rather than slices, 32 tokens rather than
 * 16 (a diagonal decay: 16; a chunk that is asked for is taken in such pieces where it does not fit), 32 columns of V rather than 16. Throws an {@link InputError} if what was asked for does not fit.
 */
export function chooseTiles(
  gpu: Gpu,
  { K, V, decay, pre, unit }: {
    readonly K: number;
    readonly V: number;
    readonly decay: Decay;
    readonly pre: boolean;
    readonly unit: MatrixUnit;
  },
  asked: TileChoice = {},
): Tiles {
  const { kind, per = "token" } = decay;
  const { maxComputeWorkgroupStorageSize: memory, maxComputeInvocationsPerWorkgroup: most } = gpu.limits;
  const threads = asked.threads ?? Math.min(unit.hardware ? 256 : 128, most - most % unit.lanes);
  check(
    "threads",
    threads,
    `a multiple of ${unit.lanes} from ${kind === "none" ? unit.lanes : 64} to ${most}`,
    threads % unit.lanes === 0 && threads <= most && threads >= (kind === "none" ? unit.lanes : 64),
  );
  const whole = asked.chunk ?? 32;
  check("chunk", whole, "16, 32 or 64", whole === 16 || whole === 32 || whole === 64);
  const chunks = kind === "diagonal" ? [DIAGONAL_CHUNK] : [64, 32, 16].filter((n) => n <= whole);
  const columns = asked.columns !== undefined ? [asked.columns] : [32, 16].filter((n) => n <= up16(V));
  const least = K <= 16 ? 16 : K <= 32 ? 32 : 64;
  const slices = asked.slice !== undefined ? [asked.slice] : [64, 32, 16].filter((n) => n <= least);
  const pads = asked.pad !== undefined ? [asked.pad] : unit.hardware ? [8, 0] : [0];
  const unrolled = asked.unrolled ?? unit.hardware;
  const subgroup = subgroupOf(gpu, unit, asked.subgroups);
  for (const n of columns) check("columns", n, "a multiple of 16", n >= 16 && n % 16 === 0);
  for (const n of slices) check("slice", n, "16, 32 or 64", n === 16 || n === 32 || n === 64);
  for (const n of pads) check("pad", n, "a multiple of 8", Number.isInteger(n) && n >= 0 && n % 8 === 0);
  let fewest = Infinity;
  for (const slice of slices) {
    for (const chunk of chunks) {
      for (const width of columns) {
        if (subgroup > 0 && slice / 4 > subgroup) continue;
        for (const pad of pads) {
          const tiles: Tiles = { chunk, columns: width, slice, pad, threads, unrolled, subgroup };
          const bytes = workgroupBytes({ kind, per, pre, K, V, unit, pass: "outputs", ...tiles });
          if (bytes <= memory) return tiles;
          fewest = Math.min(fewest, bytes);
        }
      }
    }
  }
  throw new InputError(
    `Cannot run in chunks: the tiles take at least ${fewest} bytes of workgroup memory, the device has ${memory}`,
  );
}
