/**
 * The kernel of one step as text: a workgroup takes a tile of the columns of one sequence's state, all rows. An
 * invocation has one column and every R-th row.
 */

import { laneActions } from "../models/action.ts";
import {
  type AnyAffineModel,
  type Axes,
  outputColumns,
  type Sizes,
  stateColumns,
  stateRows,
} from "../models/affine.ts";
import { InputError } from "../models/error.ts";
import { inputEntries, microSteps, stateWidth } from "../models/inputs.ts";
import { type LowRank, lowRank } from "../models/low_rank.ts";
import type { SymbolicIndex } from "../models/arith.ts";
import type { Expr } from "../models/symbolic.ts";
import { fieldShape } from "../models/token.ts";
import { i, j, traceModel } from "../models/traced.ts";
import { type Fault, relativeFactor } from "./faults.ts";
import { f32Profile } from "./profile.ts";
import { emitter, type Environment, type Leaf } from "./trace.ts";
import { assemble, type Shader, storage } from "./wgsl.ts";

/** The extent of a step: sequences, heads (1 for models without), sizes of the model's axes. */
export interface StepDims {
  readonly B: number;
  readonly H: number;
  readonly sizes: Sizes;
}

/** Invocations of a workgroup; every adapter has as many. */
const INVOCATIONS = 256;

interface Tiling {
  readonly rows: number;
  readonly columns: number;
  /** Columns side by side in a workgroup, and rows. */
  readonly across: number;
  readonly down: number;
  /** Workgroups of a sequence. */
  readonly tiles: number;
  /** Columns that a workgroup keeps in its own memory as it updates them; 0 where they do not fit. */
  readonly kept: number;
}

/** Bytes of workgroup memory for kept columns: what half of every adapter has, so that workgroups run side by side. */
const KEPT_BYTES = 24 * 1024;

function tiling(model: AnyAffineModel, sizes: Sizes): Tiling {
  const rows = stateRows(model, sizes);
  const columns = stateColumns(model, sizes);
  // Up to 64 columns side by side, so that rows are read in whole cache lines; then as many rows as there are.
  let down = INVOCATIONS / 64;
  while (down * columns < INVOCATIONS && down < INVOCATIONS / 4) down *= 2;
  while (down > rows) down /= 2;
  const across = INVOCATIONS / down;
  // A normaliser's column is read by every output, so the workgroup that updates it must make them all.
  const tiles = model.normaliser === true ? 1 : Math.ceil(columns / across);
  const own = tiles === 1 ? Math.ceil(columns / across) * across : across;
  const fits = 4 * rows * own * stateWidth(model) <= KEPT_BYTES;
  const kept = fits && model.reads !== "pre" ? own : 0;
  return { rows, columns, across, down, tiles, kept };
}

/** How many workgroups a step takes, and its tiling in words. */
export function stepWorkgroups(model: AnyAffineModel, { B, H, sizes }: StepDims): {
  readonly workgroups: number;
  readonly variant: string;
} {
  const { across, down, tiles } = tiling(model, sizes);
  return { workgroups: B * H * tiles, variant: `${across} columns × ${down} rows a workgroup` };
}

/** Where a field's number is in its own buffer; 0 at the micro-steps it is not given for. */
function inputLoads(model: AnyAffineModel, sizes: Sizes): (name: string, index: readonly string[]) => Leaf {
  const n = microSteps(model);
  const specs = new Map(inputEntries(model));
  return (name, index) => {
    const spec = specs.get(name)!;
    const shape = fieldShape(spec.axes as Axes, sizes);
    const width = shape.reduce((product, extent) => product * extent, 1);
    const inner = shape.length === 0
      ? "0u"
      : shape.length === 1
      ? index[0]!
      : `${index[0]} * ${shape[1]}u + ${index[1]}`;
    if (spec.per === "parameter") return `in_${name}[h * ${width}u + ${inner}]`;
    const micro = spec.micro ?? "every";
    if (micro === "every") {
      return { text: `in_${name}[((b * ${n}u + s) * HEADS + h) * ${width}u + ${inner}]`, needs: ["s"] };
    }
    const given = micro === "first" ? "s == 0u" : `s == ${n - 1}u`;
    return { text: `select(0.0, in_${name}[(b * HEADS + h) * ${width}u + ${inner}], ${given})`, needs: ["s"] };
  };
}

/** Every row symbol is the loop's `row`, every column symbol the invocation's `v`. */
const symbols = (name: string): Leaf | undefined =>
  name === "v"
    ? { text: "v", needs: ["v"] }
    : ["k", "i", "j"].includes(name)
    ? { text: "row", needs: ["row"] }
    : undefined;

/** Statement that keeps a number of the new state at hand. */
function keep({ kept, across }: Tiling, width: number, component: number, value: string): string {
  return kept === 0 ? "" : ` kept[(row * ${kept}u + ${column(kept, across)}) * ${width}u + ${component}u] = ${value};`;
}

/** A column's place among those that are kept: a workgroup has all of them, or one tile. */
const column = (kept: number, across: number): string => kept === across ? `v % ${across}u` : "v";

/** Statements that replace one column of the state, `v`, where `active`; `rowLoop` strides over the rows. */
function laneUpdate(model: AnyAffineModel, sizes: Sizes, tiles: Tiling): string {
  const { down, rows, columns } = tiles;
  const traced = traceModel(model, sizes);
  const A = traced.algebra;
  const action = laneActions[model.action as keyof typeof laneActions];
  const width = action.stateWidth;
  const at = `base + (row * ${columns}u + v) * ${width}u`;
  const e = emitter(f32Profile, {
    load: inputLoads(model, sizes),
    symbol: symbols,
    variable: (name) => ({ text: `states[${at} + ${name.slice(5)}u]`, needs: ["row", "s"] }),
  }, "u");
  e.branch(`if (v < ${columns}u)`, () => {
    e.scope(`for (var row = r; row < ${rows}u; row += ${down}u)`, ["row"], () => {
      const state = Array.from({ length: width }, (_, c) => A.variable(`state${c}`));
      const next = action.apply(A, traced.element!, state).map((expr) => e.value(expr));
      next.forEach((value, c) => e.line(`states[${at} + ${c}u] = ${value};${keep(tiles, width, c, value)}`));
    });
  });
  return e.text();
}

function matrixUpdate(
  model: AnyAffineModel,
  sizes: Sizes,
  tiles: Tiling,
  parts: LowRank,
  F: Expr,
): string {
  const { down, rows, columns } = tiles;
  const at = `base + row * ${columns}u + v`;
  const environment: Environment = { load: inputLoads(model, sizes), symbol: symbols };
  const loop = `for (var row = r; row < ${rows}u; row += ${down}u)`;
  const dots = emitter(f32Profile, environment, "d");
  parts.terms.forEach((_, n) => dots.line(`var dot${n} = 0.0;`));
  dots.branch(`if (v < ${columns}u)`, () => {
    dots.scope(loop, ["row"], () => {
      dots.line(`let held = states[${at}];`);
      parts.terms.forEach(({ right }, n) => {
        const factor = dots.value(right);
        dots.line(`dot${n} += ${factor} * held;`);
      });
    });
  });
  const shared = parts.terms.map((_, n) => `
partial[local] = dot${n};
workgroupBarrier();
dot${n} = 0.0;
for (var g = 0u; g < ${down}u; g++) { dot${n} += partial[g * ${INVOCATIONS / down}u + c]; }
workgroupBarrier();`).join("");
  const update = emitter(f32Profile, environment, "u");
  update.branch(`if (v < ${columns}u)`, () => {
    update.scope(loop, ["row"], () => {
      const diagonal = update.value(parts.diagonal);
      const added = update.value(F);
      update.line(`var next = ${diagonal} * states[${at}] + ${added};`);
      parts.terms.forEach(({ left }, n) => {
        const factor = update.value(left);
        update.line(`next += ${factor} * dot${n};`);
      });
      update.line(`states[${at}] = next;${keep(tiles, 1, 0, "next")}`);
    });
  });
  return dots.text() + shared + update.text();
}

function updateSource(model: AnyAffineModel, sizes: Sizes, tiles: Tiling): string {
  if (model.action !== "matrix") return laneUpdate(model, sizes, tiles);
  const { algebra, matrix } = traceModel(model, sizes);
  const parts = lowRank(algebra, matrix!.E, i as SymbolicIndex, j as SymbolicIndex);
  if (parts === undefined) {
    throw new InputError(
      `Cannot step ${model.name}: its matrix must be a diagonal plus products of a vector in i and one in j, and is not`,
    );
  }
  return matrixUpdate(model, sizes, tiles, parts, matrix!.F);
}

/** Statements that write the outputs of the workgroup's columns, from the state as it is. */
function readSource(
  model: AnyAffineModel,
  sizes: Sizes,
  { columns, across, tiles, kept }: Tiling,
  fault: Fault | undefined,
): string {
  const width = stateWidth(model);
  const outputs = outputColumns(model, sizes);
  const e = emitter(f32Profile, {
    load: inputLoads(model, sizes),
    symbol: symbols,
    state: (k, v, component) => ({
      text: kept === 0
        ? `states[base + (${k} * ${columns}u + ${v}) * ${width}u + ${component}u]`
        : `kept[(${k} * ${kept}u + ${kept === across ? `${v} % ${across}u` : v}) * ${width}u + ${component}u]`,
      needs: ["s"],
    }),
  }, "o");
  const end = tiles === 1 ? `${outputs}u` : `min((tile + 1u) * ${across}u, ${outputs}u)`;
  e.scope(`for (var v = tile * ${across}u + local; v < ${end}; v += ${INVOCATIONS}u)`, ["v"], () => {
    const value = e.value(traceModelRead(model, sizes));
    e.line(`outputs[sequence * ${outputs}u + v] = ${value}${relativeFactor(fault)};`);
  });
  return e.text();
}

function traceModelRead(model: AnyAffineModel, sizes: Sizes): Expr {
  return traceModel(model, sizes).read;
}

/** The kernel of one token. */
export function stepShader(model: AnyAffineModel, { B, H, sizes }: StepDims, fault?: Fault): Shader {
  const tiles = tiling(model, sizes);
  const { rows, columns, across, tiles: count } = tiles;
  const n = microSteps(model);
  const width = stateWidth(model);
  const read = readSource(model, sizes, tiles, fault);
  const pre = model.reads === "pre";
  return assemble(`step ${model.name}`, {
    bindings: [
      ...inputEntries(model).map(([name]) => storage(`in_${name}`, "f32")),
      storage("states", "f32", "read_write"),
      storage("outputs", "f32", "read_write"),
    ],
    source: f32Profile.prelude + /* wgsl */ `
const HEADS = ${H}u;
var<workgroup> partial: array<f32, ${INVOCATIONS}>;
${tiles.kept === 0 ? "" : `var<workgroup> kept: array<f32, ${rows * tiles.kept * width}>;`}
@compute @workgroup_size(${INVOCATIONS})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let group = flat_workgroup(workgroup, grid);
  if (group >= ${B * H * count}u) { return; }
  let sequence = group / ${count}u;
  let tile = group % ${count}u;
  let h = sequence % HEADS;
  let b = sequence / HEADS;
  let base = sequence * ${rows * columns * width}u;
  let c = local % ${across}u;
  let r = local / ${across}u;
  ${
      fault === "dropped-carry"
        ? `for (var at = local; at < ${
          rows * columns * width
        }u; at += ${INVOCATIONS}u) { states[base + at] = 0.0; }\n  storageBarrier();`
        : ""
    }
  for (var s = 0u; s < ${n}u; s++) {
    ${pre ? `if (s == ${n - 1}u) {\n${read}\n}\nstorageBarrier();` : ""}
    for (var first = tile * ${across}u; first < ${
      count === 1 ? `${columns}u` : `(tile + 1u) * ${across}u`
    }; first += ${across}u) {
      let v = first + c;
${updateSource(model, sizes, tiles)}
    }
    storageBarrier();
    workgroupBarrier();
  }
  ${pre ? "" : `let s = ${n - 1}u;\n${read}`}
}
`,
  });
}
