/**
 * The two scans of a matrix action: one workgroup per column, serial in time, a row per thread.
 *
 * @module
 */
import type { TracedGradient } from "../models/gradient.ts";
import type { Expr } from "../models/symbolic.ts";
import type { Layout, Places } from "./_backward_layout.ts";
import { extents, type Shader, shader, THREADS } from "./_backward_shader.ts";
import { f32Profile } from "./profile.ts";
import { emitter, type Leaf } from "./trace.ts";

/** One scan: from `start`, at every step `s` of the loop, column ← `next`, which is also stored. */
interface ColumnScan {
  readonly label: string;
  readonly writes: "states" | "lambda";
  /** What row `k` starts from, and statements that keep it. */
  readonly start: string;
  readonly kept: readonly string[];
  readonly loop: string;
  /** Statements that give `s` in the loop. */
  readonly step: readonly string[];
  /** The new row `k`, and what is added to it. */
  readonly next: Expr;
  readonly places: Places;
  readonly added: string;
  /** Where row `k` of step `s` goes. */
  readonly to: string;
}

function columnScan({ rows, columns, environment }: Layout, scan: ColumnScan): Shader {
  const everyRow = `for (var k = local; k < ${rows}u; k += ${THREADS}u)`;
  const e = emitter(f32Profile, environment(scan.places));
  e.scope(scan.loop, ["s"], () => {
    scan.step.forEach((line) => e.line(line));
    e.line("workgroupBarrier();");
    e.scope(everyRow, ["k"], () => {
      const value = e.value(scan.next);
      e.line(`fresh[k] = ${value}${scan.added};`);
    });
    e.line("workgroupBarrier();");
    e.scope(everyRow, ["k"], () => {
      e.line("column[k] = fresh[k];");
      e.line(`${scan.to} = fresh[k];`);
    });
  });
  return shader(
    scan.label,
    [scan.writes],
    [
      extents,
      `let v = workgroup_index % ${columns}u;`,
      `let bh = workgroup_index / ${columns}u;`,
      "if (bh >= extent[0] * H) { return; }",
      "let b = bh / H;",
      "let h = bh % H;",
      `${everyRow} {`,
      `column[k] = ${scan.start};`,
      ...scan.kept,
      "}",
      e.text(),
    ].join("\n"),
    `var<workgroup> column: array<f32, ${rows}>;\nvar<workgroup> fresh: array<f32, ${rows}>;`,
  );
}

const inColumn = (k: string): Leaf => ({ text: `column[${k}]`, needs: ["s"] });

/** S_0 … S_T. */
export function columnForward({ next }: TracedGradient, layout: Layout): Shader {
  const entry = layout.entry("k", "v");
  return columnScan(layout, {
    label: "forward columns",
    writes: "states",
    start: `initial[bh * ${layout.lanes}u + ${entry}]`,
    kept: [`${layout.stateAt("0u", entry, 0)} = column[k];`],
    loop: "for (var s = 0u; s < steps; s++)",
    step: [],
    next: next[0]!,
    places: { state: inColumn },
    added: "",
    to: layout.stateAt("(s + 1u)", entry, 0),
  });
}

/** λ in place of what the read-outs gave. */
export function columnBack({ pull }: TracedGradient, layout: Layout): Shader {
  const own = layout.lambdaAt("s", layout.entry("k", "v"), 0);
  return columnScan(layout, {
    label: "back columns",
    writes: "lambda",
    start: layout.lambdaAt("steps", layout.entry("k", "v"), 0),
    kept: [],
    loop: "for (var later = steps; later > 0u; later--)",
    step: ["let s = later - 1u;"],
    next: pull[0]!,
    places: { state: "s", lambda: inColumn },
    added: ` + ${own}`,
    to: own,
  });
}
