/**
 * How a workgroup divides the state of one sequence: who holds which entries in registers.
 *
 * A *lane group* of G invocations holds N columns of the state, each invocation R rows of them (in fours,
 * G·4 rows apart, so that a group reads consecutive words of k and q). What goes over K (kᵀS, qᵀS) is a sum over the R rows in
 * registers, then over the group: by subgroup shuffles, or through workgroup memory where there are none. A workgroup
 * holds `threads / G` groups, all of one sequence; it walks through the tokens in blocks that are staged in
 * workgroup memory, the next block's loads in flight meanwhile.
 *
 * Groups of a subgroup are interleaved, so that neighbouring invocations hold the same rows of different columns: a load of 16
 * bytes whose addresses neighbours share takes workgroup memory half as long on an H200 as one whose do not (2.0 and
 * 3.65 clocks of a multiprocessor), and such loads are what these kernels wait for.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { Gpu } from "../gpu.ts";

/** Tunings; by default chosen for the device and shape. */
export interface TileOptions {
  /** R, a multiple of 4. */
  readonly rows?: number;
  /** N: 1, 2 or 4. */
  readonly columns?: number;
  /** Invocations of a workgroup, at most. */
  readonly threads?: number;
  /** Tokens staged at a time, a power of two, at most. */
  readonly block?: number;
  /** Add up within groups by subgroup shuffles. */
  readonly subgroups?: boolean;
  /** Groups whose invocations lie between one another's, a power of two, at most; with subgroups. */
  readonly interleaved?: number;
  /**
   * Tokens whose outputs are added up together, a power of two, at most; with subgroups. Default: {@linkcode TOGETHER} steps, half as
   * many of RWKV-7.
   */
  readonly unroll?: number;
  /** Whether whole blocks are loaded, walked through and stored by a text of their own, which does not look. Default: on hardware. */
  readonly unchecked?: boolean;
}

/** The chosen division. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
  /** G, a power of two. */
  readonly group: number;
  /** Groups whose invocations lie between one another's, a power of two: invocation l of such a group is l · interleaved on. */
  readonly interleaved: number;
  /** Invocations of a workgroup. */
  readonly threads: number;
  /** Columns of a workgroup: invocations from G · width / N on only help to stage. */
  readonly width: number;
  readonly block: number;
  /** Tokens whose outputs are added up together: a power of two ≤ G and ≤ block. */
  readonly unroll: number;
  readonly subgroups: boolean;
  /** Whether whole blocks are loaded and stored without looking whether they are there. */
  readonly unchecked: boolean;
  /** Whether all blocks are whole, so that there is no text for others; only with {@linkcode unchecked}. */
  readonly whole: boolean;
  /** In words, for plans. */
  readonly text: string;
}

/** What the kernel stages and keeps, per token. */
export interface TileDemand {
  /** What cannot be done where an option cannot be met, as messages begin. */
  readonly purpose: "plan a delta rule" | "walk";
  readonly sequences: number;
  /** Tokens of a sequence; pieces of it that a workgroup takes by itself are as long as blocks, or several of them. */
  readonly tokens: number;
  readonly K: number;
  readonly V: number;
  /** Vectors of K numbers, of V numbers, and single numbers, staged per token. */
  readonly staged: { readonly K: number; readonly V: number; readonly none: number };
  /** Steps that the state takes a token; default 1. */
  readonly microSteps?: number;
  /** Steps of the state that a loop's body writes out; default {@linkcode TOGETHER}. */
  readonly steps?: number;
  /** Single numbers kept per token and four of K, which are not loaded; default 0. */
  readonly perFour?: number;
  /** Numbers that an invocation exchanges beside those of its columns; default 0. */
  readonly beside?: number;
  /**
   * Whether an invocation needs a vector of workgroup memory between blocks, which a half of the first array along K lends where it
   * has as many; default no.
   */
  readonly vectorBetween?: boolean;
  /** A block must not be longer than this power of two. */
  readonly blockLimit: number;
  /** Neighbouring columns that an invocation must hold at least (packed halves: 2). */
  readonly leastColumns: number;
}

const powerAbove = (x: number): number => 2 ** Math.ceil(Math.log2(Math.max(x, 1)));
const fours = (x: number): number => 4 * Math.ceil(x / 4);

/** Sixteen-byte loads that an invocation keeps in flight for the next block, at most. */
const IN_FLIGHT = 12;
/**
 * Steps of the state that a loop's body writes out, by default. Eight of a delta rule are 20 to 28 KB of instructions; an H200's
 * cache of them ends at some 32, behind which an instruction takes twice as long: sixteen took it 3.6 times what eight do.
 */
export const TOGETHER = 8;
/** Workgroup memory, at most: more would leave no room for a second workgroup on many devices. */
const STAGED_BYTES = 49152;

/** Chooses a division. Throws an {@link InputError} where an option cannot be met. */
export function chooseTile(gpu: Gpu, demand: TileDemand, options: TileOptions = {}): Tile {
  const {
    purpose,
    sequences,
    tokens,
    K,
    V,
    staged,
    microSteps = 1,
    steps = TOGETHER,
    perFour = 0,
    beside = 0,
    vectorBetween = false,
    blockLimit,
    leastColumns,
  } = demand;
  const refuse = (what: string, got: unknown): never => {
    throw new InputError(`Cannot ${purpose}: ${what}, got ${got}`);
  };
  for (const [axis, extent] of [["K", K], ["V", V]] as const) {
    if (!(extent >= 1 && extent <= 256)) refuse(`${axis} must be in 1 … 256`, extent);
  }
  const subgroups = options.subgroups ?? gpu.subgroups !== undefined;
  if (subgroups && gpu.subgroups === undefined) refuse("subgroups must be a feature of the device", "none");
  for (const name of ["interleaved", "unroll"] as const) {
    const power = Math.log2(options[name] ?? 1);
    if (!Number.isInteger(power) || power < 0) refuse(`${name} must be a power of two ≥ 1`, options[name]);
  }
  const widest = subgroups ? gpu.subgroups!.min : 32;
  // Without shuffles a sum over a group costs two barriers, so columns are longer there.
  const rows = options.rows ?? Math.max(Math.min(subgroups ? 8 : 16, fours(K)), fours(K / widest));
  if (!Number.isInteger(rows) || rows % 4 !== 0 || rows < 4 || rows > 256) {
    refuse("rows must be a multiple of 4 in 4 … 256", rows);
  }
  const group = powerAbove(Math.ceil(K / rows));
  if (group > widest) refuse(`rows must be ≥ K / ${widest}, which is ${K / widest}`, rows);
  const columns = options.columns ?? Math.max(rows <= 16 ? Math.min(4, powerAbove(V)) : 1, leastColumns);
  if (![1, 2, 4].includes(columns) || columns < leastColumns) {
    refuse(`columns must be 1, 2 or 4, and ≥ ${leastColumns} for this type`, columns);
  }
  const least = group * 4 / columns;
  const most = Math.max(options.threads ?? 128, least);
  const limit = Math.min(gpu.limits.maxComputeInvocationsPerWorkgroup, gpu.limits.maxComputeWorkgroupSizeX);
  if (least > limit) refuse(`rows must leave ≤ ${limit} invocations to a workgroup`, least);
  const fitting = (target: number): number =>
    Math.max(least, Math.min(group * powerAbove(Math.ceil(V / columns)), 2 ** Math.floor(Math.log2(target))));
  let lanes = fitting(Math.min(most, limit));
  // Few sequences: narrower workgroups, so that more of them run side by side.
  const width = (): number => lanes / group * columns;
  while (options.threads === undefined && lanes > Math.max(32, least) && sequences * Math.ceil(V / width()) < 128) {
    lanes = fitting(lanes / 2);
  }
  const threads = Math.min(limit, Math.max(lanes, 32));
  const padded = rows * group;
  const bytes = (block: number): number =>
    2 * 4 * block * ((staged.K + perFour / 4) * padded + staged.V * width() + staged.none) +
    (subgroups || group === 1 ? 0 : 4 * threads * (columns + beside)) +
    (vectorBetween && block * padded / 4 < threads ? 16 * threads : 0);
  const loads = (block: number): number =>
    staged.K * Math.ceil(block * padded / 4 / threads) + staged.V * Math.ceil(block * width() / 4 / threads) +
    // Single numbers, of which only several steps have many, take a register each.
    Math.ceil(staged.none * Math.ceil(block / threads) / (microSteps > 1 ? 4 : 1));
  // Every block costs some hundred clocks; a software adapter would walk through more that is behind the end.
  let block = Math.min(options.block ?? (gpu.adapter.software ? 16 : 32), blockLimit);
  if (!Number.isInteger(Math.log2(block)) || block < 1) refuse("block must be a power of two", block);
  const memory = Math.min(STAGED_BYTES, gpu.limits.maxComputeWorkgroupStorageSize);
  while (block > 1 && (bytes(block) > memory || loads(block) > IN_FLIGHT && options.block === undefined)) block /= 2;
  if (bytes(block) > memory) refuse(`a token must fit ${memory} bytes of workgroup memory`, bytes(block));
  const together = 2 ** Math.floor(Math.log2(Math.max(1, steps / microSteps)));
  const unroll = subgroups ? Math.min(group, block, options.unroll ?? together) : 1;
  const sum = group === 1 ? "no reduction" : subgroups ? "subgroups" : "shared memory";
  // A software adapter compiles the second text for longer than it wins by it.
  const unchecked = options.unchecked ?? !gpu.adapter.software;
  return {
    rows,
    columns,
    group,
    interleaved: subgroups ? Math.min(options.interleaved ?? widest, widest / group, width() / columns) : 1,
    threads,
    width: width(),
    block,
    unroll,
    subgroups: subgroups && group > 1,
    unchecked,
    // Where outputs are stored as they come, DeltaProduct takes 1.30 ms on an H200 by one text and 1.13 by two, walks a fiftieth
    // less by one, delta rules as much. A pass without outputs has one text in any case.
    whole: unchecked && microSteps === 1 && tokens > 0 && tokens % block === 0,
    text: `${rows} × ${columns} an invocation, ${threads} threads, ${block} tokens staged, ${unroll} together, ${sum}`,
  };
}
