/**
 * The generic kernels of a matrix action, `S_s = E_s S_{s−1} + F_s`, every column of S a recurrence with a shared E.
 *
 * Up to {@link DENSE_ROWS} rows, chunks run side by side:
 *
 * 1. `reduce`: one invocation per sequence, chunk and column c of `[I | 0]` folds the chunk with the dense monoid
 *    `(E2, F2) · (E1, F1) = (E2 E1, F2 + E2 F1)`: `col ← E_s col (+ F_s)`, which gives the chunk's `(P, F)`;
 * 2. `carry`: one invocation per sequence and column of the state goes through the chunks, `S ← P S + F`, and writes the
 *    state that comes into each;
 * 3. `apply`: one invocation per sequence, chunk and column runs through its chunk in order and stores.
 *
 * Products of more than one chunk are never formed: they would cost K³ each and lose accuracy that a state keeps. With
 * more rows, or a single chunk, only `apply` runs, over the whole slab: serial in time, parallel in columns.
 *
 * @module
 */
import { relativeFactor } from "./faults.ts";
import { paramsBinding, paramsSource } from "./lane_scan.ts";
import { inputBindings, inputLeaf } from "./layout.ts";
import type { ModelProgram } from "./model_program.ts";
import { emitter } from "./trace.ts";
import { assemble, type Binding, entryPerItem, type Shader, storage } from "./wgsl.ts";

/** Rows up to which elements are composed as dense matrices. */
export const DENSE_ROWS = 16;

/** Rows up to which a column and its successor fit the 8 KiB of variables that WGSL promises a function. */
export const MAX_ROWS = 1000;

/** The kernels of one matrix model. */
export interface MatrixShaders {
  readonly reduce: Shader;
  readonly carry: Shader;
  readonly apply: Shader;
}

/** Numbers of one chunk's element: `[I | 0]` has rows + columns columns of rows numbers. */
export function elementNumbers({ rows, columns }: { readonly rows: number; readonly columns: number }): number {
  return rows * (rows + columns);
}

/**
 * WGSL that advances `col` by the steps first … end − 1. F is added where `condition` (a branch's head) holds, or always;
 * `store` is a statement after each step.
 */
function advance(
  program: ModelProgram,
  { condition, store, reversed = false }: {
    readonly condition?: string;
    readonly store?: string;
    /** Goes back in time: a planted fault. */
    readonly reversed?: boolean;
  },
): string {
  const { profile, traced, layout, rows } = program;
  const { E, F } = traced.matrix!;
  const e = emitter(profile, { load: inputLeaf(layout, program.places) });
  const loop = (i: string): string => `for (var ${i} = 0u; ${i} < ${rows}u; ${i}++)`;
  e.scope("for (var at = first; at < end; at++)", ["s"], () => {
    e.line(`let s = ${reversed ? "first + end - 1u - at" : "at"};`);
    e.scope(loop("i"), ["i"], () => {
      e.line(`var total = ${profile.constant(0)};`);
      e.scope(loop("j"), ["j"], () => {
        const entry = e.value(E);
        e.line(`let moved = ${profile.binary("mul", entry, "col[j]")};`);
        e.line(`total = ${profile.binary("add", "total", "moved")};`);
      });
      const add = (): void => {
        const entry = e.value(F);
        e.line(`total = ${profile.binary("add", "total", entry)};`);
      };
      if (condition === undefined) add();
      else e.branch(condition, add);
      e.line("next[i] = total;");
    });
    e.line("col = next;");
    if (store !== undefined) e.line(store);
  });
  return e.text();
}

/** The kernels of a traced matrix model. */
export function matrixShaders(program: ModelProgram): MatrixShaders {
  const { model, profile, rows, columns, fault } = program;
  const { type } = profile;
  const label = `${model.name} ${profile.name}`;
  const all = rows + columns;
  const size = elementNumbers(program);
  const bindings: readonly Binding[] = [paramsBinding, ...inputBindings(program.layout, type, program.places)];
  const zero = profile.constant(0);
  const head = paramsSource + profile.prelude;

  const reduce = assemble(`${label}: reduce`, {
    bindings: [...bindings, storage("aggregates", type, "read_write")],
    source: head + entryPerItem(
      `p.B * p.H * p.chunks * ${all}u`,
      /* wgsl */ `
  let c = id % ${all}u;
  let chunk = id / ${all}u % p.chunks;
  let sequence = id / (${all}u * p.chunks);
  let h = sequence % p.H;
  let b = sequence / p.H;
  let first = chunk * p.chunk;
  let end = min(first + p.chunk, p.steps);
  // Meaningful only where c is a column of F, which is the only place that uses it.
  let v = max(c, ${rows}u) - ${rows}u;
  var col: array<${type}, ${rows}>;
  var next: array<${type}, ${rows}>;
  for (var i = 0u; i < ${rows}u; i++) { col[i] = select(${zero}, ${profile.constant(1)}, i == c); }
${advance(program, { condition: `if (c >= ${rows}u)`, reversed: fault === "swapped-operands" })}
  for (var i = 0u; i < ${rows}u; i++) { aggregates[id * ${rows}u + i] = col[i]; }`,
    ),
  });

  const term = profile.binary("mul", "x", "y");
  const carry = assemble(`${label}: carry`, {
    bindings: [
      paramsBinding,
      storage("aggregates", type),
      storage("carry_in", type),
      storage("incoming", type, "read_write"),
    ],
    source: head + entryPerItem(
      `p.B * p.H * ${columns}u`,
      /* wgsl */ `
  let v = id % ${columns}u;
  let sequence = id / ${columns}u;
  var col: array<${type}, ${rows}>;
  var next: array<${type}, ${rows}>;
  for (var i = 0u; i < ${rows}u; i++) { col[i] = carry_in[(sequence * ${rows}u + i) * ${columns}u + v]; }
  for (var chunk = 0u; chunk < p.chunks; chunk++) {
    let element = (sequence * p.chunks + chunk) * ${size}u;
    for (var i = 0u; i < ${rows}u; i++) {
      incoming[((sequence * p.chunks + chunk) * ${columns}u + v) * ${rows}u + i] = col[i];
      var total = ${zero};
      for (var j = 0u; j < ${rows}u; j++) {
        let x = aggregates[element + j * ${rows}u + i];
        let y = col[j];
        let moved = ${term};
        total = ${profile.binary("add", "total", "moved")};
      }
      let added = aggregates[element + (${rows}u + v) * ${rows}u + i];
      next[i] = ${profile.binary("add", "total", "added")};
    }
    col = next;
  }`,
    ),
  });

  const factor = relativeFactor(fault);
  const store = `for (var i = 0u; i < ${rows}u; i++) { ` +
    `states[((b * p.steps + s) * p.H + h) * ${rows * columns}u + i * ${columns}u + v] = col[i]${factor}; }`;
  const apply = assemble(`${label}: apply`, {
    bindings: [
      ...bindings,
      storage("incoming", type),
      storage("carry_in", type),
      storage("carry_out", type, "read_write"),
      storage("states", type, "read_write"),
    ],
    source: head + entryPerItem(
      `p.B * p.H * p.chunks * ${columns}u`,
      /* wgsl */ `
  let v = id % ${columns}u;
  let chunk = id / ${columns}u % p.chunks;
  let sequence = id / (${columns}u * p.chunks);
  let h = sequence % p.H;
  let b = sequence / p.H;
  let first = chunk * p.chunk;
  let end = min(first + p.chunk, p.steps);
  var col: array<${type}, ${rows}>;
  var next: array<${type}, ${rows}>;
  for (var i = 0u; i < ${rows}u; i++) {
    if (chunk == 0u) { col[i] = carry_in[(sequence * ${rows}u + i) * ${columns}u + v]; }
    else { col[i] = ${fault === "dropped-carry" ? zero : `incoming[id * ${rows}u + i]`}; }
  }
${advance(program, { store })}
  if (chunk + 1u == p.chunks) {
    for (var i = 0u; i < ${rows}u; i++) { carry_out[(sequence * ${rows}u + i) * ${columns}u + v] = col[i]${factor}; }
  }`,
    ),
  });
  return { reduce, carry, apply };
}
