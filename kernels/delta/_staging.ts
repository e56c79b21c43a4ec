/**
 * The loads of a serial kernel: blocks of tokens brought to workgroup memory in two halves, one read while the other is
 * filled from registers that hold the next block's loads in flight.
 *
 * Arrays along K are padded with zeros to whole groups of rows, arrays along V cut to the workgroup's columns, and
 * tokens behind the end are read as zeros (a decay of e^0): they leave the state as it is. What was read is looked at when it
 * is written to workgroup memory and no sooner, or every block would wait for the next one's loads.
 *
 * A block that is whole, of arrays whose rows are, is loaded without looking: a load then costs an addition, where finding
 * its place and whether it is there cost ten instructions, some 20 clocks a token of all that a walk took on an H200.
 */
import type { DType } from "../tensor.ts";
import type { InputLayout } from "./rule.ts";
import type { Tile } from "./tile.ts";

/** One array to stage: storage buffer `in_name`, workgroup array `s_name`. */
export interface Staged extends InputLayout {
  readonly name: string;
  readonly dtype: DType;
  /** WGSL of what is kept, from what was read (both vec4f, or f32 where the axis is none) as the invocation's unit `unit`. */
  value(raw: string, unit: number): string;
  /** Statements besides, of what is kept as unit `unit`, which is entry `at` of an array along K. Default: none. */
  beside?(kept: string, unit: number, at: string): string;
}

export interface Extents {
  readonly K: number;
  readonly V: number;
  readonly microSteps: number;
}

/** What a kernel loads with the block from token `first` (an expression): statements. */
export interface AlsoLoaded {
  readonly declared: string;
  /** Where all tokens of the block are there, and where not. */
  whole(first: string): string;
  cut(first: string): string;
}

/** WGSL of the staging of one kernel. */
export interface Staging {
  /** WGSL types of the storage buffers by name. */
  readonly types: Readonly<Record<string, string>>;
  /** Workgroup arrays and load functions, for module scope. */
  readonly functions: string;
  /**
   * Statements: loads the block that starts at token `first` (an expression) into values of this scope; of `only` these, and `also`.
   * They stand in branches: as statements of the loop a compiler moves loads to where they are kept, and each block waits.
   */
  load(first: string, only?: readonly string[], also?: AlsoLoaded): string;
  /** Statements: writes them to half `half` (an expression, 0 or 1). */
  keep(half: string, only?: readonly string[]): string;
}

/** How rows along K without micro-steps are divided: units of an invocation, and the token of the block that one belongs to. */
export function rowUnits({ rows, group, threads, block }: Tile): {
  readonly count: number;
  readonly token: (unit: number) => string;
} {
  const perToken = rows * group / 4;
  const count = Math.ceil(block * perToken / threads);
  const token = (n: number): string =>
    threads % perToken === 0
      ? `lid / ${perToken}u${n === 0 ? "" : ` + ${n * threads / perToken}u`}`
      : `(lid + ${n * threads}u) / ${perToken}u`;
  // What lies behind the last unit is kept nowhere.
  return { count, token: (n) => (n + 1) * threads <= block * perToken ? token(n) : `min(${token(n)}, ${block - 1}u)` };
}

export const columnType = (columns: number): string => columns === 1 ? "f32" : `vec${columns}f`;

/** The type under which a buffer's rows of `width` numbers are read in fours, or one by one. */
function typeOf(dtype: DType, width: number): { type: string; vector: boolean } {
  const vector = width % 4 === 0;
  if (dtype === "f32") return { type: vector ? "array<vec4f>" : "array<f32>", vector };
  return { type: vector ? "array<vec2u>" : "array<u32>", vector };
}

const oneHalf = (name: string, at: string): string => `unpack2x16float(${name}[(${at}) / 2u])[(${at}) & 1u]`;

/** The four numbers from element `at`, of which those from column `column` on that lie below `width` exist. */
function four(name: string, dtype: DType, width: number): string {
  const { vector } = typeOf(dtype, width);
  if (vector) return `let raw = ${name}[at / 4u];`;
  const element = (c: number): string => dtype === "f32" ? `${name}[at + ${c}u]` : oneHalf(name, `at + ${c}u`);
  return [
    "var raw = vec4f();",
    ...[0, 1, 2, 3].map((c) => `if (column + ${c}u < ${width}u) { raw[${c}] = ${element(c)}; }`),
  ].join("\n  ");
}

/**
 * The staging of `arrays` for a tile. The kernel declares `p: Params`, the privates `batch`, `head`, `behind`, `first_column`, and
 * `end`, which is `behind`.
 */
export function staging(arrays: readonly Staged[], { K, V, microSteps }: Extents, tile: Tile): Staging {
  const { rows, group, columns, threads, width, block, unchecked: quickly } = tile;
  const padded = rows * group;
  const each = arrays.map((array) => {
    const { name, dtype, axis, micro, value, beside } = array;
    const buffer = `in_${name}`;
    const rate = micro ? microSteps : 1;
    const perStep = axis === "K" ? padded / 4 : axis === "V" ? width / 4 : 1;
    const units = block * rate * perStep;
    const count = Math.ceil(units / threads);
    const type = axis === "none" ? "f32" : "vec4f";
    const extent = axis === "K" ? K : V;
    // Four halves stay packed until they are kept.
    const packed = dtype === "f16" && axis !== "none" && extent % 4 === 0;
    // So does a half among single numbers: its word, and how far it is to be shifted, which no load is waited for.
    const shifted = dtype === "f16" && axis === "none";
    const rawType = packed || shifted ? "vec2u" : type;
    const unpacked = (raw: string): string =>
      packed
        ? `vec4f(unpack2x16float(${raw}.x), unpack2x16float(${raw}.y))`
        : shifted
        ? `unpack2x16float(${raw}.x >> ${raw}.y).x`
        : raw;
    const kept = axis === "V" ? columnType(columns) : type;
    const perUnit = axis === "V" ? 4 / columns : 1;
    const row = `(batch * p.T * ${rate}u + step) * p.H + head`;
    const single = shifted ? `vec2u(${buffer}[at_${name} / 2u], 16u * (at_${name} & 1u))` : `${buffer}[at_${name}]`;
    const read = axis === "none" ? [`let at_${name} = ${row};`, `let raw = ${single};`] : [
      `let column = ${axis === "V" ? "first_column + " : ""}4u * (unit % ${perStep}u);`,
      `if (column >= ${extent}u) { return ${rawType}(); }`,
      `let at = (${row}) * ${extent}u + column;`,
      four(buffer, dtype, extent),
    ];
    const functions = /* wgsl */ `
var<workgroup> s_${name}: array<${kept}, ${2 * units * perUnit}>;
fn load_${name}(unit: u32, first: u32) -> ${rawType} {
  let step = first * ${rate}u + unit / ${perStep}u;
  if (unit >= ${units}u || step >= behind * ${rate}u) { return ${rawType}(); }
  ${read.join("\n  ")}
  return raw;
}`;
    const unit = (n: number): string => n === 0 ? "lid" : `lid + ${n * threads}u`;
    const indices = Array.from({ length: count }, (_, n) => n);
    const whole = quickly &&
      (axis === "none"
        ? units <= threads
        : extent % (axis === "K" ? padded : width) === 0 && width % 4 === 0 && threads % perStep === 0 &&
          units % threads === 0 && (packed || dtype === "f32"));
    const checked = (first: string): readonly string[] =>
      indices.map((n) => `n_${name}_${n} = load_${name}(${unit(n)}, ${first});`);
    const unchecked = (first: string): readonly string[] =>
      axis === "none"
        ? [
          `let at_${name} = ((batch * p.T + ${first}) * ${rate}u + min(lid, ${units - 1}u)) * p.H + head;`,
          `n_${name}_0 = ${single};`,
        ]
        : [
          `let at_${name} = ((batch * p.T + ${first}) * ${rate}u + lid / ${perStep}u) * p.H * ${extent / 4}u + ` +
          `head * ${extent / 4}u + ${axis === "V" ? "first_column / 4u + " : ""}lid % ${perStep}u;`,
          ...indices.map((n) =>
            `n_${name}_${n} = ${buffer}[at_${name} + ${n * threads / perStep}u * p.H * ${extent / 4}u];`
          ),
        ];
    const declared = indices.map((n) => `var n_${name}_${n}: ${rawType};`);
    const keep = (half: string): string =>
      Array.from({ length: count }, (_, n) => {
        const from = `v_${name}_${n}`;
        const at = `(${half}) * ${units * perUnit}u + (${unit(n)})${perUnit === 1 ? "" : ` * ${perUnit}u`}`;
        const stores = `let ${from} = ${value(unpacked(`n_${name}_${n}`), n)}; ` + (axis !== "V" || columns === 4
          ? `s_${name}[${at}] = ${from};`
          : columns === 2
          ? `s_${name}[${at}] = ${from}.xy; s_${name}[${at} + 1u] = ${from}.zw;`
          : [0, 1, 2, 3].map((c) => `s_${name}[${at} + ${c}u] = ${from}[${c}];`).join(" ")) +
          (beside === undefined ? "" : ` ${beside(from, n, at)}`);
        return (n + 1) * threads <= units ? stores : `if (${unit(n)} < ${units}u) { ${stores} }`;
      }).join("\n");
    const { type: bound } = typeOf(dtype, axis === "none" ? 1 : extent);
    return { name, buffer, type: bound, functions, declared, whole, checked, unchecked, keep };
  });
  const chosen = (only?: readonly string[]): typeof each => each.filter(({ name }) => only?.includes(name) ?? true);
  return {
    types: Object.fromEntries(each.map(({ buffer, type }) => [buffer, type])),
    functions: each.map(({ functions }) => functions).join("\n"),
    load(first, only, also) {
      const all = chosen(only);
      const [quick, slow] = [all.filter(({ whole }) => whole), all.filter(({ whole }) => !whole)];
      return [
        ...all.flatMap(({ declared }) => declared),
        also?.declared ?? "",
        ...slow.flatMap(({ checked }) => checked(first)),
        ...(quick.length === 0 && also === undefined ? [] : [
          // Of `end`, unlike `behind`, a compiler knows that it is the same for all.
          `if (${first} + ${block}u <= end) {`,
          ...quick.flatMap(({ unchecked }) => unchecked(first)),
          also?.whole(first) ?? "",
          // Where all blocks are whole it is only what lies behind the last that comes here, and is zeros. Without another way a
          // branch is none to a compiler, and loads are moved all the same.
          "} else {",
          ...quick.flatMap(({ checked }) => checked(first)),
          also?.cut(first) ?? "",
          "}",
        ]),
      ].join("\n");
    },
    keep: (half, only) => chosen(only).map(({ keep }) => keep(half)).join("\n"),
  };
}
