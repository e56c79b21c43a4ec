/**
 * How a selective scan is cut up: which lanes hold which modes, how many channels a workgroup has, how many tokens are
 * staged at a time, how many segments of time run at once.
 *
 * A lane holds `modes` modes of one channel; `lanes` lanes hold the channel. The more lanes, the more invocations there
 * are to hide latencies with, and the more there is to sum across lanes.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { Gpu } from "../gpu.ts";
import type { SelectiveLayout, SelectiveShape } from "./tensors.ts";

/** What a caller may choose; everything has a default by shape and device. */
export interface SelectiveTuning {
  /** Modes of a channel in one lane, a power of two. */
  readonly modes?: number | undefined;
  /** Invocations of a workgroup, a power of two. */
  readonly threads?: number | undefined;
  /** Tokens staged at a time: a multiple of 4, a power of two. */
  readonly tile?: number | undefined;
  /** Parts of the sequence that run at once, each from its own incoming state; at most one per tile. */
  readonly segments?: number | undefined;
  /** Sum across the lanes of a channel by subgroup shuffles, or through workgroup memory. */
  readonly reduce?: "shuffle" | "memory" | undefined;
  /** Whether the lanes of one channel are next to each other in a subgroup, or as far apart as they can be. */
  readonly order?: "near" | "far" | undefined;
  /** Load the next tile while the present one is computed. */
  readonly prefetch?: boolean | undefined;
  /** WGSL's own exponential, or a polynomial of near full accuracy. */
  readonly exp?: "native" | "accurate" | undefined;
}

/** All that a kernel's text depends on, but for its inputs and outputs. */
export interface Tiling {
  readonly layout: SelectiveLayout;
  /** Whether four consecutive tokens of a channel can be read as one vector. */
  readonly vectors: boolean;
  readonly N: number;
  readonly modes: number;
  /** Lanes of a channel. */
  readonly lanes: number;
  /** Channels of a workgroup. */
  readonly channels: number;
  readonly threads: number;
  readonly tile: number;
  readonly reduce: "shuffle" | "memory";
  /** Lanes that are summed over without workgroup memory: a subgroup, or all threads where there are no shuffles. */
  readonly subgroup: number;
  readonly order: "near" | "far";
  readonly prefetch: boolean;
  readonly exp: "native" | "accurate";
}

/** A tiling, and how time is cut. */
export interface Tiled {
  readonly tiling: Tiling;
  /** Channel blocks. */
  readonly blocks: number;
  readonly segments: number;
  /** A multiple of the tile. */
  readonly segmentTokens: number;
}

/** The passes differ in what they keep in workgroup memory. */
export interface TilingRules {
  readonly tile: number;
  /** A lane's modes where nothing else is said and there are four times as many. */
  readonly modes: number;
  /** Floats of workgroup memory. */
  floats(tiling: Tiling): number;
}

/** Invocations up to which more segments are taken: sixteen subgroups of 32 for each of 132 multiprocessors. */
const BUSY = 16 * 132 * 32;

const powerOfTwo = (x: number): number => 2 ** Math.ceil(Math.log2(Math.max(x, 1)));
const isPowerOfTwo = (x: number): boolean => Number.isSafeInteger(x) && x >= 1 && powerOfTwo(x) === x;

function checked(name: string, value: number | undefined, least: number, most: number): void {
  if (value === undefined || isPowerOfTwo(value) && value >= least && value <= most) return;
  throw new InputError(
    `Cannot run selective scan: ${name} must be a power of two in ${least} … ${most}, got ${value}`,
  );
}

/** Vectors of four tokens in a row of a tile in workgroup memory; one more than needed, against bank conflicts. */
export function rowOf({ tile }: Tiling): number {
  return tile / 4 + 1;
}

/** Modes of a channel with those that only fill up its lanes. */
export function paddedModes({ modes, lanes }: Tiling): number {
  return modes * lanes;
}

/**
 * Chooses a tiling for a shape on a device. Throws an {@link InputError} where an option is no power of two or out of
 * range, or where the modes do not fit the device's workgroup memory.
 */
export function chooseTiling(
  gpu: Gpu,
  layout: SelectiveLayout,
  shape: SelectiveShape,
  tuning: SelectiveTuning,
  rules: TilingRules,
): Tiled {
  const { B, T, D, N } = shape;
  const { maxComputeInvocationsPerWorkgroup: most, maxComputeWorkgroupStorageSize: memory } = gpu.limits;
  checked("modes", tuning.modes, 1, 64);
  checked("threads", tuning.threads, 1, most);
  checked("tile", tuning.tile, 4, 256);
  const fixed = gpu.subgroups !== undefined && gpu.subgroups.min === gpu.subgroups.max ? gpu.subgroups.max : undefined;
  if (tuning.reduce === "shuffle" && fixed === undefined) {
    throw new InputError(
      "Cannot run selective scan: reduce shuffle needs subgroups of one size, got " +
        (gpu.subgroups === undefined ? "none" : `${gpu.subgroups.min} to ${gpu.subgroups.max}`),
    );
  }
  let modes = tuning.modes ?? Math.min(rules.modes, Math.max(1, powerOfTwo(N) / 4));
  while (modes * Math.min(32, most) < N) modes *= 2;
  const lanes = powerOfTwo(N / modes);
  const fits = fixed !== undefined && lanes <= fixed && fixed <= most;
  if (tuning.reduce === "shuffle" && !fits) {
    throw new InputError(
      `Cannot run selective scan: the ${lanes} lanes of a channel must fit a subgroup of ${fixed}; raise modes`,
    );
  }
  // Two channels or more in a subgroup, or sums over channels gain nothing from shuffles.
  const shuffle = tuning.reduce === "shuffle" || tuning.reduce === undefined && fits && 2 * lanes <= fixed;
  const least = shuffle ? fixed! : 1;
  const threads = Math.max(
    least,
    lanes,
    Math.min(tuning.threads ?? Math.min(128, most), Math.max(lanes * powerOfTwo(D), least)),
  );
  const build = (threads: number, tile: number): Tiling => ({
    layout,
    vectors: layout === "channels-first" && T % 4 === 0 && T > 0,
    N,
    modes,
    lanes,
    channels: threads / lanes,
    threads,
    tile,
    reduce: shuffle ? "shuffle" : "memory",
    subgroup: shuffle ? fixed! : threads,
    order: tuning.order ?? (shuffle ? "far" : "near"),
    // A processor that plays a GPU has no such latency, and takes twice as long to compile.
    prefetch: tuning.prefetch ?? !gpu.adapter.software,
    exp: tuning.exp ?? "native",
  });
  // At most two items of a tile in each invocation: they are unrolled.
  let tiling = build(threads, tuning.tile ?? Math.min(rules.tile, 8 * lanes));
  const over = (): boolean => 4 * rules.floats(tiling) > memory;
  while (over() && tuning.tile === undefined && tiling.tile > 8) tiling = build(tiling.threads, tiling.tile / 2);
  while (over() && tuning.threads === undefined && tiling.threads / 2 >= Math.max(least, lanes)) {
    tiling = build(tiling.threads / 2, tiling.tile);
  }
  if (over()) {
    throw new InputError(
      `Cannot run selective scan: workgroup memory must be ≤ ${memory} bytes (the device's ` +
        `maxComputeWorkgroupStorageSize), got ${
          4 * rules.floats(tiling)
        } for N = ${N}, ${tiling.threads} threads and ` +
        `tiles of ${tiling.tile} tokens`,
    );
  }
  const blocks = Math.ceil(D / tiling.channels);
  const tiles = Math.max(1, Math.ceil(T / tiling.tile));
  if (tuning.segments !== undefined && !(Number.isSafeInteger(tuning.segments) && tuning.segments >= 1)) {
    throw new InputError(`Cannot run selective scan: segments must be an integer ≥ 1, got ${tuning.segments}`);
  }
  // A segment's pair costs as many exponentials as its outputs, so few segments, and none shorter than four tiles.
  const wanted = tuning.segments ??
    Math.max(1, Math.min(Math.floor(BUSY / (B * blocks * tiling.threads)), Math.floor(tiles / 4)));
  const each = Math.ceil(tiles / Math.min(wanted, tiles));
  return { tiling, blocks, segments: Math.ceil(tiles / each), segmentTokens: each * tiling.tile };
}

/** A tiling in words, for `plan.variant`. */
export function tilingText({ tiling, segments }: Tiled): string {
  const { threads, channels, modes, tile, reduce, order, exp, prefetch } = tiling;
  return [
    `${threads} threads`,
    `${channels} channels`,
    `${modes} modes per lane (${order})`,
    `tiles of ${tile}`,
    ...(segments === 1 ? [] : [`${segments} segments`]),
    reduce === "shuffle" ? "subgroups" : "shared memory",
    `${exp} exp`,
    ...(prefetch ? ["prefetch"] : []),
  ].join(", ");
}
