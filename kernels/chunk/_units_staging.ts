/**
 * How blocks of the caller's tensors come into workgroup memory as operands: 16 bytes an invocation and load, all loads of a
 * block under way before the first is used, four numbers side by side when they are put.
 */

import type { DType } from "../tensor.ts";
import { numberAt, numberBinding } from "./_global.ts";
import type { Binding } from "../wgsl.ts";
import { repeat } from "./_common.ts";
import { lanesOf, scaled, type UnitsConfig } from "./_units_config.ts";

/** A block of rows that the workgroup's invocations hold in registers, as they were loaded. */
export interface Block {
  /** Of the registers. */
  readonly name: string;
  readonly source: string;
  readonly dtype: DType;
  readonly rows: number;
  /** Numbers of a row. */
  readonly width: number;
  readonly threads: number;
}

const vectorOf = (dtype: DType): string => dtype === "f32" ? "vec4f" : "vec4u";

/** The binding of a tensor whose rows are read, or written, 16 bytes at a time. */
export function vectorBinding(name: string, dtype: DType, access: "read" | "read_write" = "read"): Binding {
  return { name, access, type: `array<${vectorOf(dtype)}>` };
}

/** Vectors of a block's row, and of one invocation. */
function extents({ dtype, rows, width, threads }: Block): { readonly perRow: number; readonly items: number } {
  const perRow = width / lanesOf(dtype);
  return { perRow, items: Math.ceil(rows * perRow / threads) };
}

export function registers(block: Block): string {
  return `var ${block.name}: array<${vectorOf(block.dtype)}, ${extents(block).items}>;`;
}

/** `text` for every vector an invocation holds; in it `row` and `part` say which, and `j` counts. */
function eachVector(config: UnitsConfig, block: Block, text: (j: string) => string): string {
  const { perRow, items } = extents(block);
  const even = block.rows * perRow % block.threads === 0;
  return repeat(config, "j", items, (j) =>
    `let row = (lid + ${j} * ${block.threads}u) / ${perRow}u;
let part = (lid + ${j} * ${block.threads}u) % ${perRow}u;
${even ? text(j) : `if (row < ${block.rows}u) {\n${text(j)}\n}`}`);
}

/** Loads the block; `at` is the number of the vector where its row `row` starts, zeros where `there` does not hold. */
export function fetchBlock(
  config: UnitsConfig,
  block: Block,
  { at, there }: { readonly at: string; readonly there: string },
): string {
  const { name, source, dtype } = block;
  return eachVector(
    config,
    block,
    (j) => `${name}[${j}] = ${vectorOf(dtype)}();\nif (${there}) { ${name}[${j}] = ${source}[${at} + part]; }`,
  );
}

/** The vectors of four that a loaded one is. */
function fours({ name, dtype }: Block, j: string): readonly string[] {
  const raw = `${name}[${j}]`;
  if (dtype === "f32") return [raw];
  return [0, 2].map((n) => `vec4f(unpack2x16float(${raw}[${n}]), unpack2x16float(${raw}[${n + 1}]))`);
}

/** The largest magnitude of a loaded vector. */
function largest({ unit }: UnitsConfig, block: Block, j: string): string {
  const raw = `${block.name}[${j}]`;
  // Halves are compared as such where there are some.
  if (unit.hardware && block.dtype === "f16") {
    return `largest_half(max(abs(bitcast<vec4<f16>>(${raw}.xy)), abs(bitcast<vec4<f16>>(${raw}.zw))))`;
  }
  return fours(block, j).map((four) => `largest_of(${four})`).reduce((a, b) => `max(${a}, ${b})`);
}

/** Notes the invocation's `most`, if it is the workgroup's largest number. */
export function noteMost({ subgroup }: UnitsConfig, to: string): string {
  return subgroup > 0
    ? `let all = subgroupMax(most); if (lid % ${subgroup}u == 0u) { atomicMax(&${to}, bitcast<u32>(all)); }`
    : `atomicMax(&${to}, bitcast<u32>(most));`;
}

/** Notes the block's largest magnitude in `largest[slot]`. */
export function noteLargest(config: UnitsConfig, block: Block, slot: string): string {
  if (!scaled(config)) return "";
  return `{ var most = 0.0;
${eachVector(config, block, (j) => `most = max(most, ${largest(config, block, j)});`)}
${noteMost(config, `largest[${slot}]`)} }`;
}

/** Notes the largest magnitude of every row, times the scale, in `rows`, from `first` on. */
export function noteRows(config: UnitsConfig, block: Block, first: string): string {
  if (!scaled(config)) return "";
  const { perRow } = extents(block);
  const even = block.rows * perRow % block.threads === 0;
  const together = config.subgroup > 0 && even && perRow <= config.subgroup && Number.isInteger(Math.log2(perRow));
  return eachVector(config, block, (j) => {
    const lines = [`var most = ${largest(config, block, j)} * abs(params.scale);`];
    if (!together) return `${lines[0]}\natomicMax(&rows[${first} + row], bitcast<u32>(most));`;
    for (let mask = perRow / 2; mask >= 1; mask /= 2) {
      lines.push(`most = max(most, subgroupShuffleXor(most, ${mask}u));`);
    }
    return `${lines.join("\n")}\nif (part == 0u) { atomicStore(&rows[${first} + row], bitcast<u32>(most)); }`;
  });
}

/** Puts halves into an operand of halves, bit by bit. */
export function copyBlock(config: UnitsConfig, block: Block, operand: string): string {
  const { unit, pad } = config;
  if (!unit.hardware) return putBlock(config, block, operand, "");
  const array = unit.arrays(operand)[0]!;
  const lanes = lanesOf(block.dtype);
  return eachVector(config, block, (j) => {
    const raw = `${block.name}[${j}]`;
    const lines = [
      `let place = ${lanes}u * (row * ${(block.width + pad) / lanes}u + part);`,
      `let low = bitcast<vec4<f16>>(${raw}.xy);`,
      `let high = bitcast<vec4<f16>>(${raw}.zw);`,
    ];
    for (let n = 0; n < 8; n++) lines.push(`${array}[place + ${n}u] = ${n < 4 ? "low" : "high"}[${n % 4}];`);
    return lines.join("\n");
  });
}

/** Puts the block into an operand; `factor` may depend on `row`, and is taken once for a vector. */
export function putBlock(config: UnitsConfig, block: Block, operand: string, factor: string): string {
  const lanes = lanesOf(block.dtype);
  const stride = block.width + config.pad;
  return eachVector(config, block, (j) => {
    const lines = [`let place = ${lanes}u * (row * ${stride / lanes}u + part);`];
    if (factor !== "") lines.push(`let factor = ${factor};`);
    fours(block, j).forEach((four, f) => {
      lines.push(`let four_${f} = ${four}${factor === "" ? "" : " * factor"};`);
      for (let n = 0; n < 4; n++) lines.push(config.unit.put(operand, `place + ${4 * f + n}u`, `four_${f}[${n}]`));
    });
    return lines.join("\n");
  });
}

/** `fn raw_gate(b, token, h)`: the gate of a token as it is given; behind the end that of the last. */
export function gateFunction({ kind, per, gateDtype }: UnitsConfig): string {
  if (kind === "none") return "";
  const at = per === "head" ? "h" : "(b * params.T + min(token, params.T - 1u)) * params.H + h";
  return `fn raw_gate(b: u32, token: u32, h: u32) -> f32 { return ${numberAt("in_g", gateDtype, at)}; }`;
}

/** The multiplier that a raw gate stands for: taken when it is put, so that loads stay under way. */
export function multiplier({ form }: UnitsConfig, raw: string): string {
  return form === "log" ? `ds_exp(${raw})` : raw;
}

export function gateBinding({ kind, gateDtype }: UnitsConfig): Binding[] {
  return kind === "none" ? [] : [numberBinding("in_g", gateDtype)];
}
