/** The state in an invocation's registers `s`: cell `lid + j·threads` of each slice of keys, which lies tile by
 * tile (_products.ts). */

import { note, repeat } from "./_common.ts";
import type { Derived, ForwardConfig } from "./_config.ts";
import { operandPlace, tiledPlace } from "./_places.ts";

/** A statement for every number of slice `i`, a WGSL expression; in it `cell` is its place in the slice. */
function eachOf(config: ForwardConfig, d: Derived, i: string, text: (name: string) => string): string {
  const { slice, columns, threads } = config;
  return repeat(config, "j", d.stateItems, (j) => {
    const body = text(`s[${i} * ${d.stateItems}u + ${j}]`);
    const even = slice * columns % threads === 0;
    return `let cell = lid + ${j} * ${threads}u;\n${even ? body : `if (cell < ${slice * columns}u) {\n${body}\n}`}`;
  });
}

const placeOf = ({ columns }: ForwardConfig): { readonly row: string; readonly column: string } =>
  tiledPlace("cell", columns / 16);
const keyOf = (config: ForwardConfig, i: string): string => `(${i} * ${config.slice}u + ${placeOf(config).row})`;
const columnOf = (config: ForwardConfig): string => `(first_column + ${placeOf(config).column})`;
const within = (config: ForwardConfig, i: string): string =>
  `${keyOf(config, i)} < ${config.K}u && ${columnOf(config)} < ${config.V}u`;
/** Where the entry lies in the `[K, V]` block number `index`. */
const entry = (config: ForwardConfig, i: string, index: string): string =>
  `((${index}) * ${config.K}u + ${keyOf(config, i)}) * ${config.V}u + ${columnOf(config)}`;

/** Declares the state, from where the segment starts. */
export function openState(config: ForwardConfig, d: Derived): string {
  const from = "sequence * params.segments + segment";
  return `var s: array<f32, ${d.slices * d.stateItems}>;
${
    config.initial
      ? repeat(config, "i", d.slices, (i) =>
        eachOf(config, d, i, (s) =>
          `if (${within(config, i)}) { ${s} = state_in[${entry(config, i, from)}]; }`))
      : ""
  }`;
}

/** Notes the state's largest magnitude in slot 2 of a parity. */
export function stateMaximum(config: ForwardConfig, d: Derived, parity: string): string {
  if (!d.scaled || !d.outputs) return "";
  return `{ var most = 0.0;
${repeat(config, "n", d.slices * d.stateItems, (n) => `most = max(most, abs(s[${n}]));`)}
${note(config, parity, 2)} }`;
}

/** Puts slice `i` into the operand that q multiplies. */
export function putState(config: ForwardConfig, d: Derived, i: string): string {
  if (!d.outputs) return "";
  const { columns, pad, unit } = config;
  const { row, column } = placeOf(config);
  const place = pad > 0 ? operandPlace(config, columns, row, column) : "cell";
  const scale = d.scaled ? "let scale_s = power_of_two(15 - es);\n" : "";
  return scale + eachOf(config, d, i, (s) => unit.put("op_s", place, d.scaled ? `${s} * scale_s` : s));
}

/** `S = a S + Kᵀ V` of slice `i`. */
export function updateState(config: ForwardConfig, d: Derived, i: string): string {
  const { kind, fault } = config;
  const raw = `sums[${d.updateAt}u + cell]`;
  const added = d.scaled ? `shifted(${raw}, ek + ev - 28)` : raw;
  const a = kind === "scalar" ? "chunk_decay" : `total[${keyOf(config, i)}]`;
  return eachOf(config, d, i, (s) => {
    if (kind === "none") return `${s} = ${s} + ${added};`;
    return fault === "swapped-operands" ? `${s} = ${s} + ${a} * ${added};` : `${s} = ${a} * ${s} + ${added};`;
  });
}

/** Every chunk but the first started from nothing: the planted fault. */
export function dropState(config: ForwardConfig, d: Derived): string {
  if (config.fault !== "dropped-carry") return "";
  return `if (chunk > 0u) {\n${repeat(config, "n", d.slices * d.stateItems, (n) => `s[${n}] = 0.0;`)}\n}`;
}

/** Stores the state as the `[K, V]` block number `index` of a buffer. */
export function storeState(config: ForwardConfig, d: Derived, name: string, index: string): string {
  return repeat(config, "i", d.slices, (i) =>
    eachOf(
      config,
      d,
      i,
      (s) => `if (${within(config, i)}) { ${name}[${entry(config, i, index)}] = ${s}${config.factor}; }`,
    ));
}
