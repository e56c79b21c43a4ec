/**
 * The result from partial sums: unscaled where they are not, added up, a bias or what was there added, and stored in the
 * result's type.
 */

import type { Dispatch, Gpu } from "../gpu.ts";
import type { Tensor } from "../tensor.ts";
import { flatWorkgroup } from "../workgroups.ts";
import type { Memory } from "./_design.ts";
import { type Sizes, sizesText, sizesWords } from "./_sizes.ts";

const THREADS = 256;

/** What is to be done. */
export interface Finish {
  /** `[matrices, M, N]`. */
  readonly c: Tensor;
  /** `[N]`. */
  readonly bias?: Tensor | undefined;
  /** What becomes of what C holds: it is replaced, added to the sum, or the sum goes on from it, part after part. */
  readonly before: "replaced" | "added" | "continued";
  /** None if the sums are empty. */
  readonly partial?: PartialSums | undefined;
}

/** Partial sums, `[parts, matrices, rows, columns]`, in matrices of C's size or larger ones. */
export interface PartialSums {
  readonly buffer: GPUBuffer;
  readonly parts: number;
  readonly rows: number;
  readonly columns: number;
  /** What they are to be multiplied by; default: nothing. */
  readonly scales?: Scales;
}

/** A number for every row of C, `[matrices, chunks, ofA]`, and one for 16 of its columns; parts are chunks from `first` on. */
export interface Scales {
  readonly a: GPUBuffer;
  readonly b: GPUBuffer;
  readonly first: number;
  readonly chunks: number;
  /** Numbers of a chunk, which begin with those of C. */
  readonly ofA: number;
  readonly ofB: number;
  /** Whether every matrix has scales of B of its own. */
  readonly batchedB: boolean;
}

const BEFORE = { replaced: 0, added: 1, continued: 2 } as const;

/** Numbers that an invocation handles as one: rows of whole vectors are. */
const vector = ({ c }: Finish): 1 | 4 => c.dtype === "f32" && c.shape.at(-1)! % 4 === 0 ? 4 : 1;

/** Words of the result, vectors of them where there are. */
const wordsOf = (finish: Finish): number =>
  finish.c.dtype === "f32" ? finish.c.length / vector(finish) : Math.ceil(finish.c.length / 2);

function sizesOf(finish: Finish): Sizes {
  const { c, before, partial } = finish;
  const [matrices, M, N] = c.shape as readonly [number, number, number];
  const { parts = 0, rows = 0, columns = 0, scales } = partial ?? {};
  const { first = 0, chunks = 0, ofA = 0, ofB = 0, batchedB = false } = scales ?? {};
  const wide = vector(finish);
  return {
    ...{ length: c.length, words: wordsOf(finish), before: BEFORE[before], M, N: N / wide },
    ...{ parts, part: matrices * rows * columns / wide, rows, columns: columns / wide },
    ...{ first, chunks, scales_a: ofA, scales_b: ofB, batched_b: Number(batchedB) },
  };
}

/** Bindings: the result, the sizes, then partial sums, their scales, and the bias, where there are any. */
function finishShader(finish: Finish): string {
  const { c, bias, partial } = finish;
  const f16 = c.dtype === "f16";
  const wide = vector(finish);
  const type = wide === 4 ? "vec4f" : "f32";
  let binding = 2;
  const read = (name: string, type: string): string =>
    `@group(0) @binding(${binding++}) var<storage, read> ${name}: array<${type}>;`;
  const declarations = [
    ...(partial ? [read("partial", type)] : []),
    ...(partial?.scales ? [read("scales_a", "f32"), read("scales_b", "f32")] : []),
    ...(bias ? [read("bias", type)] : []),
  ];
  const value = (at: string): string => bias ? `sum_of(${at}) + bias[(${at}) % sizes.N]` : `sum_of(${at})`;
  const body = f16
    ? /* wgsl */ `
  var sums = vec2f(${value("2u * at")}, 0.0);
  if (2u * at + 1u < sizes.length) { sums.y = ${value("2u * at + 1u")}; }
  if (sizes.before == ${BEFORE.added}u) { sums += unpack2x16float(result[at]); }
  result[at] = pack2x16float(sums);`
    : /* wgsl */ `
  var sum = ${value("at")};
  if (sizes.before == ${BEFORE.added}u) { sum += result[at]; }
  result[at] = sum;`;
  return /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> result: array<${f16 ? "u32" : type}>;
${sizesText(sizesOf(finish), 1)}
${declarations.join("\n")}
${sumOf(finish, type)}
${flatWorkgroup}
@compute @workgroup_size(${THREADS})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let at = flat_workgroup(id, grid) * ${THREADS}u + lid;
  if (at >= sizes.words) { return; }
  ${body}
}
`;
}

/** `fn sum_of(at) -> type`: a number of C, or vector of them, from all parts. */
function sumOf(finish: Finish, type: string): string {
  const { c, partial } = finish;
  if (partial === undefined) return `fn sum_of(at: u32) -> ${type} { return ${type}(); }`;
  const [, M, N] = c.shape as readonly [number, number, number];
  const same = partial.rows === M && partial.columns === N;
  const scaled = partial.scales !== undefined;
  const one = (part: string): string => {
    const sum = `partial[${part} * sizes.part + place]`;
    return scaled ? `unscaled(${sum}, matrix, sizes.first + ${part}, i, column)` : sum;
  };
  return /* wgsl */ `
${
    scaled
      ? `/* Scales one after the other: together they may leave the range of f32 where the number does not. */
fn unscaled(x: ${type}, matrix: u32, chunk: u32, row: u32, column: u32) -> ${type} {
  let a = scales_a[(matrix * sizes.chunks + chunk) * sizes.scales_a + row];
  let b = scales_b[(sizes.batched_b * matrix * sizes.chunks + chunk) * sizes.scales_b + column / ${
        16 / vector(finish)
      }u];
  return x * min(a, b) * max(a, b);
}`
      : ""
  }
fn sum_of(at: u32) -> ${type} {
  ${same && !scaled ? "let place = at;" : "let row = at / sizes.N; let column = at % sizes.N;"}
  ${same && !scaled ? "" : "let matrix = row / sizes.M; let i = row % sizes.M;"}
  ${same && !scaled ? "" : "let place = (matrix * sizes.rows + i) * sizes.columns + column;"}
  var sum = ${one("0u")};
  ${c.dtype === "f32" ? `if (sizes.before == ${BEFORE.continued}u) { sum = result[at] + sum; }` : ""}
  for (var part = 1u; part < sizes.parts; part++) { sum += ${one("part")}; }
  return sum;
}
`;
}

/** The last dispatch of a product, or of some parts of it. */
export function planFinish(gpu: Gpu, memory: Memory, finish: Finish): () => Promise<Dispatch> {
  const { c, bias, partial } = finish;
  const sizes = memory.uniform(sizesWords(sizesOf(finish)));
  return async () => {
    const pipeline = await gpu.compile({ label: "matmul finish", code: finishShader(finish) });
    const inputs = [partial?.buffer, partial?.scales?.a, partial?.scales?.b, bias?.buffer];
    const buffers = [c.buffer, sizes, ...inputs.filter((buffer) => buffer !== undefined)];
    return { pipeline, buffers, workgroups: Math.ceil(wordsOf(finish) / THREADS) };
  };
}
