/**
 * How a scan is run on a device: the path, and the sizes of its workgroups. Everything can be chosen by the caller; what is
 * not follows from the shape and the device.
 *
 * @module
 */
import { InputError } from "../../models/error.ts";
import type { Gpu } from "../gpu.ts";
import { type Job, type StreamName, streamsOf } from "./_job.ts";
import type { ColumnShape } from "./_columns.ts";
import type { TileShape } from "./_row_tile.ts";
import { type Width, widthFor } from "./_unit.ts";

/**
 * - `rows`, `columns`: one pass, a workgroup per row or per few channels;
 * - `reduce-scan-apply`: time in chunks, three dispatches;
 * - `look-back`: one pass over rows in tiles that wait for one another (_look_back.ts).
 */
export type ScanPath = "rows" | "columns" | "reduce-scan-apply" | "look-back";

/** Choices that change speed, never results beyond rounding. */
export interface ScanTuning {
  readonly path?: ScanPath;
  /** Rows: invocations of a row (a power of two). */
  readonly threads?: number;
  /** Rows: units of neighbouring tokens that an invocation holds. */
  readonly vectors?: number;
  /** Rows: rows of a workgroup. */
  readonly rows?: number;
  /** Rows: whether neighbouring lanes hold neighbouring units, or an invocation does. */
  readonly order?: "striped" | "blocked";
  /** Columns: neighbouring invocations along the channels (a power of two), and segments and tokens of each in a tile. */
  readonly lanes?: number;
  readonly segments?: number;
  readonly length?: number;
  /** The widest unit of a load: at most so many numbers. */
  readonly width?: Width;
  /** Whether the next tile is loaded before this one is scanned. */
  readonly prefetch?: boolean;
  /** Default: where the device has them. */
  readonly subgroups?: boolean;
  /** Reduce–scan–apply: tokens of a chunk, rounded up to whole tiles. */
  readonly chunk?: number;
  /** Look-back: predecessors that a lane reads at a time. */
  readonly window?: number;
  /** Look-back: whether tiles are handed out in the order in which workgroups start, or by workgroup. */
  readonly ticket?: boolean;
  /**
   * Look-back: tiles by which their totals are taken ahead, from a first read, so that nobody waits for a neighbour; they
   * should fit the last-level cache twice. Default 0: every tile is read once, and published as it is met.
   */
  readonly lead?: number;
  /** Look-back: reads of a missing predecessor after which its tile is reduced by the one who waits. */
  readonly patience?: number;
  /** Look-back, for tests: every so many tiles one publishes nothing. */
  readonly mute?: number;
  /** The largest binding, for tests. */
  readonly bindingBytes?: number;
}

function powerOfTwo(n: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(n, 1)));
}

function check(what: string, value: number | undefined, power: boolean): void {
  if (value === undefined) return;
  if (!Number.isSafeInteger(value) || value < 1 || (power && powerOfTwo(value) !== value)) {
    throw new InputError(
      `Cannot plan a scan: ${what} must be ${power ? "a power of two" : "an integer"} ≥ 1, got ${value}`,
    );
  }
}

/** Refuses tunings that are no sizes. */
export function checkTuning(tuning: ScanTuning): void {
  for (const name of ["threads", "lanes", "rows"] as const) check(name, tuning[name], true);
  for (const name of ["vectors", "segments", "length", "chunk", "window", "mute", "bindingBytes"] as const) {
    check(name, tuning[name], false);
  }
  const { lead = 0 } = tuning;
  if (!Number.isSafeInteger(lead) || lead < 0) {
    throw new InputError(`Cannot plan a scan: lead must be an integer ≥ 0, got ${lead}`);
  }
}

const nvidia = (gpu: Gpu): boolean => /nvidia/i.test(gpu.adapter.vendor) && !gpu.adapter.software;

const typesOf = (job: Job) => streamsOf(job).map((name: StreamName) => job.tensors[name]!.dtype);

/**
 * Tokens of an invocation. In one pass 8 (16 halves): enough loads in flight at a few hundred registers' cost to an SM.
 * A tile that others wait for is worth more registers: 16 with gates, 32 without.
 */
function tokensOf(job: Job, path: ScanPath): number {
  const halves = typesOf(job).every((dtype) => dtype === "f16") ? 2 : 1;
  if (path !== "look-back") return 8 * halves;
  return job.tensors.previous !== undefined ? 8 : job.tensors.gates !== undefined ? 16 : 32;
}

/** The units of a job along its contiguous axis. Undefined where halves do not pair: see _stage.ts. */
export function unitWidth(job: Job, { width }: ScanTuning): Width | undefined {
  if (job.T === 0) return widthFor(typesOf(job), 0);
  const most = width ?? (job.layout === "rows" ? 8 : typesOf(job).every((dtype) => dtype === "f32") ? 1 : 2);
  return widthFor(typesOf(job), job.layout === "rows" ? job.T : job.D, most);
}

/** The tile of rows. */
export function tileShape(gpu: Gpu, job: Job, path: ScanPath, tuning: ScanTuning, width: Width): TileShape {
  const subgroup = (tuning.subgroups ?? true) ? gpu.subgroups : undefined;
  if (tuning.subgroups === true && subgroup === undefined) {
    throw new InputError("Cannot plan a scan with subgroups: the device must have the feature, got none");
  }
  const most = gpu.limits.maxComputeInvocationsPerWorkgroup;
  const units = Math.max(1, job.T / width);
  const vectors = tuning.vectors ?? Math.max(1, tokensOf(job, path) / width);
  const least = Math.max(subgroup?.max ?? 0, 32);
  const usual = path === "look-back" ? 512 : Math.min(powerOfTwo(units / vectors), 128);
  const threads = tuning.threads ?? Math.min(Math.max(usual, least), most);
  const B = job.B * job.D;
  const rows = path !== "rows" ? 1 : tuning.rows ?? Math.max(1, Math.min(128 / threads, powerOfTwo(B)));
  if (threads * rows > most || (subgroup !== undefined && threads % subgroup.max !== 0)) {
    throw new InputError(
      `Cannot plan a scan: threads must be whole subgroups (${subgroup?.max ?? 1}) and threads × rows ≤ ${most}, ` +
        `got ${threads} × ${rows}`,
    );
  }
  return {
    threads,
    rows,
    vectors,
    width,
    order: subgroup === undefined ? "blocked" : tuning.order ?? "striped",
    subgroup,
    linear: nvidia(gpu),
    whole: job.T > 0 && units % (threads * vectors) === 0 && B % rows === 0,
  };
}

/** The tile of columns. */
export function columnShape(gpu: Gpu, job: Job, tuning: ScanTuning, width: Width): ColumnShape {
  const units = job.D / width;
  const lanes = tuning.lanes ?? Math.min(32, powerOfTwo(units));
  const { segments = 8, length = 8 } = tuning;
  const most = gpu.limits.maxComputeInvocationsPerWorkgroup;
  if (lanes * segments > most) {
    throw new InputError(`Cannot plan a scan: lanes × segments must be ≤ ${most}, got ${lanes} × ${segments}`);
  }
  return {
    lanes,
    width,
    segments,
    length,
    whole: job.T > 0 && job.T % (segments * length) === 0 && units % lanes === 0,
  };
}

/** Workgroups that keep a large device busy; with fewer, time is cut. */
const FEW_ROW_THREADS = 2 ** 15;
const FEW_COLUMN_GROUPS = 128;

/** The path a job takes by default. */
export function pathOf(gpu: Gpu, job: Job, tuning: ScanTuning, width: Width): ScanPath {
  const { path } = tuning;
  if (path !== undefined) {
    const fits = path === "reduce-scan-apply" || (path === "columns") === (job.layout === "columns");
    if (!fits) throw new InputError(`Cannot plan a scan: path ${path} is not one of layout ${job.layout}`);
    return path;
  }
  if (job.T === 0) return job.layout;
  if (job.layout === "columns") {
    const { lanes, segments, length } = columnShape(gpu, job, tuning, width);
    const groups = job.B * Math.ceil(job.D / width / lanes);
    return groups < FEW_COLUMN_GROUPS && job.T > 8 * segments * length ? "reduce-scan-apply" : "columns";
  }
  const { threads, vectors } = tileShape(gpu, job, "rows", tuning, width);
  if (job.B * job.D * threads >= FEW_ROW_THREADS || job.T / width <= 4 * threads * vectors) return "rows";
  // Look-back is for who asks for it: on an H200 its tiles wait longer for one another than a second pass takes.
  return "reduce-scan-apply";
}
