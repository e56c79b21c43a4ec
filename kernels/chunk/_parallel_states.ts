/**
 * States at the starts of chunks: a workgroup walks over the chunks of a sequence with a tile of its state in registers.
 *
 *     S ← w(0, C) S + Kᵀ (w(s, C) V)
 *
 * Sums and scan in one kernel: apart, what chunks add would be written and read once more, a quarter of all bytes. While a chunk
 * is multiplied the next one or two are on their way, gates one further ahead, so that two barriers a chunk are enough: operands
 * are put between the second and the first, multiplied between the first and the second.
 */

import { f32Profile } from "../profile.ts";
import { assemble, type Shader } from "../wgsl.ts";
import { exponents, repeat } from "./_common.ts";
import { halvesAsTheyAre, type ParallelConfig, scaled, stateArrays, type StateTiles } from "./_parallel_config.ts";
import {
  type Block,
  copyBlock,
  fetchBlock,
  gateBinding,
  gateFunction,
  multiplier,
  noteLargest,
  noteMost,
  putBlock,
  registers,
  vectorBinding,
} from "./_parallel_staging.ts";
import { parallelParameters, parallelPrelude } from "./_parallel_text.ts";

/** Products of a chunk's decays, from its gates: w(s, C) of every token, and of the whole chunk. */
function tables(config: ParallelConfig, parity: string): string {
  const { kind, chunk } = config;
  if (kind === "none") return "";
  const later = repeat(
    config,
    "i",
    chunk / 4,
    (i) =>
      `let four = vec4f(gate[4u * ${i}], gate[4u * ${i} + 1u], gate[4u * ${i} + 2u], gate[4u * ${i} + 3u]);
later *= select(vec4f(1.0), four, ${i} > lid / 4u);`,
  );
  return `if (lid < ${chunk}u) {
  var later = vec4f(1.0);
${later}
  let own = lid & ~3u;
  var w = (later.x * later.y) * (later.z * later.w);
${[3, 2, 1].map((n) => `w *= select(1.0, gate[own + ${n}u], (lid & 3u) < ${n}u);`).join("\n")}
  until_end[${parity} * ${chunk}u + lid] = w;
  if (lid == 0u) { whole[${parity}] = w * gate[0]; }
}`;
}

export function statesShader(config: ParallelConfig, tiles: StateTiles): Shader {
  const { kind, K, V, chunk, pad, unit, dtype, fault } = config;
  const { keys, columns, threads, ahead } = tiles;
  const { operands, sums } = stateArrays(config, tiles);
  const half = scaled(config);
  const scalar = kind === "scalar";
  // Halves are multiplied as they are, as if their largest were in [2^14, 2^15), where no decay is to be rounded into them.
  const rawKeys = halvesAsTheyAre(config);
  const rawValues = rawKeys && !scalar;
  // Registers of chunks 0, 2, … and of 1, 3, …; or the same for all.
  const sets = Array.from({ length: ahead }, (_, n): { readonly k: Block; readonly v: Block } => {
    const k: Block = { name: `k${n}`, source: "in_k", dtype, rows: chunk, width: keys, threads };
    return { k, v: { ...k, name: `v${n}`, source: "in_v", width: columns } };
  });
  type Set = (typeof sets)[number];
  const lanes = dtype === "f32" ? 4 : 8;
  const row = "((b * params.T + head + row) * params.H + h)";
  const fetch = ({ k, v }: Set, from: string): string =>
    `{ let head = ${from};
${fetchBlock(config, k, { at: `${row} * ${K / lanes}u + first_key / ${lanes}u`, there: "head + row < params.T" })}
${fetchBlock(config, v, { at: `${row} * ${V / lanes}u + first_column / ${lanes}u`, there: "head + row < params.T" })}
}`;
  const fetchGate = (from: string): string =>
    scalar ? `if (lid < ${chunk}u) { g = raw_gate(b, ${from} + lid, h); }` : "";
  const putGate = scalar ? `if (lid < ${chunk}u) { gate[lid] = ${multiplier(config, "g")}; }` : "";
  const maxima = ({ k, v }: Set, parity: string): string =>
    (rawKeys ? "" : noteLargest(config, k, `2u * (${parity})`)) +
    (rawValues ? "" : noteLargest(config, v, `2u * (${parity}) + 1u`));
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
  const kept = config.stateDtype === "f16";
  const noteState = (parity: string): string =>
    kept
      ? `{ var most = 0.0;
${eachCell((s) => `most = max(most, largest_of(${s}));`)}
${noteMost(config, `largest_of_state[${parity}]`)} }`
      : "";
  const at = entry("sequence * params.chunks + chunk");
  const storeHalves = kept
    ? `let es = exponent_of(atomicLoad(&largest_of_state[parity])) + 1;
if (lid == 0u) { state_exponents[(sequence * params.chunks + chunk) * ${
      K / keys * V / columns
    }u + tile_of_state] = es; }
${
      eachCell((s) =>
        `let four = ${s} * power_of_two(15 - es);
states[${at}] = vec2u(pack2x16float(four.xy), pack2x16float(four.zw));`
      )
    }`
    : "";
  const step = (own: Set, next: Set): string =>
    `let start = chunk * ${chunk}u;
    let parity = chunk & 1u;
    ${
      fault === "dropped-carry"
        ? `if (chunk > 0u) {\n${repeat(config, "j", cells, (j) => `s[${j}] = vec4f();`)}\n}`
        : ""
    }
    ${
      half
        ? `let ek = ${rawKeys ? "14" : "exponent_of(atomicLoad(&largest[2u * parity]))"};
    let ev = ${rawValues ? "14" : "exponent_of(atomicLoad(&largest[2u * parity + 1u]))"};
    if (lid < 2u) { atomicStore(&largest[2u * (1u - parity) + lid], 0u); }
    let down = (ek + ev - 28) >> 1u;
    let low_factor = power_of_two(down);
    let high_factor = power_of_two(ek + ev - 28 - down);`
        : ""
    }
    ${rawKeys ? copyBlock(config, own.k, "op_k") : putBlock(config, own.k, "op_k", half ? "power_of_two(14 - ek)" : "")}
    ${
      rawValues ? copyBlock(config, own.v, "op_v") : putBlock(
        config,
        own.v,
        "op_v",
        [
          ...(half ? ["power_of_two(14 - ev)"] : []),
          ...(scalar ? [`until_end[parity * ${chunk}u + row]`] : []),
        ].join(" * "),
      )
    }
    ${fetch(own, `start + ${ahead * chunk}u`)}
    ${putGate}
    ${fetchGate(`start + ${2 * chunk}u`)}
    ${
      kept
        ? "if (lid == 0u) { atomicStore(&largest_of_state[1u - parity], 0u); }"
        : eachCell((s) => `states[${at}] = ${s};`)
    }
    workgroupBarrier();
    ${storeHalves}
    ${products}
    ${tables(config, "(1u - parity)")}
    ${maxima(next, "1u - parity")}
    ${scalar ? "let decayed = whole[parity];" : ""}
    workgroupBarrier();
    ${update}
    ${noteState("1u - parity")}`;
  return assemble(`chunk ${kind} states`, {
    bindings: [
      { name: "params", access: "uniform", type: "Parameters" },
      vectorBinding("in_k", dtype),
      vectorBinding("in_v", dtype),
      ...gateBinding(config),
      vectorBinding("state_in", "f32"),
      kept
        ? { name: "states", access: "read_write", type: "array<vec2u>" }
        : vectorBinding("states", "f32", "read_write"),
      { name: "state_exponents", access: "read_write", type: "array<i32>" },
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
${kept ? "var<workgroup> largest_of_state: array<atomic<u32>, 4>;" : ""}
${
      scalar
        ? `var<workgroup> gate: array<f32, ${chunk}>;
var<workgroup> until_end: array<f32, ${2 * chunk}>;
var<workgroup> whole: array<f32, 4>;`
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
  let tile_of_state = flat % ${K / keys * V / columns}u;
  let first_key = tile_of_state / ${V / columns}u * ${keys}u;
  let first_column = flat % ${V / columns}u * ${columns}u;
  let b = sequence / params.H;
  let h = sequence % params.H;
  let group = lid / ${unit.lanes}u;
  ${sets.map(({ k, v }) => `${registers(k)}\n${registers(v)}`).join("\n")}
  ${scalar ? "var g = 0.0;" : ""}
  var s: array<vec4f, ${cells}>;
  ${config.initial ? eachCell((s) => `${s} = state_in[${entry("sequence")}];`) : ""}
  ${fetchGate("0u")}
  ${sets.map((set, n) => fetch(set, `${n * chunk}u`)).join("\n")}
  ${half ? "if (lid < 4u) { atomicStore(&largest[lid], 0u); }" : ""}
  ${kept ? "if (lid < 2u) { atomicStore(&largest_of_state[lid], 0u); }" : ""}
  ${putGate}
  ${fetchGate(`${chunk}u`)}
  workgroupBarrier();
  ${tables(config, "0u")}
  ${maxima(sets[0]!, "0u")}
  ${noteState("0u")}
  workgroupBarrier();
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    ${step(sets[0]!, sets[ahead - 1]!)}
    ${ahead > 1 ? `chunk++;\nif (chunk < params.chunks) {\n${step(sets[1]!, sets[0]!)}\n}` : ""}
  }
  ${config.final ? eachCell((s) => `state_out[${entry("sequence")}] = ${s}${config.factor};`) : ""}
}
`,
  });
}
