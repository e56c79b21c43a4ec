/**
 * Results as a table for a person.
 *
 * @module
 */
import type { BenchResult } from "./result.ts";

const widths = [26, 38, 26, 8, 8, 8, 8, 8] as const;

function line(cells: readonly string[]): string {
  return cells.map((cell, n) => n < 2 ? cell.padEnd(widths[n]!) : cell.padStart(widths[n]!)).join(" ").trimEnd();
}

/** Three figures, a unit's prefix where it helps: `1.23 M`. */
export function figures(x: number): string {
  const [scale, prefix] = x >= 1e9 ? [1e9, " G"] : x >= 1e6 ? [1e6, " M"] : x >= 1e3 ? [1e3, " k"] : [1, " "];
  const value = x / scale;
  return `${value >= 100 ? value.toFixed(0) : value.toPrecision(3)}${prefix}`;
}

/** Three figures. */
export function milliseconds(x: number): string {
  return x >= 100 ? x.toFixed(0) : x.toPrecision(3);
}

/** Two figures or three. */
export function percent(x: number): string {
  return x >= 0.1 ? `${(100 * x).toFixed(0)} %` : `${(100 * x).toPrecision(2)} %`;
}

/** The head of the table. */
export function tableHead(): string {
  return line(["kernel", "shape", "ms (p25–p75)", "bytes", "tokens/s", "of copy", "max ulp", "of bound"]);
}

/** One result. */
export function tableLine(result: BenchResult): string {
  const { kernel, shape, ms, spread: [low, high], bytes, tokensPerSecond, bandwidthFraction, maxUlp, boundFraction } =
    result;
  return line([
    kernel,
    shape,
    `${milliseconds(ms)} (${milliseconds(low)}–${milliseconds(high)})`,
    `${figures(bytes)}B`,
    figures(tokensPerSecond).trim(),
    percent(bandwidthFraction),
    figures(maxUlp).trim(),
    percent(boundFraction),
  ]);
}
