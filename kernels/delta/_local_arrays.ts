/** What the local kernel (`_local_shader.ts`) reads and writes. */
import type { DType } from "../tensor.ts";
import { stagedInputs } from "./_forward_shader.ts";
import { columnType, type Staged } from "./_staging.ts";
import type { DeltaRule } from "./rule.ts";

/** What is staged, seen from the transposed state: its rows are the values, its columns the keys. */
export function localStaged(rule: DeltaRule, K: number, dtypes: Readonly<Record<string, DType>>): Staged[] {
  const names = [
    "q",
    "k",
    ...(rule.form === "additive" ? ["kappa", "eta", "v"] : ["beta"]),
    ...(rule.gate === undefined ? [] : [rule.gate]),
  ];
  const scale = rule.queryScale(K);
  const alongValues = (name: string, micro: boolean): Staged => ({
    name,
    dtype: dtypes[name] ?? "f32",
    axis: "K",
    micro,
    value: name === "do" && scale !== 1 ? (raw) => `${raw} * ${scale}f` : (raw) => raw,
  });
  return [
    ...stagedInputs(rule, K, dtypes, names).map((array): Staged => ({
      ...array,
      axis: array.axis === "K" ? "V" : array.axis === "V" ? "K" : "none",
      // The scale is on dO here.
      value: array.name === "q" ? (raw) => raw : array.value,
    })),
    alongValues("du", true),
    alongValues("solved", true),
    alongValues("do", false),
  ];
}

/** `fn name_row(cell, row)`: the invocation's columns of row `row` of the transpose of a state `[K, V]`. */
export function transposed(name: string, K: number, V: number, columns: number): string {
  const type = columnType(columns);
  const at = (c: number): string => `${name}[(cell * ${K}u + column + ${c}u) * ${V}u + row]`;
  return /* wgsl */ `
fn ${name}_row(cell: u32, row: u32) -> ${type} {
  var x = ${type}();
  if (row >= ${V}u) { return x; }
  ${
    Array.from({ length: columns }, (_, c) =>
      `if (column + ${c}u < ${K}u) { x${columns === 1 ? "" : `[${c}]`} = ${at(c)}; }`).join("\n  ")
  }
  return x;
}`;
}

/** The gradients that the kernel writes as `out_d_…`, by the model's names. */
export function localOutputs(rule: DeltaRule): string[] {
  return [
    ...["q", "k"],
    ...(rule.form === "additive" ? ["kappa", "eta"] : []),
    ...(rule.gate === undefined ? [] : [rule.gate]),
  ];
}
