/**
 * The product in plain f32: a workgroup computes a block of C, an invocation 8 × 8 (or 4 × 4) of its numbers, with terms in
 * workgroup memory; what the next step needs is read into registers while this one multiplies.
 *
 * Where workgroups are few, the time is that of one: the wait for memory at every step, and what an invocation does between.
 * Then the parts of the sum can be its own (`together`), a group of invocations for each, and are added at its end.
 */

import { InputError } from "../../models/error.ts";
import { entryPerGroup } from "./_entry.ts";
import { type Extents, quadLoad } from "./_load.ts";
import type { Problem, Side } from "./_problem.ts";
import { type Sizes, sizesText } from "./_sizes.ts";
import { placeOf } from "./_tiling.ts";

export interface PlainTuning {
  /** Rows, and columns, of an invocation: 4 or 8. */
  readonly each?: number;
  /** Rows and columns of C of a workgroup, multiples of `each`. */
  readonly blockRows?: number;
  readonly blockColumns?: number;
  /** Terms of the sum at a time, a multiple of 4. */
  readonly blockTerms?: number;
  /** Whether the next terms are read ahead. */
  readonly prefetch?: boolean;
  readonly swizzle?: number;
  /** Whether a workgroup takes all parts of the sum, by invocations of their own. */
  readonly together?: boolean;
}

export interface Plain {
  readonly problem: Problem;
  readonly tuning: Required<PlainTuning>;
  readonly parts: number;
  readonly accumulate: boolean;
  /** Whether it adds the problem's bias. */
  readonly bias: boolean;
  /** Whether numbers are read one by one even where rows are whole vectors: slower, and one text for all sizes. */
  readonly single: boolean;
}

/** What the kernel's extents follow from. */
export type Extent = Pick<Plain, "tuning" | "parts">;

/** Parts of the sum in one workgroup. */
const groupsOf = ({ tuning, parts }: Extent): number => tuning.together ? parts : 1;

/** Invocations of one part. */
const threadsEach = ({ each, blockRows, blockColumns }: Required<PlainTuning>): number =>
  blockRows / each * (blockColumns / each);

export const plainThreads = (extent: Extent): number => groupsOf(extent) * threadsEach(extent.tuning);

/** One vector more than a row of terms has, so that neighbouring rows lie on other banks. */
const widthOf = (numbers: number): number => numbers / 4 + 1;

/** Vectors of one part's terms of A, and of B. */
const vectorsOf = ({ blockRows, blockColumns, blockTerms }: Required<PlainTuning>): readonly [number, number] => [
  blockTerms * widthOf(blockRows),
  blockTerms * widthOf(blockColumns),
];

/** Vectors of the array that has A's terms: at the end it has a part's sums, where there are others. */
function vectorsOfA(extent: Extent): number {
  const { blockRows, blockColumns } = extent.tuning;
  const groups = groupsOf(extent);
  return Math.max(groups * vectorsOf(extent.tuning)[0], groups === 1 ? 0 : blockRows * blockColumns / 4);
}

export function plainBytes(extent: Extent): number {
  return 16 * (vectorsOfA(extent) + groupsOf(extent) * vectorsOf(extent.tuning)[1]);
}

/** Throws an {@link InputError} on numbers that do not fit the kernel. */
export function plainTuning(tuning: PlainTuning, defaults: Required<PlainTuning>): Required<PlainTuning> {
  const all = { ...defaults, ...tuning };
  const { each } = all;
  if (each !== 4 && each !== 8) throw new InputError(`Cannot multiply: each must be 4 or 8, got ${each}`);
  for (
    const [name, unit] of [["blockRows", each], ["blockColumns", each], ["blockTerms", 4], ["swizzle", 1]] as const
  ) {
    if (Number.isInteger(all[name]) && all[name] >= unit && all[name] % unit === 0) continue;
    throw new InputError(`Cannot multiply: ${name} must be a positive multiple of ${unit}, got ${all[name]}`);
  }
  return all;
}

function grid({ problem, tuning }: Plain): { readonly down: number; readonly across: number } {
  return { down: Math.ceil(problem.M / tuning.blockRows), across: Math.ceil(problem.N / tuning.blockColumns) };
}

/** Parts of the sum that come out of the kernel. */
export const partsApart = ({ tuning, parts }: Extent): number => tuning.together ? 1 : parts;

export function plainWorkgroups(plain: Plain): number {
  const { down, across } = grid(plain);
  return down * across * partsApart(plain) * plain.problem.batches;
}

/** What parts of a sum are multiples of whose steps divide it, so that they are the same ones in blocks of any size. */
const GRAIN = 32;

/** Terms of one part of the sum, whole steps. */
export function termsEach({ problem, tuning, parts }: Plain): number {
  const { blockTerms } = tuning;
  const grain = parts > 1 && GRAIN % blockTerms === 0 ? GRAIN : blockTerms;
  return Math.ceil(problem.K / (grain * parts)) * grain;
}

const four = [0, 1, 2, 3] as const;

export function plainSizes(plain: Plain): Sizes {
  const { problem: { batches, M, N, K, a, b }, accumulate } = plain;
  return {
    ...{
      batches,
      M,
      N,
      K,
      parts: partsApart(plain),
      ...grid(plain),
      terms: termsEach(plain),
      workgroups: plainWorkgroups(plain),
    },
    ...{ accumulate: Number(accumulate), batched_a: Number(a.batched), batched_b: Number(b.batched) },
  };
}

function extentsOf({ single, problem }: Plain, name: "a" | "b"): Extents {
  const { along, inner } = problem[name];
  const outside = name === "a" ? "sizes.M" : "sizes.N";
  return {
    ...(along ? { outer: outside, inner: "sizes.K" } : { outer: "sizes.K", inner: outside }),
    matrix: `sizes.batched_${name} * batch`,
    whole: !single && inner % 4 === 0,
  };
}

const store = (to: string, value: string): string =>
  `if (sizes.accumulate == 0u) { ${to} = ${value}; } else { ${to} = ${to} + ${value}; }`;

/** Bindings: A, B, the result, {@linkcode plainSizes}, and the bias if there is one. */
export function plainShader(plain: Plain): string {
  const { problem: { N, a, b }, tuning } = plain;
  const { blockRows, blockColumns, blockTerms, prefetch } = tuning;
  // Vectors of four rows, and of four columns, of an invocation, evenly apart in the block.
  const vectors = tuning.each / 4;
  const threads = threadsEach(tuning);
  const groups = groupsOf(plain);
  const [eachA, eachB] = vectorsOf(tuning);
  const [widthA, widthB] = [widthOf(blockRows), widthOf(blockColumns)];
  const across = blockColumns / tuning.each;
  const aligned = !plain.single && N % 4 === 0;
  const blocksA = blockRows / 4 * (blockTerms / 4);
  const blocks = blocksA + blockColumns / 4 * (blockTerms / 4);
  const turns = Math.ceil(blocks / threads);
  const registers: string[] = [];
  const reads: string[] = [];
  const writes: string[] = [];
  for (let turn = 0; turn < turns; turn++) {
    const next = four.map((c) => `next_${turn}_${c}`);
    registers.push(...next.map((name) => `var ${name} = vec4f();`));
    const block = `own + ${turn * threads}u`;
    const either = (ofA: string, ofB: string): string =>
      `if (${block} < ${blocksA}u) { let block = ${block}; ${ofA} } ` +
      `else if (${block} < ${blocks}u) { let block = ${block} - ${blocksA}u; ${ofB} }`;
    reads.push(either(
      read("a", a, next, blockRows, blockTerms, `${blockRows}u * tile_row`),
      read("b", b, next, blockColumns, blockTerms, `${blockColumns}u * tile_column`),
    ));
    writes.push(either(
      write("a", a, next, blockRows, blockTerms, widthA),
      write("b", b, next, blockColumns, blockTerms, widthB),
    ));
  }
  const sums = (line: (i: number, h: number) => string): string =>
    Array.from({ length: 4 * vectors ** 2 }, (_, n) => line(Math.floor(n / vectors), n % vectors)).join("\n");
  const each = (line: (v: number) => string): string => Array.from({ length: vectors }, (_, v) => line(v)).join("\n");
  const leftOf = (h: number): string => `left + ${h * blockColumns / vectors}u`;
  const readAll = (k: string): string => `{ let ahead = ${k};\n${reads.join("\n")}\n}`;
  return /* wgsl */ `
${sizesText(plainSizes(plain), 3)}
${quadLoad("a", 0, a, extentsOf(plain, "a"))}
${quadLoad("b", 1, b, extentsOf(plain, "b"))}
${biasLoad(plain, aligned)}
@group(0) @binding(2) var<storage, read_write> result: array<${aligned ? "vec4f" : "f32"}>;
var<workgroup> terms_a: array<vec4f, ${vectorsOfA(plain)}>;
var<workgroup> terms_b: array<vec4f, ${groups * eachB}>;
fn emit(batch: u32, part: u32, row: u32, column: u32, value: vec4f) {
  if (row >= sizes.M || column >= sizes.N) { return; }
  let at = ((part * sizes.batches + batch) * sizes.M + row) * sizes.N + column;
  ${
    aligned
      ? store("result[at / 4u]", "value")
      : `for (var c = 0u; c < min(4u, sizes.N - column); c++) { ${store("result[at + c]", "value[c]")} }`
  }
}

${
    entryPerGroup(
      groups * threads,
      /* wgsl */ `${
        placeOf({ down: "sizes.down", across: "sizes.across", parts: "sizes.parts", swizzle: tuning.swizzle })
      }
  ${
        groups === 1
          ? "let own = lid; let mine = part; let from_a = 0u; let from_b = 0u;"
          : `let own = lid % ${threads}u; let mine = lid / ${threads}u; let from_a = mine * ${eachA}u; let from_b = mine * ${eachB}u;`
      }
  let row = own / ${across}u;
  let column = own % ${across}u;
  ${registers.join("\n  ")}
  ${sums((i, h) => `var sum_${i}_${h} = vec4f();`)}
  ${prefetch ? readAll("mine * sizes.terms") : ""}
  ${
        // Parts of one workgroup take as many steps each.
        groups === 1
          ? `for (var k = mine * sizes.terms; k < min(mine * sizes.terms + sizes.terms, sizes.K); k += ${blockTerms}u) {`
          : `for (var step = 0u; step < sizes.terms; step += ${blockTerms}u) { let k = mine * sizes.terms + step;`}
    ${prefetch ? "" : readAll("k")}
    ${writes.join("\n    ")}
    workgroupBarrier();
    ${prefetch ? readAll(`k + ${blockTerms}u`) : ""}
    for (var t = 0u; t < ${blockTerms}u; t++) {
      ${each((v) => `let a_${v} = terms_a[from_a + t * ${widthA}u + row + ${v * blockRows / tuning.each}u];`)}
      ${each((v) => `let b_${v} = terms_b[from_b + t * ${widthB}u + column + ${v * across}u];`)}
      ${sums((i, h) => `sum_${i}_${h} = fma(vec4f(a_${i >> 2}[${i & 3}]), b_${h}, sum_${i}_${h});`)}
    }
    workgroupBarrier();
  }
  ${groups === 1 ? "" : addParts({ groups, threads, vectors, sums })}
  let top = ${blockRows}u * tile_row + 4u * row;
  let left = ${blockColumns}u * tile_column + 4u * column;
  ${plain.bias ? each((h) => `let bias_${h} = bias_quad(0u, 0u, ${leftOf(h)});`) : ""}
  ${
        sums((i, h) => {
          const at = `top + ${(i >> 2) * blockRows / vectors + (i & 3)}u, ${leftOf(h)}`;
          return `emit(batch, part, ${at}, sum_${i}_${h}${plain.bias ? ` + bias_${h}` : ""});`;
        })
      }`,
    )
  }
`;
}

/** WGSL: the first part's invocations add those of the others to theirs, part after part; they alone go on. */
function addParts({ groups, threads, vectors, sums }: {
  readonly groups: number;
  readonly threads: number;
  /** Of a row of an invocation's sums. */
  readonly vectors: number;
  readonly sums: (line: (i: number, h: number) => string) => string;
}): string {
  const at = (i: number, h: number): string => `terms_a[own + ${(i * vectors + h) * threads}u]`;
  return /* wgsl */ `for (var other = 1u; other < ${groups}u; other++) {
    if (mine == other) { ${sums((i, h) => `${at(i, h)} = sum_${i}_${h};`)} }
    workgroupBarrier();
    if (mine == 0u) { ${sums((i, h) => `sum_${i}_${h} += ${at(i, h)};`)} }
    workgroupBarrier();
  }
  if (mine != 0u) { return; }`;
}

/** `bias_quad`, of a matrix of one row. */
function biasLoad({ bias: adds, problem: { bias } }: Plain, whole: boolean): string {
  if (!adds || bias === undefined) return "";
  return quadLoad("bias", 4, { tensor: bias }, { outer: "1u", inner: "sizes.N", matrix: "0u", whole });
}

/** Four vectors of a 4 × 4 block: rows of the operand as it lies. */
function read(
  name: string,
  side: Side,
  next: readonly string[],
  size: number,
  blockTerms: number,
  first: string,
): string {
  const { outside, inside } = placeOfBlock(side, size, blockTerms);
  return next.map((register, c) => {
    const at = side.along
      ? `${first} + 4u * ${outside} + ${c}u, ahead + 4u * ${inside}`
      : `ahead + 4u * ${outside} + ${c}u, ${first} + 4u * ${inside}`;
    return `${register} = ${name}_quad(batch, ${at});`;
  }).join(" ");
}

/** Neighbouring invocations take neighbouring blocks along the axis that is contiguous. */
function placeOfBlock(side: Side, size: number, blockTerms: number): { outside: string; inside: string } {
  const inner = (side.along ? blockTerms : size) / 4;
  return { outside: `(block / ${inner}u)`, inside: `(block % ${inner}u)` };
}

/** Stores a block as four terms of four numbers of the outer axis. */
function write(
  name: string,
  side: Side,
  next: readonly string[],
  size: number,
  blockTerms: number,
  width: number,
): string {
  const { outside, inside } = placeOfBlock(side, size, blockTerms);
  return four.map((c) => {
    const [term, at] = side.along ? [inside, outside] : [outside, inside];
    const value = side.along ? `vec4f(${next.map((register) => `${register}[${c}]`).join(", ")})` : next[c];
    return `terms_${name}[from_${name} + (4u * ${term} + ${c}u) * ${width}u + ${at}] = ${value};`;
  }).join(" ");
}
