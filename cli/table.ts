/**
 * The report as a person reads it: one line per model with its SPD class, then what failed, then the sum.
 *
 * @module
 */
import type { Row } from "../oracle/report.ts";

function cell(text: string, width: number): string {
  return text.length >= width ? text : text + " ".repeat(width - text.length);
}

const number = (x: number): string =>
  x === 0 ? "0" : x >= 1e4 ? x.toExponential(0) : x >= 10 ? x.toFixed(0) : x.toPrecision(2);

/** Largest of the rows' values. */
function most(rows: readonly Row[], value: (row: Row) => number | null): number | null {
  return rows.reduce<number | null>((max, row) => {
    const x = value(row);
    return x === null ? max : Math.max(max ?? 0, x);
  }, null);
}

/** The measured class SPD(work, depth; memory) of one model. */
export function spdClass(rows: readonly Row[]): string {
  const tree = rows.filter(({ check, execution }) => check === "exact" && execution === "blelloch");
  const longest = tree.reduce((x, row) => Math.max(x, row.length), 0);
  const at = tree.find(({ length }) => length === longest);
  const stream = rows.find(({ check, execution }) => check === "memory" && execution === "stream");
  if (at?.combines === undefined || at.combines === null || longest === 0 || stream === undefined) return "–";
  const work = (at.combines / longest).toFixed(1);
  return `SPD(n, 1): ${work} n, depth ${at.depth}, ${stream.liveElements} live`;
}

/** How far the worst number of some rows is within its bound: `62 % of the bound`. */
function used(rows: readonly Row[], none = "not run"): string {
  const ratio = most(rows, (row) => row.ratio);
  return ratio === null ? none : `${number(100 * ratio)} %`;
}

/** Whose arithmetic a row judges, by its execution's name. */
function kindOf({ execution }: Row): "cpu" | "generic" | "fused" {
  return execution.startsWith("webgpu") ? "generic" : execution.endsWith(" f32") ? "cpu" : "fused";
}

/** One line of the table. */
export function modelLine(name: string, rows: readonly Row[]): string {
  const of = (check: Row["check"], kind?: ReturnType<typeof kindOf>): Row[] =>
    rows.filter((row) => row.check === check && (kind === undefined || kindOf(row) === kind));
  const exact = [...of("exact"), ...of("finite-ring"), ...of("associativity")];
  const failed = rows.filter(({ ok }) => !ok).length;
  return [
    cell(name, 28),
    cell(failed === 0 ? "pass" : `${failed} FAILED`, 11),
    cell(`${rows.length}`, 6),
    cell(exact.every(({ ok }) => ok) ? `${exact.length} equal` : "DIFFER", 11),
    cell(used(of("accuracy", "cpu")), 9),
    cell(used(of("accuracy", "generic")), 9),
    cell(used(of("accuracy", "fused"), "–"), 9),
    cell(used(of("gradient")), 10),
    spdClass(rows),
  ].join(" ").trimEnd();
}

/** The table's head: two lines. */
export function tableHead(): string {
  return [
    [cell("", 28), cell("", 11), cell("", 6), cell("scan=step", 11), "largest error, of its derived bound"].join(" "),
    [
      cell("model", 28),
      cell("verdict", 11),
      cell("rows", 6),
      cell("exactly", 11),
      cell("CPU f32", 9),
      cell("GPU f32", 9),
      cell("fused", 9),
      cell("gradients", 10),
      "class as measured (work, depth, memory)",
    ].join(" "),
  ].join("\n");
}

/** A failed row for a person: what, where, how far, and the command that runs it again. */
export function failureLines(row: Row): string {
  const where =
    `${row.model}: ${row.check}, ${row.execution}, ${row.inputs} inputs, length ${row.length}, seed ${row.seed}`;
  return `FAILED ${where}\n  ${row.detail ?? "no detail"}${row.replay === undefined ? "" : `\n  ${row.replay}`}`;
}
