/**
 * What a product takes, estimated: which of the ways to compute it is the fastest. A kernel of few workgroups waits more than
 * it computes, so its time is that of a step along the sum, times steps, times the turns that workgroups take.
 *
 * The figures are of an H200, 2026-11-30, split halves, nothing read ahead. In µs, all of a product, and estimated (–: not
 * since plain blocks are what they are):
 *
 * | M × K × N                          | split | est. | plain | est. |
 * | ---------------------------------- | ----: | ---: | ----: | ---: |
 * | 8192 × 256 × 1024                  |    75 |   84 |   127 |  147 |
 * | 8192 × 1024 × 256, B transposed    |   109 |  118 |   155 |  147 |
 * | 256 × 8192 × 1024, A transposed    |   113 |  123 |     – |  218 |
 * | 256 × 8192 × 256, A transposed     |    82 |   76 |     – |   84 |
 * | 8192 × 256 × 256                   |    54 |   58 |    39 |   40 |
 * | 1024 × 256 × 1024                  |    44 |   44 |    25 |   23 |
 * | 512 × 768 × 768                    |    60 |   54 |    34 |   34 |
 * | 64 × 768 × 3072                    |    83 |   54 |    23 |   19 |
 * | 128 × 3072 × 768                   |   139 |   67 |    39 |   43 |
 */

import type { MatrixUnit } from "../matrix_unit.ts";
import { partsApart, type Plain, plainWorkgroups, termsEach } from "./_plain.ts";
import type { Problem, Side } from "./_problem.ts";
import { productWorkgroups, wholeSides } from "./_product.ts";
import type { Spread } from "./_spread.ts";
import { stagedBytes } from "./_stage.ts";
import { blockOf } from "./_tiling.ts";

const MULTIPROCESSORS = 132;
/** Workgroup memory that a multiprocessor hands out. */
const ROOM = 47 * 1024;
/** Before the first step, and after the last. */
const START = 14;
const PLAIN_START = 4;
/** A step along the sum: of large tiles split, of small ones (twice the terms), of either in halves. */
const STEP = { large: 1.6, small: 2, halves: 1.2 };
/**
 * A term of the sum of a block in plain f32: of 128 × 128, one at a time; of 64 × 64 and 32 × 32, of which a multiprocessor has
 * several, so that it is arithmetic that takes the time.
 */
const TERM = { large: 0.14, medium: 0.039, small: 0.0135 };
/** The same of 32 × 32 where a workgroup has one part, which is the time of its wait where it is alone. */
const ALONE = 0.0175;
/** A pass: over partial sums, or over an operand; and what a megabyte adds to it. */
const FINISH = 8;
const FINISH_EACH = 0.25;
const PACK = 6.5;
const PACK_EACH = 0.6;
/** What one more part adds to the sum of an entry. */
const PART = 0.1;

/** Of an operand, in f32. */
const megabytes = ({ outer, inner }: Side, batches: number): number => 4e-6 * batches * outer * inner;

export function packTime({ batches, a, b }: Problem): number {
  return [a, b].reduce((sum, side) => sum + PACK + PACK_EACH * megabytes(side, side.batched ? batches : 1), 0);
}

const finishTime = (parts: number, entries: number): number =>
  FINISH + FINISH_EACH * 4e-6 * (parts + 1) * entries + PART * parts;

/** Of packed operands; `finishes`: whether a pass over C follows. */
export function tilesTime(unit: MatrixUnit, spread: Spread, finishes: boolean): number {
  const { tiling, a, parts, problem: { batches } } = spread;
  const { down, across } = blockOf(tiling);
  const held = MULTIPROCESSORS * Math.max(1, Math.floor(ROOM / stagedBytes(unit, spread)));
  const turns = Math.ceil(productWorkgroups(spread) / held);
  const each = unit.mode === "f16" ? STEP.halves : down * across > 16 ? STEP.large : STEP.small;
  const { rows, columns } = wholeSides(spread);
  const product = START + turns * Math.ceil(a.chunkTiles / tiling.unroll) * each;
  return product + (finishes ? finishTime(parts, batches * rows * columns) : 0);
}

/** Of plain f32, from operands as they lie. */
export function plainTime(plain: Plain): number {
  const { problem: { batches, M, N }, tuning } = plain;
  const { blockRows, blockColumns } = tuning;
  const apart = partsApart(plain);
  // Of a workgroup's parts each has its share of the terms, and of the time.
  const terms = termsEach(plain) * (tuning.together ? plain.parts : 1);
  const held = plainWorkgroups(plain) / MULTIPROCESSORS;
  const each = (): number => {
    if (blockRows * blockColumns > 64 * 64) return Math.ceil(held) * TERM.large;
    if (tuning.each === 8) return Math.max(1, held) * TERM.medium;
    return Math.max(tuning.together ? TERM.small : ALONE, held * TERM.small);
  };
  return PLAIN_START + terms * each() + (apart > 1 ? finishTime(apart, batches * M * N) : 0);
}
