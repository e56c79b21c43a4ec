/**
 * A report as one HTML page that needs nothing else: its plots are in it, its colours are the reader's, light or dark.
 *
 * @module
 */
import { COLOURS, escaped } from "../plot.ts";
import type { Section, Table } from "./section.ts";

/** The curves' colours on a dark ground, in the order of {@link COLOURS}. */
const ON_DARK: readonly string[] = [
  "#4aa3ff",
  "#ff8c42",
  "#35c994",
  "#e39ac6",
  "#f2b84b",
  "#7fcdf5",
  "#b980d0",
  "#d0d64a",
  "#ff5c8a",
  "#c9c9c9",
  "#4fd1bd",
  "#c69b7b",
];

const style: string = `:root { color-scheme: light dark; }
body { font: 15px/1.5 sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto; max-height: 24rem; overflow-y: auto; }
th, td { padding: 2px 10px; text-align: left; border-bottom: 1px solid #8884; white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; }
@media (prefers-color-scheme: dark) {
  body { background: #16181c; color: #e4e4e4; }
  svg .ground { fill: #16181c; }
  svg text { fill: #e4e4e4; }
  svg .grid { stroke: #3a3d44; }
${COLOURS.map((_, n) => `  svg .c${n} { stroke: ${ON_DARK[n]}; }`).join("\n")}
}`;

/** A number as a person reads it. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en-GB");
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en-GB");
  return size >= 1e-3 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
}

function tableText({ head, rows }: Table): string {
  const cell = (value: string | number): string =>
    typeof value === "number" ? `<td class="number">${shown(value)}</td>` : `<td>${escaped(value)}</td>`;
  return [
    "<table>",
    `<thead><tr>${head.map((name) => `<th>${escaped(name)}</th>`).join("")}</tr></thead>`,
    `<tbody>${rows.map((row) => `<tr>${row.map(cell).join("")}</tr>`).join("\n")}</tbody>`,
    "</table>",
  ].join("\n");
}

/** The page. */
export function page(title: string, sections: readonly Section[]): string {
  return [
    "<!doctype html>",
    '<html lang="en">',
    `<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">`,
    `<title>${escaped(title)}</title>`,
    `<style>${style}</style></head>`,
    `<body><h1>${escaped(title)}</h1>`,
    ...sections.map((section) =>
      [
        `<section><h2>${escaped(section.title)}</h2>`,
        ...(section.plot === undefined ? [] : [`<figure style="margin:0">${section.plot.trim()}</figure>`]),
        tableText(section.table),
        "</section>",
      ].join("\n")
    ),
    "</body></html>",
    "",
  ].join("\n");
}
