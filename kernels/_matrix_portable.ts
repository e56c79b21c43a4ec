/**
 * Products of tiles by plain loops, for adapters without matrix units: 32 invocations hold a tile, each two rows (8 apart)
 * of four columns. Split operands are two halves in a word, and all halves are rounded by integers and `round`, whose
 * results WGSL fixes, unlike the rounding of its conversions.
 */

import { type OperandLayout, operandLayout } from "./_matrix_layout.ts";
import type { MatrixMode, MatrixUnit, Operand, Product, Sums, Tile } from "./_matrix_types.ts";

const LANES = 32;

const functions = /* wgsl */ `
/* The nearest half, ties to even, for |x| < 65520. */
fn mu_half(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let nearest = bitcast<f32>((bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u);
  return select(nearest, round(x * 16777216.0) * ${2 ** -24}f, abs(x) < ${2 ** -14}f);
}
fn mu_split(x: f32) -> u32 {
  let high = mu_half(x);
  return pack2x16float(vec2f(high, mu_half(x - high)));
}
fn mu_joined(word: u32) -> f32 {
  let parts = unpack2x16float(word);
  return parts.x + parts.y;
}
`;

export function portableUnit(mode: MatrixMode): MatrixUnit {
  return {
    mode,
    hardware: false,
    lanes: LANES,
    key: `${mode} loops 16x16x16`,
    prelude: "",
    functions: mode === "f32" ? "" : functions,
    bytes: (count) => 4 * count,
    declare: (name, count) => `var<workgroup> ${name}: array<${mode === "split" ? "u32" : "f32"}, ${count}>;`,
    element: mode === "split" ? "u32" : "f32",
    arrays: (name) => [name],
    storage: (name, binding, access) =>
      `@group(0) @binding(${binding}) var<storage, ${access}> ${name}: array<${mode === "split" ? "u32" : "f32"}>;`,
    put: (name, index, value) => `${name}[${index}] = ${kept(mode, value)};`,
    get: (name, index) => mode === "split" ? `mu_joined(${name}[${index}])` : `${name}[${index}]`,
    accumulators: (name, rows, columns) => each(name, rows, columns, (sums) => [`var ${sums} = vec4f();`]),
    holds: false,
    fragments: () => "",
    hold: () => "",
    product: (product) => productText(mode, product),
    load: (name, rows, columns, from) =>
      block(each(name, rows, columns, (sums, i, j) => {
        const parts = four.map((c) => `${from.array}[${element(from, rowOf(i), columnOf(j, c))}]`);
        return [`${sums} = vec4f(${parts.join(", ")});`];
      })),
    scale: (name, tile, x, y) =>
      `{\nlet mu_x = ${x}; let mu_y = ${y};\n${
        each(name, 1, 1, (sums) => [`${sums} = ${sums} * mu_x * mu_y;`], tile)
      }\n}`,
    store: (name, rows, columns, to, from) =>
      block(each(
        name,
        rows,
        columns,
        (sums, i, j) => four.map((c) => `${to.array}[${element(to, rowOf(i), columnOf(j, c))}] = ${sums}[${c}];`),
        from,
      )),
  };
}

const block = (lines: string): string => `{\n${place}\n${lines}\n}`;

function kept(mode: MatrixMode, value: string): string {
  if (mode === "f32") return value;
  return mode === "f16" ? `mu_half(${value})` : `mu_split(${value})`;
}

/** The `i`-th row of an invocation, and the first of its four columns in tile column `j`. */
const rowOf = (i: number): string => `mu_row + ${8 * i}`;
const columnOf = (j: number, c = 0): string => `mu_column + ${16 * j + c}`;
const place = `let mu_row = (lid % ${LANES}u) / 4u; let mu_column = (lid % 4u) * 4u;`;
const four = [0, 1, 2, 3] as const;

/** Lines for every vector of sums: its name, its row of the invocation (two a tile) and its column of tiles. */
function each(
  name: string,
  rows: number,
  columns: number,
  lines: (sums: string, i: number, j: number) => string[],
  { row, column }: Tile = { row: 0, column: 0 },
): string {
  const all: string[] = [];
  for (let i = 0; i < 2 * rows; i++) {
    for (let j = 0; j < columns; j++) all.push(...lines(`${name}_${2 * row + i}_${column + j}`, i, j));
  }
  return all.join("\n");
}

function element({ at, stride, transposed }: Pick<Sums, "at" | "stride" | "transposed">, i: string, j: string): string {
  return transposed === true ? `(${at}) + (${j}) * ${stride} + ${i}` : `(${at}) + (${i}) * ${stride} + ${j}`;
}

function productText(mode: MatrixMode, { into, first = 0, rows, columns, inner, a, b }: Product): string {
  const split = mode === "split";
  const [left, right] = [operandLayout(a, "a"), operandLayout(b, "b")];
  const read = (operand: Operand, layout: OperandLayout, tile: number, within: string): string => {
    const along = layout.even ? `mu_k * ${layout.inner}` : `mu_k / 16u * ${layout.step} + mu_k % 16u * ${layout.inner}`;
    const value = `${operand.name}[${layout.start(tile)} + (${within}) * ${layout.outer} + ${along}]`;
    return split ? `unpack2x16float(${value})` : value;
  };
  const lines: string[] = [];
  for (let i = 0; i < 2 * rows; i++) {
    lines.push(`let mu_a_${i} = ${read(a, left, i >> 1, rowOf(i & 1))};`);
  }
  for (let j = 0; j < columns; j++) {
    const values = four.map((c) => read(b, right, j, columnOf(0, c))).join(", ");
    if (split) lines.push(`let mu_b_${j} = transpose(mat4x2f(${values}));`);
    else lines.push(`let mu_b_${j} = vec4f(${values});`);
  }
  lines.push(each(into, rows, columns, (sums, i, j) => {
    const [x, y] = [`mu_a_${i}`, `mu_b_${j}`];
    // Smallest first.
    const terms = split ? [[`${x}.y`, `${y}[0]`], [`${x}.x`, `${y}[1]`], [`${x}.x`, `${y}[0]`]] : [[x, y]];
    return terms.map(([x, y]) => `${sums} = fma(vec4f(${x}), ${y}, ${sums});`);
  }, { row: first, column: 0 }));
  return block(`for (var mu_k = 0u; mu_k < ${16 * inner}u + (lid >> 31u); mu_k++) {\n${lines.join("\n")}\n}`);
}
