/**
 * States at the starts of chunks: a workgroup walks over the chunks of a sequence with a tile of its state in registers.
 *
 *     S ← w(0, C) S + Kᵀ (w(s, C) V)
 *
 * Sums and scan in one kernel: apart, what chunks add would be written and read once more, a quarter of all bytes. While a chunk
 * is multiplied the next is on its way, its gates one chunk further ahead, so that two barriers a chunk are enough: operands
 * are put between the second and the first, multiplied between the first and the second.
 */

import { f32Profile } from "../profile.ts";
import { assemble, type Shader } from "../wgsl.ts";
import { exponents, repeat } from "./_common.ts";
import { type ParallelConfig, scaled, stateArrays, type StateTiles } from "./_parallel_config.ts";
import {
  type Block,
  fetchBlock,
  gateBinding,
  gateFunction,
  multiplier,
  noteLargest,
  putBlock,
  registers,
  vectorBinding,
} from "./_parallel_staging.ts";
import { parallelParameters, parallelPrelude } from "./_parallel_text.ts";

/** Products of a chunk's decays, from its gates: w(s, C) of every token, and of the whole chunk. */
function tables({ kind, chunk }: ParallelConfig, parity: string): string {
  if (kind === "none") return "";
  return `if (lid < ${chunk}u) {
  var later = vec4f(1.0);
  for (var i = lid / 4u + 1u; i < ${chunk / 4}u; i++) {
    later *= vec4f(gate[4u * i], gate[4u * i + 1u], gate[4u * i + 2u], gate[4u * i + 3u]);
  }
  var w = (later.x * later.y) * (later.z * later.w);
  for (var i = lid | 3u; i > lid; i--) { w *= gate[i]; }
  until_end[${parity} * ${chunk}u + lid] = w;
  if (lid == 0u) { whole[${parity}] = w * gate[0]; }
}`;
}

export function statesShader(config: ParallelConfig, tiles: StateTiles): Shader {
  const { kind, K, V, chunk, pad, unit, dtype, fault } = config;
  const { keys, columns, threads } = tiles;
  const { operands, sums } = stateArrays(config, tiles);
  const half = scaled(config);
  const scalar = kind === "scalar";
  const k: Block = { name: "k", source: "in_k", dtype, rows: chunk, width: keys, threads };
  const v: Block = { ...k, name: "v", source: "in_v", width: columns };
  const lanes = dtype === "f32" ? 4 : 8;
  const row = "((b * params.T + head + row) * params.H + h)";
  const fetch = (from: string): string =>
    `{ let head = ${from};
${fetchBlock(config, k, { at: `${row} * ${K / lanes}u + first_key / ${lanes}u`, there: "head + row < params.T" })}
${fetchBlock(config, v, { at: `${row} * ${V / lanes}u + first_column / ${lanes}u`, there: "head + row < params.T" })}
}`;
  const fetchGate = (from: string): string =>
    scalar ? `if (lid < ${chunk}u) { g = raw_gate(b, ${from} + lid, h); }` : "";
  const putGate = scalar ? `if (lid < ${chunk}u) { gate[lid] = ${multiplier(config, "g")}; }` : "";
  const maxima = (parity: string): string =>
    noteLargest(config, k, `2u * (${parity})`) + noteLargest(config, v, `2u * (${parity}) + 1u`);
  const quads = columns / 4;
  const cells = Math.ceil(keys * quads / threads);
  const even = keys * quads % threads === 0;
  const eachCell = (text: (s: string) => string): string =>
    repeat(config, "j", cells, (j) =>
      `let cell = lid + ${j} * ${threads}u;
let row = cell / ${quads}u;
let quad = cell % ${quads}u;
${even ? text(`s[${j}]`) : `if (cell < ${keys * quads}u) {\n${text(`s[${j}]`)}\n}`}`);
  const entry = (index: string): string =>
    `((${index}) * ${K}u + first_key + row) * ${V / 4}u + first_column / 4u + quad`;
  const stride = columns + pad;
  const update = eachCell((s) => {
    const four = [0, 1, 2, 3].map((n) => `sums[place + ${n}u]`).join(", ");
    const raw = `vec4f(${four})`;
    const added = half ? `(${raw} * low_factor) * high_factor` : raw;
    const text = !scalar
      ? `${s} + added`
      : fault === "swapped-operands"
      ? `${s} + decayed * added`
      : `decayed * ${s} + added`;
    return `let place = 4u * (row * ${stride / 4}u + quad);
let added = ${added};
${s} = ${text};`;
  });
  const tilesOfK = keys / 16;
  const tilesOfV = columns / 16;
  const products = `for (var tile = group; tile < ${tilesOfK * tilesOfV}u; tile += ${threads / unit.lanes}u) {
let i = tile / ${tilesOfV}u;
let j = tile % ${tilesOfV}u;
${unit.accumulators("added", 1, 1)}
${
    unit.product({
      into: "added",
      rows: 1,
      columns: 1,
      inner: chunk / 16,
      a: { name: "op_k", at: "16u * i", stride: keys + pad, transposed: true },
      b: { name: "op_v", at: "16u * j", stride: columns + pad },
    })
  }
${unit.store("added", 1, 1, { array: "sums", at: `i * ${16 * stride}u + 16u * j`, stride })}
}`;
  return assemble(`chunk ${kind} states`, {
    bindings: [
      { name: "params", access: "uniform", type: "Parameters" },
      vectorBinding("in_k", dtype),
      vectorBinding("in_v", dtype),
      ...gateBinding(config),
      vectorBinding("state_in", "f32"),
      vectorBinding("states", "f32", "read_write"),
      vectorBinding("state_out", "f32", "read_write"),
    ],
    enable: parallelPrelude(config),
    source: `${parallelParameters}
${scalar ? f32Profile.prelude : ""}
${exponents}
${unit.functions}
${Object.entries(operands).map(([name, count]) => unit.declare(name, count)).join("\n")}
var<workgroup> sums: array<f32, ${sums}>;
${half ? "var<workgroup> largest: array<atomic<u32>, 4>;" : ""}
${
      scalar
        ? `var<workgroup> gate: array<f32, ${chunk}>;
var<workgroup> until_end: array<f32, ${2 * chunk}>;
var<workgroup> whole: array<f32, 2>;`
        : ""
    }
${gateFunction(config)}
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let flat = flat_workgroup(workgroup, grid);
  let sequence = flat / ${K / keys * V / columns}u;
  if (sequence >= params.B * params.H) { return; }
  let first_key = flat % ${K / keys * V / columns}u / ${V / columns}u * ${keys}u;
  let first_column = flat % ${V / columns}u * ${columns}u;
  let b = sequence / params.H;
  let h = sequence % params.H;
  let group = lid / ${unit.lanes}u;
  ${registers(k)}
  ${registers(v)}
  ${scalar ? "var g = 0.0;" : ""}
  var s: array<vec4f, ${cells}>;
  ${config.initial ? eachCell((s) => `${s} = state_in[${entry("sequence")}];`) : ""}
  ${fetchGate("0u")}
  ${fetch("0u")}
  ${putGate}
  ${fetchGate(`${chunk}u`)}
  workgroupBarrier();
  ${tables(config, "0u")}
  ${maxima("0u")}
  workgroupBarrier();
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    let start = chunk * ${chunk}u;
    let parity = chunk & 1u;
    ${
      fault === "dropped-carry"
        ? `if (chunk > 0u) {\n${repeat(config, "j", cells, (j) => `s[${j}] = vec4f();`)}\n}`
        : ""
    }
    ${
      half
        ? `let ek = exponent_of(atomicLoad(&largest[2u * parity]));
    let ev = exponent_of(atomicLoad(&largest[2u * parity + 1u]));
    if (lid < 2u) { atomicStore(&largest[2u * (1u - parity) + lid], 0u); }
    let down = (ek + ev - 28) >> 1u;
    let low_factor = power_of_two(down);
    let high_factor = power_of_two(ek + ev - 28 - down);`
        : ""
    }
    ${putBlock(config, k, "op_k", half ? "power_of_two(14 - ek)" : "")}
    ${
      putBlock(
        config,
        v,
        "op_v",
        [
          ...(half ? ["power_of_two(14 - ev)"] : []),
          ...(scalar ? [`until_end[parity * ${chunk}u + row]`] : []),
        ].join(" * "),
      )
    }
    ${fetch(`start + ${chunk}u`)}
    ${putGate}
    ${fetchGate(`start + ${2 * chunk}u`)}
    ${eachCell((s) => `states[${entry("sequence * params.chunks + chunk")}] = ${s};`)}
    workgroupBarrier();
    ${products}
    ${tables(config, "(1u - parity)")}
    ${maxima("1u - parity")}
    ${scalar ? "let decayed = whole[parity];" : ""}
    workgroupBarrier();
    ${update}
  }
  ${config.final ? eachCell((s) => `state_out[${entry("sequence")}] = ${s}${config.factor};`) : ""}
}
`,
  });
}
