/**
 * Tables as Markdown, and what stands in their cells.
 *
 * @module
 */
import { mean } from "../mean.ts";

/** A column; numbers stand at its right. */
export interface Column {
  readonly name: string;
  readonly number?: boolean;
}

const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;

/** A column of numbers. */
export const number = (name: string): Column => ({ name, number: true });

/** A table with a line below its head. */
export function markdown(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  return [
    row(columns.map(({ name }) => name)),
    row(columns.map(({ number }) => number === true ? "---:" : "---")),
    ...rows.map(row),
  ].join("\n");
}

/** What stands where nothing was measured. */
export const NONE = "–";

/** `0.123 ± 0.004`: the mean, and half the range of several. */
export function spread(values: readonly number[], shown: (x: number) => string): string {
  if (values.length === 0) return NONE;
  const half = (Math.max(...values) - Math.min(...values)) / 2;
  return `${shown(mean(values))}${values.length === 1 ? "" : ` ± ${shown(half)}`}`;
}

/** A ratio, bold where we need less. */
export function ratio(x: number): string {
  return x < 1 ? `**${x.toFixed(2)}**` : x.toFixed(2);
}

/** `1.6 M`, `812 k` */
export function count(x: number): string {
  return x >= 1e9
    ? `${(x / 1e9).toPrecision(3)} G`
    : x >= 1e6
    ? `${(x / 1e6).toPrecision(3)} M`
    : x >= 1e3
    ? `${(x / 1e3).toPrecision(3)} k`
    : `${x}`;
}

/** A share as per cent, without the sign: three digits, two of them behind the point at most. */
export function percents(x: number): string {
  return (100 * x).toFixed(x >= 0.1 ? 1 : 2);
}
