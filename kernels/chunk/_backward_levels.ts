/**
 * Decays for each key between the tokens of a chunk, by levels: a pair of tokens i > j belongs to the level l, a power of
 * two, of the highest bit in which i and j differ. It crosses the middle of an aligned run of 2l tokens, and its decay is
 *
 *     a_{j+1} … a_i = (a_{j+1} … a_{middle−1}) (a_middle … a_i)
 *
 * so at each level every token has one factor: a running product of gates, never a quotient. One operand a level holds keys
 * in lower halves and queries in upper ones, each times its factor, and its products with itself are the level's pairs.
 *
 * For a model that reads before its update the gate of the reading token itself is left out.
 *
 * @module
 */
import { BLOCK, type ChunkLayout, scratchNumbers } from "./_backward_layout.ts";
import { barrier, down, loopBound, putKey, repeat, up } from "./_backward_text.ts";

/** Level 0 is the token itself. */
export type Level = number;

/** Statements that put a level's tokens into an operand, from the registers q, k, a. */
export function putLevel(layout: ChunkLayout, level: number, operand: string, pre: boolean): string {
  const query = (i: string): string => {
    const put = putKey(layout, operand, i, up(layout, `q[${i}] * f`, "e_q"));
    return pre ? `${put} f *= a[${i}];` : `f *= a[${i}]; ${put}`;
  };
  const key = (i: string): string => `${putKey(layout, operand, i, up(layout, `k[${i}] * f`, "e_k"))} f *= a[${i}];`;
  const ascending = (from: string, n: number): string =>
    repeat(layout, n, (i) => `let i = ${from} + ${i}; ${query("i")}`);
  const descending = (from: string, n: number): string =>
    repeat(layout, n, (i) => `let i = ${from} + ${n - 1}u - ${i}; ${key("i")}`);
  if (level < BLOCK) {
    return repeat(
      layout,
      BLOCK / level / 2,
      (pair) =>
        `{ var f = 1.0; ${descending(`2u * ${pair} * ${level}u`, level)} }\n` +
        `{ var f = 1.0; ${ascending(`(2u * ${pair} + 1u) * ${level}u`, level)} }`,
      "pair",
    );
  }
  const span = level / BLOCK;
  return `{
  var f = ${levelWhole(span)};
  if ((block & ${span}u) != 0u) {
    ${ascending("0u", BLOCK)}
  } else {
    ${descending("0u", BLOCK)}
  }
}`;
}

/** Statements that put keys times their decay to the chunk's end. */
export function putKeysToEnd(layout: ChunkLayout, operand: string): string {
  return `{ var f = wholes(block + 1u, ${layout.blocks}u, key_lane);
${
    repeat(
      layout,
      BLOCK,
      (n) => `let i = ${BLOCK - 1}u - ${n}; ${putKey(layout, operand, "i", up(layout, "k[i] * f", "e_k"))} f *= a[i];`,
    )
  }
}`;
}

/** Gates of the blocks between an invocation's block and the middle of its level. */
export function levelWhole(span: number): string {
  const half = `(block & ~${span - 1}u)`;
  return `select(wholes(block + 1u, ${half} + ${span}u, key_lane), wholes(${half}, block, key_lane), ` +
    `(block & ${span}u) != 0u)`;
}

/** `fn wholes(from, to, lane)`: the product of all gates of some blocks, from what `whole` holds. */
export function wholesFunction({ slice, threads }: ChunkLayout): string {
  return /* wgsl */ `
var<workgroup> whole: array<f32, ${threads}>;
fn wholes(first: u32, end: u32, lane: u32) -> f32 {
  var f = 1.0;
  for (var n = first; n < end; n++) { f *= whole[n * ${slice}u + lane]; }
  return f;
}
`;
}

/** Numbers of the chunk × chunk matrix that an invocation holds: number n is element n · threads + lid. */
export function pairsOf({ chunk, threads }: ChunkLayout): number {
  return chunk * chunk / threads;
}

/** Statements: `i`, `j` of pair n. */
export function pairAt({ chunk, threads }: ChunkLayout, n: string): string {
  return `let i = (${n} * ${threads}u + lid) / ${chunk}u; let j = lid % ${chunk}u;`;
}

/** A level's tiles in one round: the products of two operands with each other, to `sums` from a slot of 256 on. */
interface Job {
  readonly level: Level;
  readonly left: string;
  readonly right: string;
  readonly slot: number;
  readonly tiles: number;
}

/** Tiles of a level: on the diagonal of the chunk's pairs below 16 tokens. */
function tilesOf({ blocks }: ChunkLayout, level: Level): number {
  return level < BLOCK ? blocks : (blocks / (2 * level / BLOCK)) * (level / BLOCK) ** 2;
}

/**
 * Statements that add `A_ij = Σ_k q_i D_ij k_j` of the slice in registers to the array s, at all levels; pairs i < j stay 0.
 * `free` are operands that may be overwritten.
 */
export function addScores(
  layout: ChunkLayout,
  free: readonly string[],
  { pre }: { readonly pre: boolean },
): string {
  const pending: Level[] = [0];
  for (let level = 1; level < layout.chunk; level *= 2) pending.unshift(level);
  const room = Math.floor(scratchNumbers(layout) / 256);
  const out: string[] = [];
  while (pending.length > 0) {
    const operands = [...free];
    const jobs: Job[] = [];
    let slot = 0;
    while (pending.length > 0) {
      const level = pending[0]!;
      const tiles = tilesOf(layout, level);
      if (operands.length < (level === 0 ? 2 : 1) || slot + tiles > room) break;
      pending.shift();
      const left = operands.shift()!;
      const right = level === 0 ? operands.shift()! : left;
      jobs.push({ level, left, right, slot, tiles });
      slot += tiles;
    }
    for (const { level, left, right } of jobs) {
      out.push(
        level > 0 ? putLevel(layout, level, left, pre) : repeat(
          layout,
          BLOCK,
          (i) =>
            putKey(layout, left, i, up(layout, `q[${i}]${pre ? " * u" : ""}`, "e_q")) + "\n" +
            putKey(layout, right, i, up(layout, `k[${i}]`, "e_k")),
        ),
      );
    }
    out.push(
      barrier,
      ...jobs.map((job) => jobProducts(layout, job)),
      barrier,
      repeat(
        layout,
        pairsOf(layout),
        (n) =>
          `${pairAt(layout, n)}
let level = select(firstLeadingBit(i ^ j) + 1u, 0u, i == j);
var at = 0xffffffffu;
${
            jobs.map((job) =>
              `if (i >= j && level == ${job.level === 0 ? 0 : Math.log2(job.level) + 1}u) { at = ${placeOf(job)}; }`
            ).join("\n")
          }
if (at != 0xffffffffu) { s[${n}] += ${down(layout, "sums[at]", "e_q", "e_k")}; }`,
      ),
      barrier,
    );
  }
  return `{\n${out.join("\n")}\n}`;
}

/** Where the pair (i, j) of a job's level is in `sums`. */
function placeOf({ level, slot }: Job): string {
  const span = level / BLOCK;
  const tile = level < BLOCK
    ? `i / ${BLOCK}u`
    : `((i / ${2 * level}u) * ${span}u + (i / ${BLOCK}u) % ${span}u) * ${span}u + (j / ${BLOCK}u) % ${span}u`;
  return `(${slot}u + ${tile}) * 256u + (i % ${BLOCK}u) * ${BLOCK}u + j % ${BLOCK}u`;
}

/** Statements: a job's tiles, each by one group; the first goes to the group after the one that did the last. */
function jobProducts(layout: ChunkLayout, { level, left, right, slot, tiles }: Job): string {
  const { unit, groups, slice, stride } = layout;
  const width = stride(slice);
  const span = level / BLOCK;
  const [row, column] = level < BLOCK ? ["tile", "tile"] : [
    `((tile / ${span * span}u) * ${2 * span}u + ${span}u + (tile / ${span}u) % ${span}u)`,
    `((tile / ${span * span}u) * ${2 * span}u + tile % ${span}u)`,
  ];
  const first = groups === 1 ? "0u" : `(group + ${groups - slot % groups}u) % ${groups}u`;
  return `for (var tile = ${first}; tile < ${loopBound(layout, tiles)}; tile += ${groups}u) {
${
    [
      unit.accumulators("acc", 1, 1),
      unit.product({
        into: "acc",
        rows: 1,
        columns: 1,
        inner: slice / BLOCK,
        a: { name: left, at: `${row} * ${BLOCK * width}u`, stride: width },
        b: { name: right, at: `${column} * ${BLOCK * width}u`, stride: width, transposed: true },
      }),
      unit.store("acc", 1, 1, { array: "sums", at: `(${slot}u + tile) * 256u`, stride: BLOCK }),
    ].join("\n")
  }
}`;
}

/**
 * Statements: `sums[chunk × slice]` of one level of 16 tokens or more: in rows of upper halves `Σ_j P_ij k̃_j`, in rows of
 * lower ones `Σ_i P_ij q̃_i`, from the level's operand. Rows of other pairs do not exist: every row is in one half.
 */
export function levelProduct(layout: ChunkLayout, level: number, operand: string): string {
  const { unit, groups, slice, chunk, blocks, stride } = layout;
  const span = level / BLOCK;
  const columns = slice / BLOCK;
  const across = Math.min(groups, columns);
  const wide = columns / across;
  const rows = Array.from({ length: blocks }, (_, row) => {
    const upper = (row & span) !== 0;
    const other = upper ? (row & ~(2 * span - 1)) : (row & ~(2 * span - 1)) + span;
    const p = stride(chunk);
    return [
      "{",
      unit.accumulators("acc", 1, wide),
      unit.product({
        into: "acc",
        rows: 1,
        columns: wide,
        inner: span,
        a: upper
          ? { name: "op_p", at: `${row * BLOCK * p + other * BLOCK}u`, stride: p }
          : { name: "op_p", at: `${other * BLOCK * p + row * BLOCK}u`, stride: p, transposed: true },
        b: { name: operand, at: `${other * BLOCK * stride(slice)}u + group * ${wide * BLOCK}u`, stride: stride(slice) },
      }),
      unit.store("acc", 1, wide, {
        array: "sums",
        at: `${row * BLOCK * slice}u + group * ${wide * BLOCK}u`,
        stride: slice,
      }),
      "}",
    ].join("\n");
  });
  const body = rows.join("\n");
  return across >= groups ? body : `if (group < ${across}u) {\n${body}\n}`;
}
