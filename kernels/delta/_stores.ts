/** WGSL that writes an invocation's columns of a row along V, and reads and writes its part of a state. */
import type { DType } from "../tensor.ts";
import { columnType } from "./_staging.ts";

/** The storage type of a written array of rows of V numbers, taken N columns at a time. */
export function storedType(dtype: DType, V: number, columns: number): string {
  if (dtype === "f32") return V % columns === 0 ? `array<${columnType(columns)}>` : "array<f32>";
  return columns === 4 && V % 4 === 0 ? "array<vec2u>" : "array<u32>";
}

/**
 * `fn store_name(row: u32, x)`: the invocation's columns of row `row`; those from V on are left out. Halves are written
 * in pairs: V must be even then, and N ≥ 2. `everyone`: no invocation's columns begin there.
 */
export function storeRow(name: string, dtype: DType, V: number, columns: number, everyone: boolean): string {
  const type = columnType(columns);
  const at = `row * ${V}u + column`;
  // Where an invocation's columns lie in a row is the same for all rows.
  const whole = `row * ${V / columns}u + column / ${columns}u`;
  const body = (): string => {
    if (dtype === "f32") {
      if (V % columns === 0) {
        return `${name}[${columns === 1 ? at : whole}] = x;`;
      }
      return Array.from(
        { length: columns },
        (_, c) => `if (column + ${c}u < ${V}u) { ${name}[${at} + ${c}u] = x${columns === 1 ? "" : `[${c}]`}; }`,
      ).join("\n  ");
    }
    if (columns === 4 && V % 4 === 0) {
      return `${name}[${whole}] = vec2u(pack2x16float(x.xy), pack2x16float(x.zw));`;
    }
    const pair = (c: number, xy: string): string =>
      `if (column + ${c}u < ${V}u) { ${name}[(${at} + ${c}u) / 2u] = pack2x16float(x.${xy}); }`;
    return columns === 4 ? `${pair(0, "xy")}\n  ${pair(2, "zw")}` : pair(0, "xy");
  };
  return /* wgsl */ `
fn store_${name}(row: u32, x: ${type}) {
  ${everyone ? "" : `if (column >= ${V}u) { return; }`}
  ${body()}
}`;
}

/** `fn load_name(row: u32)`: the invocation's columns of row `row` of an f32 array; 0 from V on. */
export function loadRow(name: string, V: number, columns: number): string {
  const type = columnType(columns);
  const at = `row * ${V}u + column`;
  const whole = V % columns === 0;
  const read = whole ? `return ${name}[${columns === 1 ? at : `(${at}) / ${columns}u`}];` : [
    `var x = ${type}();`,
    ...Array.from(
      { length: columns },
      (_, c) => `if (column + ${c}u < ${V}u) { x[${c}] = ${name}[${at} + ${c}u]; }`,
    ),
    "return x;",
  ].join("\n  ");
  return /* wgsl */ `
fn load_${name}(row: u32) -> ${type} {
  if (column >= ${V}u) { return ${type}(); }
  ${read}
}`;
}
