/**
 * What the kernels of gradients have in common: the gradient of the values, and the products P_ij = dO_i · v_j.
 *
 * Where one kernel does all and keys and values are one slice each (`one`), a chunk's tokens stay in workgroup memory and registers from stage to
 * stage: op_x holds v and op_y dO when these stages are done, and y the sums Λ v. Elsewhere every stage reads what it
 * needs again.
 *
 * Operands in halves are scaled by the largest of those of their slices that were seen so far.
 *
 * @module
 */
import { type Bound, declarations, stateVectors, tokenNumbers, tokenVectors, vectorStore } from "./_backward_access.ts";
import { BLOCK, type ChunkLayout, scratchNumbers, stateNumbers } from "./_backward_layout.ts";
import { pairAt, pairsOf } from "./_backward_levels.ts";
import { loadState, pairProduct, spreadProduct, stateProducts, stateRowsOf } from "./_backward_products.ts";
import {
  barrier,
  common,
  down,
  down4,
  exponent,
  place,
  putRows,
  raise,
  repeat,
  rowsAtOnce,
  sumAt,
  sumVectors,
  up,
} from "./_backward_text.ts";

/** Which gradients a kernel computes: all, or those of values, or those of queries, keys and gates. */
export type Stage = "all" | "values" | "keys";

/** The buffers of a stage, in the order of their bindings. */
export function stageBuffers(
  layout: ChunkLayout,
  stage: Stage,
  { gates, bonus }: { readonly gates: boolean; readonly bonus: boolean },
): Bound[] {
  const { vectors } = layout;
  const values = stage !== "keys";
  const keys = stage !== "values";
  const read = (name: string, when: boolean, asVectors = false): Bound[] =>
    when ? [{ name, access: "read", vectors: asVectors }] : [];
  const write = (name: string, when: boolean, asVectors = false): Bound[] =>
    when ? [{ name, access: "read_write", vectors: asVectors }] : [];
  return [
    ...read("q", true),
    ...read("k", true),
    ...read("v", keys, vectors),
    ...read("g", gates),
    ...read("d_o", true, vectors),
    ...read("starts", keys, vectors),
    ...read("ends", true, vectors),
    ...read("bonus", bonus),
    ...write("d_q", keys),
    ...write("d_k", keys),
    ...write("d_v", values, vectors),
    ...write("d_g", keys && gates),
  ];
}

/** A kernel around its statements, with what every one has. */
export function stageModule(layout: ChunkLayout, bound: readonly Bound[], { outside, registers, body, factor }: {
  readonly outside: string;
  readonly registers: string;
  readonly body: string;
  readonly factor: string;
}): string {
  const { chunk, slice, threads, unit, stride } = layout;
  const has = (name: string): boolean => bound.some((buffer) => buffer.name === name);
  const when = (name: string, text: string): string => has(name) ? text : "";
  const pairs = pairsOf(layout);
  const stateRows = stateRowsOf(layout);
  return [
    unit.prelude,
    declarations(bound),
    common(layout, 8),
    unit.declare("op_x", chunk * stride(slice)),
    unit.declare("op_y", chunk * stride(slice)),
    unit.declare("op_z", stateNumbers(layout)),
    unit.declare("op_p", chunk * stride(chunk)),
    `var<workgroup> sums: array<f32, ${scratchNumbers(layout)}>;`,
    sumVectors(layout),
    tokenNumbers("q", layout.keys),
    tokenNumbers("k", layout.keys),
    when("v", tokenVectors(layout, "v")),
    tokenVectors(layout, "d_o"),
    when("starts", stateVectors(layout, "starts")),
    stateVectors(layout, "ends"),
    when("d_v", vectorStore(layout, "d_v", factor)),
    outside,
    /* wgsl */ `
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let index = flat_workgroup(workgroup, grid);
  if (index >= extent.w) { return; }
  ${place(layout)}
  let head = index % extent.z;
  let token0 = ((index / extent.z) % extent.y) * ${chunk}u;
  base = (index / extent.z / extent.y) * extent.x * extent.z + head;
  let state0 = index * ${layout.keys} * ${layout.values};
  var q: array<f32, ${BLOCK}>;
  var k: array<f32, ${BLOCK}>;
  var o: array<f32, ${BLOCK}>;
  var y: array<f32, ${BLOCK}>;
  var x: array<vec4f, 4>;
  var v_: array<vec4f, 4>;
  var w: array<vec4f, 4>;
  var z: array<vec4f, ${stateRows}>;
  var l: array<vec4f, ${stateRows}>;
  var s: array<f32, ${pairs}>;
  var p: array<f32, ${pairs}>;
  ${registers}
  ${body}
}
`,
  ].join("\n");
}

/** Slots of largest magnitudes. */
export const peak = { q: 0, k: 1, v: 2, o: 3, s: 4, l: 5, p: 6, a: 7 } as const;

/** Statements of a kernel's own. */
export interface OwnStatements {
  /** Puts the slice at `ks` into registers. */
  readonly loadKeys: string;
  /** Names the exponents of queries and keys. */
  readonly keyExponents: string;
  /** Puts keys times their decay to the chunk's end into op_y. */
  readonly putKeysToEnd: string;
}

export interface SharedStages {
  /** Whether one kernel does all, and keys and values are one slice each. */
  readonly one: boolean;
  /** Heads of the loops over slices of keys, from `ks`, and of values, from `vs`. */
  readonly keys: string;
  readonly values: string;
  /** Reads the chunk's rows of a tensor into the vectors of an array. */
  readonly tokens: (name: string, from: string) => string;
  /** Read S into z, Λ into l. */
  readonly loadStarts: string;
  readonly loadEnds: string;
  /** Adds `sums`, at the exponents e_v and e_l, to y. */
  readonly takeKeys: string;
  /** Puts an array of pairs into op_p. */
  readonly putPairs: (name: string, slot: number, e: string) => string;
  /** From A in op_p (exponent e_a) to dv. */
  readonly valueGradients: string;
  /** P into p. */
  readonly pairProducts: string;
}

export function sharedStages(
  layout: ChunkLayout,
  { loadKeys, keyExponents, putKeysToEnd: putKeys }: OwnStatements,
): SharedStages {
  const { K, V, chunk, slice, threads, unit, stride, scaled, fused } = layout;
  const one = fused && Math.max(K, V) <= slice;
  const rows = rowsAtOnce(layout);
  const stateRows = stateRowsOf(layout);
  const pairs = pairsOf(layout);
  const keys = `for (var ks = 0u; ks < ${layout.keys}; ks += ${slice}u)`;
  const values = `for (var vs = 0u; vs < ${layout.values}; vs += ${slice}u)`;
  const tokens = (name: string, from: string): string =>
    repeat(layout, 4, (n) => `${name}[${n}] = ${from}_at(token0 + row0 + ${n} * ${rows}u, vs + col0);`);

  const putPairs = (name: string, slot: number, e: string): string =>
    [
      raise(layout, slot, name, pairs),
      scaled ? barrier : "",
      exponent(layout, e, slot),
      repeat(
        layout,
        pairs,
        (n) => `${pairAt(layout, n)} ${unit.put("op_p", `i * ${stride(chunk)}u + j`, up(layout, `${name}[${n}]`, e))}`,
      ),
      barrier,
    ].join("\n");

  const loadEnds = loadState(layout, "l", "ends", "ks", "vs");
  const loadStarts = loadState(layout, "z", "starts", "ks", "vs");
  const takeKeys = repeat(layout, BLOCK, (i) => `y[${i}] += ${down(layout, sumAt(layout, i), "e_v", "e_l")};`);
  const takeValues = (...e: string[]): string =>
    repeat(
      layout,
      4,
      (n) =>
        `let at = (row0 + ${n} * ${rows}u) * ${slice}u + col0; w[${n}] += ${down4(layout, "sum_vector(at)", ...e)};`,
    );

  const vectors = { vectors: true };
  const valueGradients = [
    `${values} {`,
    tokens("x", "d_o"),
    one ? tokens("v_", "v") : "",
    raise(layout, peak.o, "x", 4, vectors),
    one ? raise(layout, peak.v, "v_", 4, vectors) : "",
    scaled ? barrier : "",
    exponent(layout, "e_o", peak.o),
    one ? exponent(layout, "e_v", peak.v) : "",
    putRows(layout, "op_x", "x", 4, "e_o"),
    barrier,
    repeat(layout, 4, (n) => `w[${n}] = vec4f();`),
    spreadProduct(layout, "op_x", true),
    barrier,
    takeValues("e_a", "e_o"),
    one ? putRows(layout, "op_x", "v_", 4, "e_v") : "",
    `${keys} {`,
    one ? "" : loadKeys,
    loadEnds,
    raise(layout, peak.l, "l", stateRows, vectors),
    scaled ? barrier : "",
    keyExponents,
    exponent(layout, "e_l", peak.l),
    putKeys,
    stateProducts(layout, { name: "l", e: "e_l" }, {
      ...(one ? { values: "op_x" as const } : {}),
      keys: "op_y",
      between: takeValues("e_k", "e_l"),
    }),
    one ? `${takeKeys}\n${barrier}` : barrier,
    "}",
    repeat(
      layout,
      4,
      (n) =>
        `let t = token0 + row0 + ${n} * ${rows}u;
if (t < extent.x) { set_d_v((base + t * extent.z) * ${layout.values}, vs + col0, w[${n}]); }`,
    ),
    "}",
  ].join("\n");

  const pairProducts = [
    `${values} {`,
    one ? "" : [
      tokens("x", "d_o"),
      tokens("v_", "v"),
      raise(layout, peak.o, "x", 4, vectors),
      raise(layout, peak.v, "v_", 4, vectors),
      scaled ? barrier : "",
    ].join("\n"),
    exponent(layout, "e_o", peak.o),
    exponent(layout, "e_v", peak.v),
    putRows(layout, "op_y", "x", 4, "e_o"),
    one ? "" : putRows(layout, "op_x", "v_", 4, "e_v"),
    barrier,
    pairProduct(layout, "op_y", "op_x"),
    barrier,
    repeat(
      layout,
      pairs,
      (n) =>
        `${pairAt(layout, n)} if (i >= j) { p[${n}] += ${
          down(layout, `sums[${n} * ${threads}u + lid]`, "e_o", "e_v")
        }; }`,
    ),
    barrier,
    "}",
  ].join("\n");

  return {
    one,
    keys,
    values,
    tokens,
    loadStarts,
    loadEnds,
    takeKeys,
    putPairs,
    valueGradients,
    pairProducts,
  };
}
