/** A product on a matrix unit, made ready: packing, then tiles, then whatever C asks for beyond them. */

import { InputError } from "../../models/error.ts";
import type { Dispatch, Gpu } from "../gpu.ts";
import type { MatrixUnit } from "../matrix_unit.ts";
import { tilesTime } from "./_cost.ts";
import { BUSY, type Design, type Memory, partsOf } from "./_design.ts";
import { planFinish } from "./_finish.ts";
import { chunksOf, type Packed, scalesEach } from "./_pack.ts";
import { planPack } from "./_plan_pack.ts";
import { planRows } from "./_plan_rows.ts";
import type { Problem, Side } from "./_problem.ts";
import { productShader, productSizes, productWorkgroups, threadsOf, unscales, wholeSides } from "./_product.ts";
import { rowsBytes, rowsWorkgroups, STEP } from "./_rows.ts";
import { sizesWords } from "./_sizes.ts";
import type { Spread } from "./_spread.ts";
import { stagedBytes } from "./_stage.ts";
import { blockOf, type TileTuning, type Tiling, tilingOf } from "./_tiling.ts";

export interface TilesTuning extends TileTuning {
  /** Terms of the sum that matrix units add up before they are added in f32: a multiple of 16. Default: split 256, f16 all. */
  readonly chunk?: number;
  /**
   * Whether rows of A, which lie along the sum, are taken as they lie: the workgroups that multiply them bring them into
   * halves. Default: on matrix units, where rows must not depend on each other and they or workgroups are few, or where packed
   * tiles have no room.
   */
  readonly unpacked?: boolean;
  /** Bytes of partial sums at a time, if one part of them is less; default 2^28. */
  readonly partialBytes?: number;
}

export interface TilesOptions extends TilesTuning {
  readonly accumulate: boolean;
  readonly parts?: number;
  readonly invariant?: boolean;
}

/** Terms that matrix units add up in `split`, by default. */
const CHUNK = 256;
/** Least terms of a part that is there to keep a device busy, and how many workgroups do: three a multiprocessor. */
const LEAST = 1024;
const MANY = 400;
const PARTIAL_BYTES = 2 ** 28;

/** Workgroups that a large device works on at a time, two a multiprocessor. */
const TURN = 264;
/** Parts that are tried where there are fewer, of so many terms at least: what a pass over them costs decides. */
const PARTS = [1, 2, 3, 4, 6, 8];
const LEAST_TRIED = 128;
/** Estimates this much apart say nothing: the larger blocks are taken, and the fewer parts. */
const NEAR = 1.1;
/**
 * Tiles of a group, and workgroups, up to which the next tiles are read ahead: registers to spare, and few to fill the wait.
 */
const AHEAD_TILES = 4;
const AHEAD_WORKGROUPS = 2 * TURN;

const rest = { swizzle: 8, ahead: false };
const halves: Tiling = { rows: 4, columns: 4, down: 2, across: 2, unroll: 2, ...rest };
const splits: Tiling = { ...halves, unroll: 1 };
const small: Tiling = { rows: 2, columns: 2, down: 2, across: 2, unroll: 2, ...rest };
/** For matrices of few rows, which there may be many of. */
const thin: Tiling = { rows: 1, columns: 1, down: 2, across: 2, unroll: 2, ...rest };
/** Loops that imitate matrix units are for checks: small enough to compile fast. */
const imitated: Tiling = { rows: 1, columns: 2, down: 1, across: 2, unroll: 2, ...rest };

export function planTiles(
  gpu: Gpu,
  problem: Problem,
  unit: MatrixUnit,
  memory: Memory,
  options: TilesOptions,
): Design {
  if (unit.lanes !== 32) {
    throw new InputError(`Cannot multiply on matrix units: subgroups must have 32 invocations, got ${unit.lanes}`);
  }
  if (options.chunk !== undefined && !(options.chunk >= 16 && options.chunk % 16 === 0)) {
    throw new InputError(`Cannot multiply: chunk must be a positive multiple of 16, got ${options.chunk}`);
  }
  const rows = rowsSpread(problem, unit, options);
  const spread = tilesSpread(problem, unit, options);
  // A tuning that was asked for is refused where there is no room for it.
  const asked = Object.keys(given(options)).length > 0;
  const fits = asked || fitsOn(gpu, threadsOf(unit, spread.tiling), stagedBytes(unit, spread));
  if (rows !== undefined && (options.unpacked === true || isFew(rows) || !fits)) {
    assertFits(gpu, threadsOf(unit, rows.tiling), rowsBytes(unit, rows));
    return planRows(gpu, unit, memory, { spread: rows, accumulate: options.accumulate });
  }
  assertFits(gpu, threadsOf(unit, spread.tiling), stagedBytes(unit, spread));
  const { tiling, parts, a, b } = spread;
  const { shared } = memory;
  const packs = [
    planPack(gpu, { ...memory, share: shared?.a }, unit, problem.a, a),
    planPack(gpu, { ...memory, share: shared?.b }, unit, problem.b, b),
  ] as const;
  const sides = wholeSides(spread);
  const { c, bias } = problem;
  const { accumulate } = options;
  const one = 4 * problem.batches * sides.rows * sides.columns;
  const itself = storesItself(spread, options);
  // As many parts at a time as scratch memory should hold; halves are rounded once, so all of them.
  const { partialBytes = PARTIAL_BYTES } = options;
  const each = c.dtype === "f16" ? parts : Math.max(1, Math.min(parts, Math.floor(partialBytes / one)));
  const result = itself ? c.buffer : memory.scratch(each * one, "partial sums");
  const rounds = Array.from({ length: Math.ceil(parts / each) }, (_, round) => {
    const of = { ...spread, first: round * each, parts: Math.min(each, parts - round * each) };
    const sizes = memory.uniform(sizesWords(productSizes(of)));
    const scales = {
      ...{ a: packs[0].scales, b: packs[1].scales, first: of.first, chunks: chunksOf(a) },
      ...{ ofA: scalesEach(a), ofB: scalesEach(b), batchedB: b.batches > 1 },
    };
    const finish = itself ? undefined : planFinish(gpu, memory, {
      c,
      bias: of.first + of.parts === parts ? bias : undefined,
      before: round > 0 ? "continued" : accumulate ? "added" : "replaced",
      partial: { buffer: result, parts: of.parts, ...sides, ...(unscales(spread) ? {} : { scales }) },
    });
    return async (): Promise<Dispatch[]> => {
      const [pipeline, then] = await Promise.all([
        gpu.compile({ label: `matmul ${unit.key}`, code: productShader(unit, of) }),
        finish?.(),
      ]);
      const operands = packs.flatMap(({ operands }) => operands);
      const factors = unscales(spread) ? packs.map(({ scales }) => scales) : [];
      const buffers = [result, sizes, ...operands, ...factors];
      const product = { pipeline, buffers, workgroups: productWorkgroups(of) };
      return then === undefined ? [product] : [product, then];
    };
  });
  const block = `${16 * tiling.rows * tiling.down}x${16 * tiling.columns * tiling.across}x${16 * tiling.unroll}`;
  return {
    variant: `${unit.key}, ${block} by ${tiling.down}x${tiling.across}${tiling.ahead ? ", read ahead" : ""}, ` +
      `chunk ${16 * a.chunkTiles}, ` + (parts === 1 ? "1 part" : `${parts} parts`),
    mode: unit.mode,
    hardware: unit.hardware,
    chunk: 16 * a.chunkTiles,
    scaled: { a: a.scaled, b: b.scaled },
    parts,
    async dispatches() {
      const [packing, products] = await Promise.all([
        Promise.all(packs.map(({ dispatches }) => dispatches())),
        Promise.all(rounds.map((round) => round())),
      ]);
      return [...packing.flat(), ...products.flat()];
    },
  };
}

/** Whether the product's tiles are C, and nothing is left to do. */
function storesItself(spread: Spread, { accumulate }: TilesOptions): boolean {
  const { problem: { M, N, c, bias }, parts } = spread;
  const { rows, columns } = wholeSides(spread);
  return unscales(spread) && parts === 1 && !accumulate && bias === undefined && c.dtype === "f32" && rows === M &&
    columns === N;
}

/** Estimated µs, but for packing. */
const timeOf = (unit: MatrixUnit, spread: Spread, options: TilesOptions): number =>
  tilesTime(unit, spread, !storesItself(spread, options));

export function estimatedTiles(problem: Problem, unit: MatrixUnit, options: TilesOptions): number {
  return timeOf(unit, tilesSpread(problem, unit, options), options);
}

/** How a product is spread: as is estimated to be fastest, on matrix units; else in the one way that there is. */
function tilesSpread(problem: Problem, unit: MatrixUnit, options: TilesOptions): Spread {
  if (!unit.hardware) return spreadOf(problem, unit, tilingOf(given(options), imitated), options);
  const candidates = [unit.mode === "split" ? splits : halves, small, thin];
  const spreads = candidates.flatMap((defaults) => {
    const tiling = tilingOf(given(options), defaults);
    const suggested = spreadOf(problem, unit, tiling, options);
    const fixed = options.parts !== undefined || options.invariant === true;
    if (fixed || productWorkgroups(suggested) >= TURN) return [suggested];
    const tried = PARTS.filter((parts) => parts === 1 || parts * LEAST_TRIED <= problem.K);
    return [suggested, ...tried.map((parts) => spreadOf(problem, unit, tiling, { ...options, parts }))];
  });
  const spread = fastest(spreads, (spread) => timeOf(unit, spread, options));
  const { tiling } = spread;
  const few = tiling.rows * tiling.columns <= AHEAD_TILES && productWorkgroups(spread) <= AHEAD_WORKGROUPS;
  return { ...spread, tiling: { ...tiling, ahead: options.ahead ?? few } };
}

/**
 * Workgroups up to which A is taken as it lies. A step of S5, whose products have up to 720, takes as long without a limit, and
 * longer with one of 256 rows (bench/NOTES.md); beyond, nothing is measured, and packing once is taken to be better.
 */
const FEW_WORKGROUPS = 512;
/** Workgroups that are one a multiprocessor: up to there each has as few rows as can be. */
const ONE_EACH = 132;

/** Whether bringing rows into halves in every workgroup that needs them is taken to cost less than packing them: 16 rows always. */
const isFew = (spread: Spread): boolean => spread.problem.M <= 16 || rowsWorkgroups(spread) <= FEW_WORKGROUPS;

/** How a product is spread whose A is taken as it lies; undefined where it is not to be, or cannot be. */
function rowsSpread(problem: Problem, unit: MatrixUnit, options: TilesOptions): Spread | undefined {
  const { unpacked, rows, invariant = false, partialBytes = PARTIAL_BYTES } = options;
  const { batches, M, N, a, c } = problem;
  if (!(unpacked ?? (unit.hardware && invariant && rows === undefined))) return;
  const defaults = { columns: 1, down: 1, across: unit.hardware ? 4 : 2, unroll: STEP, ...rest };
  const spreadAs = (rows: number): Spread =>
    spreadOf(problem, unit, tilingOf(given(options), { ...defaults, rows }), options);
  const least = spreadAs(1);
  const spread = unit.hardware && M > 16 && rowsWorkgroups(least) > ONE_EACH ? spreadAs(2) : least;
  const { tiling, parts } = spread;
  // The chunks of those that are packed.
  const other = spreadOf(problem, unit, { ...tiling, unroll: 2 }, options);
  const chunks = spread.a.tiles === other.a.tiles && spread.a.chunkTiles === other.a.chunkTiles;
  const whole = tiling.unroll === STEP && spread.a.tiles % STEP === 0 && spread.a.chunkTiles % STEP === 0 && chunks;
  const fits = parts === 1 || 4 * parts * batches * M * N <= partialBytes;
  if (a.along && c.dtype === "f32" && whole && fits) return { ...spread, a: { ...spread.a, scaled: 1 } };
  if (unpacked === true) {
    throw new InputError(
      `Cannot multiply rows as they lie: A must lie along the sum, C be f32, chunks whole ${
        16 * STEP
      } terms, and partial sums ` +
        `at most ${partialBytes} bytes, got ${problem.K} terms in chunks of ${
          16 * other.a.chunkTiles
        }, ${parts} of them`,
    );
  }
  return;
}

/** The first that is nearly as fast as any, among those that do not reach beyond C by much more than others do. */
function fastest(spreads: readonly Spread[], time: (spread: Spread) => number): Spread {
  const area = (spread: Spread): number => wholeSides(spread).rows * wholeSides(spread).columns;
  const least = Math.min(...spreads.map(area));
  const times = spreads.map((spread) => area(spread) <= 1.5 * least ? time(spread) : Infinity);
  const limit = NEAR * Math.min(...times);
  return spreads[times.findIndex((time) => time <= limit)]!;
}

function given({ rows, columns, down, across, unroll, swizzle, ahead }: TileTuning): TileTuning {
  return Object.fromEntries(
    Object.entries({ rows, columns, down, across, unroll, swizzle, ahead }).filter(([, value]) => value !== undefined),
  );
}

function spreadOf(problem: Problem, unit: MatrixUnit, tiling: Tiling, options: TilesOptions): Spread {
  const { batches, M, N, K, a, b } = problem;
  const { unroll } = tiling;
  // Chunks must not depend on the tiling where rows must not on how many there are.
  const grain = options.invariant === true ? Math.max(unroll, 2) : unroll;
  const tiles = Math.ceil(K / (16 * grain)) * grain;
  const whole = (terms: number): number => Math.min(tiles, Math.ceil(terms / (16 * grain)) * grain);
  const block = blockOf(tiling);
  const packed = (
    side: Side,
    rows: number,
    chunkTiles: number,
    panel: number,
  ): Omit<Packed, "scaled" | "termwise"> => ({
    batches: side.batched ? batches : 1,
    blocks: Math.ceil(rows / 16),
    tiles,
    chunkTiles,
    panel,
  });
  const spread = (wanted: number): Spread => {
    const most = options.chunk ?? (unit.mode === "split" ? CHUNK : K);
    const least = Math.max(wanted, Math.ceil(K / most));
    const chunkTiles = whole(Math.min(most, Math.ceil(K / least)));
    return {
      problem,
      tiling,
      // A row must not round as its neighbours are.
      a: { ...packed(a, M, chunkTiles, block.down), scaled: options.invariant === true ? 1 : 16, termwise: false },
      b: { ...packed(b, N, chunkTiles, block.across), scaled: 16, termwise: true },
      first: 0,
      parts: Math.ceil(tiles / chunkTiles),
    };
  };
  const { batches: times } = problem;
  const alone = times * Math.ceil(M / (16 * block.down)) * Math.ceil(N / (16 * block.across));
  const asked = options.parts ?? (options.invariant === true ? 1 : undefined);
  return spread(partsOf(problem, alone, { asked, least: LEAST, busy: unit.hardware ? MANY : BUSY }));
}

/** Whether the device has room for a workgroup. */
function fitsOn({ limits }: Gpu, threads: number, bytes: number): boolean {
  return bytes <= limits.maxComputeWorkgroupStorageSize && threads <= limits.maxComputeInvocationsPerWorkgroup;
}

/** Throws an {@link InputError} if it has not. */
function assertFits(gpu: Gpu, threads: number, bytes: number): void {
  const { maxComputeWorkgroupStorageSize: room, maxComputeInvocationsPerWorkgroup: most } = gpu.limits;
  if (fitsOn(gpu, threads, bytes)) return;
  throw new InputError(
    `Cannot multiply: these tiles take ${threads} invocations and ${bytes} bytes of workgroup memory, ` +
      `the device allows ${most} and ${room}`,
  );
}
