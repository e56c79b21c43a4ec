/**
 * Pieces of WGSL that the backward kernels of chunks share. Every piece is statements or functions of one kernel, in the
 * layout of _backward_layout.ts.
 *
 * Names in every kernel: `lid`; `key_lane` and `block`, what the invocation owns; `row0` and `col0`, the first row and
 * column of the vectors of four it moves (`row0 + n·rows`); `group`, its group of the matrix unit; `token0`, the chunk's
 * first token; `base`, b·T·H + h; `sums`, the f32 scratch array.
 *
 * @module
 */
import { f32Profile } from "../profile.ts";
import { flatWorkgroup } from "../workgroups.ts";
import { BLOCK, type ChunkLayout } from "./_backward_layout.ts";

/**
 * `body` for 0 … n − 1, each in a scope of its own: written out, so that arrays with constant indices become registers, or
 * as a loop over `name`, which software adapters compile in a tenth of the time.
 */
export function repeat(
  layout: Pick<ChunkLayout, "unrolled">,
  n: number,
  body: (i: string) => string,
  name: string = "n",
): string {
  if (layout.unrolled) return Array.from({ length: n }, (_, i) => `{ ${body(`${i}u`)} }`).join("\n");
  return `for (var ${name} = 0u; ${name} < ${loopBound(layout, n)}; ${name}++) {\n${body(name)}\n}`;
}

/** A loop's bound; one that compilers cannot know where loops are to stay: Mesa writes out what ends within 32 rounds. */
export function loopBound({ unrolled }: Pick<ChunkLayout, "unrolled">, bound: number | string): string {
  const text = typeof bound === "number" ? `${bound}u` : bound;
  return unrolled ? text : `${text} + extent.none`;
}

/** `text` for each of four columns. */
export function four(layout: Pick<ChunkLayout, "unrolled">, text: (c: string) => string): string {
  return repeat(layout, 4, text, "c_");
}

/** What every kernel is told. */
export interface ExtentNumbers {
  readonly T: number;
  readonly chunks: number;
  readonly H: number;
  readonly workgroups: number;
  readonly K: number;
  readonly V: number;
  /** What queries are multiplied by. */
  readonly scale: number;
  /** Pieces of time that run side by side, and their chunks. */
  readonly segments: number;
  readonly segmentChunks: number;
}

/** The uniform that every kernel binds first. */
export function extentWords(numbers: ExtentNumbers): Uint32Array {
  const { T, chunks, H, workgroups, K, V, scale, segments, segmentChunks } = numbers;
  const words = Uint32Array.of(T, chunks, H, workgroups, K, V, 0, 0, segments, segmentChunks, 0, 0);
  new Float32Array(words.buffer)[6] = scale;
  return words;
}

/** Functions that every kernel has. */
export function common({ unit, scaled }: ChunkLayout, peaks: number): string {
  return [
    f32Profile.prelude,
    unit.functions,
    flatWorkgroup,
    "var<private> base: u32;",
    scaled
      ? /* wgsl */ `
var<workgroup> peaks: array<atomic<u32>, ${peaks}>;
/* Bits of numbers ≥ 0 are in their order. */
fn raise(slot: u32, x: f32) {
  ${
        unit.hardware
          ? "let most = subgroupMax(x); if (subgroupElect()) { atomicMax(&peaks[slot], bitcast<u32>(most)); }"
          : "atomicMax(&peaks[slot], bitcast<u32>(x));"
      }
}
/* The e that brings the largest to [2^14, 2^15). */
fn exponent_of(slot: u32) -> i32 {
  return clamp(141 - i32(atomicLoad(&peaks[slot]) >> 23u), -126, 126);
}
fn power(e: i32) -> f32 { return bitcast<f32>(u32(e + 127) << 23u); }
/* Two factors: 2^−e itself may be out of range. */
fn unscaled(x: f32, e: i32) -> f32 {
  let half = e / 2;
  return x * power(-half) * power(half - e);
}
fn unscaled4(x: vec4f, e: i32) -> vec4f {
  let half = e / 2;
  return x * power(-half) * power(half - e);
}
fn largest4(x: vec4f) -> f32 { return max(max(abs(x.x), abs(x.y)), max(abs(x.z), abs(x.w))); }
`
      : "",
  ].join("\n");
}

/** A WGSL literal of an f32 number. */
export function f32(x: number): string {
  return f32Profile.constant(x);
}

/** Names of the invocation's place. `lid` is the entry point's parameter; vectors of four run along rows of `columns`. */
export function place({ slice, unit }: ChunkLayout, columns: number = slice): string {
  return /* wgsl */ `
  let group = lid / ${unit.lanes}u;
  let key_lane = lid % ${slice}u;
  let block = lid / ${slice}u;
  let col0 = (lid % ${columns / 4}u) * 4u;
  let row0 = lid / ${columns / 4}u;
`;
}

/** Rows that the vectors of all invocations cover at once, along rows of a slice. */
export function rowsAtOnce({ blocks }: ChunkLayout): number {
  return 4 * blocks;
}

/** Statement: raises a peak by the array `name` of n numbers, times `by`, where operands are scaled. */
export function raise(
  layout: ChunkLayout,
  slot: number | string,
  name: string,
  n: number,
  { vectors = false, by = "" }: { readonly vectors?: boolean; readonly by?: string } = {},
): string {
  if (!layout.scaled) return "";
  return `{
  var most = 0.0;
  ${repeat(layout, n, (i) => `most = max(most, ${vectors ? "largest4" : "abs"}(${name}[${i}]));`)}
  raise(${typeof slot === "number" ? `${slot}u` : slot}, most${by});
}`;
}

/** Statement: names the exponent of a peak, where operands are scaled. */
export function exponent({ scaled }: ChunkLayout, name: string, slot: number | string): string {
  return scaled ? `let ${name} = exponent_of(${typeof slot === "number" ? `${slot}u` : slot});` : "";
}

/** `x · 2^e`. */
export function up({ scaled }: ChunkLayout, x: string, e: string): string {
  return scaled ? `(${x}) * power(${e})` : x;
}

/** `x · 2^−(e + f)`. */
export function down({ scaled }: ChunkLayout, x: string, ...e: readonly string[]): string {
  return scaled ? `unscaled(${x}, ${e.join(" + ")})` : x;
}

/** The same of a vector. */
export function down4({ scaled }: ChunkLayout, x: string, ...e: readonly string[]): string {
  return scaled ? `unscaled4(${x}, ${e.join(" + ")})` : x;
}

/** Statements: puts the vectors of array `name` as rows row0 + n·rows of an operand with rows of `width`. */
export function putRows(
  layout: ChunkLayout,
  operand: string,
  name: string,
  n: number,
  e: string,
  { width = layout.slice, column = "col0", rows = rowsAtOnce(layout) }: {
    readonly width?: number;
    readonly column?: string;
    readonly rows?: number;
  } = {},
): string {
  const { unit, stride } = layout;
  return repeat(
    layout,
    n,
    (i) =>
      `let at = (row0 + ${i} * ${rows}u) * ${stride(width)}u + ${column}; let four = ${
        up(layout, `${name}[${i}]`, e)
      };\n` +
      four(layout, (c) => unit.put(operand, `at + ${c}`, `four[${c}]`)),
  );
}

/** Statement: puts `value` as the invocation's key of its token i. */
export function putKey({ unit, slice, stride }: ChunkLayout, operand: string, i: string, value: string): string {
  return unit.put(operand, `(block * ${BLOCK}u + ${i}) * ${stride(slice)}u + key_lane`, value);
}

/** A block of tiles of a product that each group does, spread as evenly as it goes. */
export interface Share {
  readonly rows: number;
  readonly columns: number;
  /** First row and column of the group's block, in elements. */
  readonly rowAt: string;
  readonly columnAt: string;
  /** How many groups have one. */
  readonly active: number;
}

/** Spreads `rows × columns` tiles over the groups: columns first, then rows. */
export function share({ groups }: ChunkLayout, rows: number, columns: number): Share {
  const across = divisor(columns, groups);
  const along = divisor(rows, Math.floor(groups / across));
  return {
    rows: rows / along,
    columns: columns / across,
    rowAt: along === 1 ? "0u" : `((group / ${across}u) * ${BLOCK * rows / along}u)`,
    columnAt: across === 1 ? "0u" : `((group % ${across}u) * ${BLOCK * columns / across}u)`,
    active: across * along,
  };
}

/** The largest divisor of n that is at most `most`. */
function divisor(n: number, most: number): number {
  let d = Math.min(n, Math.max(most, 1));
  while (n % d !== 0) d--;
  return d;
}

/** Statement: `body` in the groups that have a share. */
export function within({ groups }: ChunkLayout, { active }: Share, body: string): string {
  return active >= groups ? `{\n${body}\n}` : `if (group < ${active}u) {\n${body}\n}`;
}

/** An expression for `sums` at the invocation's key and its token i. */
export function sumAt({ slice }: ChunkLayout, i: string): string {
  return `sums[(block * ${BLOCK}u + ${i}) * ${slice}u + key_lane]`;
}

/** `fn sum_vector(at)`: the vector of `sums` from element `at` on. */
export function sumVectors(layout: ChunkLayout): string {
  return /* wgsl */ `
fn sum_vector(at: u32) -> vec4f {
  var four = vec4f();
  ${four(layout, (c) => `four[${c}] = sums[at + ${c}];`)}
  return four;
}
`;
}

export const barrier = "workgroupBarrier();";
