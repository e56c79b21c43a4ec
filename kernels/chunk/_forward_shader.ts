/** The forward kernel of the family as one WGSL module. */

import { f32Profile } from "../profile.ts";
import { assemble, type Binding, type Shader, storage } from "../wgsl.ts";
import { exponents, inputRegisters } from "./_common.ts";
import { derive, type Derived, type ForwardConfig, workgroupArrays } from "./_config.ts";
import { diagonalChunk, diagonalProlog } from "./_diagonal.ts";
import { numberAt, numberBinding, quadBinding, quadLoader } from "./_global.ts";
import { scalarChunk, scalarProlog } from "./_scalar.ts";
import { tiledPlace } from "./_places.ts";
import { openState, storeState } from "./_state.ts";

/** What a kernel is told at run time; `tokens` of a segment are a multiple of the chunk, and `zero` is 0. */
const parameters = /* wgsl */ `
struct Parameters { B: u32, T: u32, H: u32, segments: u32, tokens: u32, count: u32, scale: f32, chunks: u32, zero: u32 }
`;

/** The words of {@link parameters}. */
export function parameterWords(
  { B, T, H, segments, tokens, count, scale, chunks }: {
    readonly [name in "B" | "T" | "H" | "segments" | "tokens" | "count" | "scale" | "chunks"]: number;
  },
): Uint32Array {
  const words = new Uint32Array([B, T, H, segments, tokens, count, 0, chunks, 0, 0, 0, 0]);
  new Float32Array(words.buffer)[6] = scale;
  return words;
}

/** Stores the chunk's outputs, which lie in `sums`. */
function storeOutputs(config: ForwardConfig, d: Derived): string {
  const { chunk, columns, threads, V, dtype, factor, pre } = config;
  const place = tiledPlace("at", columns / 16);
  const value = (at: string, next: number): string => {
    const sum = d.scaled
      ? `shifted(sums[${at}], exponent_of(atomicLoad(&rows[parity * ${chunk}u + t])) + es - 29)`
      : `sums[${at}]`;
    return (pre
      ? `(${sum} + bonus_of[t] * value[(t * ${columns}u + column - first_column) / 4u][(column + ${next}u) % 4u])`
      : sum) + factor;
  };
  const clear = (at: string): string => d.clears ? `sums[${at}] = 0.0;` : "";
  const row = `((b * params.T + start + t) * params.H + h) * ${V}u + column`;
  if (dtype === "f32") {
    return `for (var at = lid; at < ${chunk * columns}u; at += ${threads}u) {
  let t = ${place.row};
  let column = first_column + ${place.column};
  if (start + t < end && column < ${V}u) { out_o[${row}] = ${value("at", 0)}; }
  ${clear("at")}
}`;
  }
  return `for (var at = 2u * lid; at < ${chunk * columns}u; at += ${2 * threads}u) {
  let t = ${place.row};
  let column = first_column + ${place.column};
  if (start + t < end && column < ${V}u) {
    out_o[(${row}) / 2u] = pack2x16float(vec2f(${value("at", 0)}, ${value("at + 1u", 1)}));
  }
  ${clear("at")} ${clear("at + 1u")}
}`;
}

/** The text of every key that an invocation answers for. */
function keysOf(K: number, threads: number, text: (n: number) => string): string {
  return Array.from({ length: Math.ceil(K / threads) }, (_, n) => text(n)).join("\n");
}

/** Over a segment from nothing: its decay, `[B, H, segments]` or `[…, K]`, beside the state at its end. */
function storeTotals({ kind, K, threads }: ForwardConfig): string {
  if (kind === "none") return "";
  if (kind === "scalar") {
    return `if (tile == 0u && lid == 0u) { totals[sequence * params.segments + segment] = segment_decay_0; }`;
  }
  return keysOf(K, threads, (n) =>
    `if (tile == 0u && lid + ${n * threads}u < ${K}u) {
  totals[(sequence * params.segments + segment) * ${K}u + lid + ${n * threads}u] = segment_decay_${n};
}`);
}

function segmentDecay({ kind, K, threads }: ForwardConfig): { readonly declare: string; readonly multiply: string } {
  if (kind === "none") return { declare: "", multiply: "" };
  const count = kind === "scalar" ? 1 : Math.ceil(K / threads);
  return {
    declare: keysOf(count, 1, (n) => `var segment_decay_${n} = 1.0;`),
    multiply: kind === "scalar"
      ? "segment_decay_0 *= chunk_decay;"
      : keysOf(count, 1, (n) =>
        `if (lid + ${n * threads}u < ${K}u) { segment_decay_${n} *= total[lid + ${n * threads}u]; }`),
  };
}

/** The module. Its buffers: in_q, in_k, in_v, in_g, in_u, state_in, out_o, state_out, chunk_states, totals, parameters. */
export function forwardShader(config: ForwardConfig): Shader {
  const d = derive(config);
  const { kind, pre, K, V, unit, dtype, gateDtype, threads, chunk } = config;
  const diagonal = kind === "diagonal";
  const { operands, words } = workgroupArrays(config);
  const quads: [string, "f32" | "f16", number][] = [
    ...(d.outputs ? [["in_q", dtype, K] as [string, "f32" | "f16", number]] : []),
    ["in_k", dtype, K],
    ["in_v", dtype, V],
    ...(diagonal ? [["in_g", gateDtype, K] as [string, "f32" | "f16", number]] : []),
    ...(pre && d.outputs ? [["in_u", "f32", K] as [string, "f32" | "f16", number]] : []),
  ];
  const bindings: Binding[] = [
    { name: "params", access: "uniform", type: "Parameters" },
    ...quads.map(([name, type, width]) => quadBinding(name, type, width)),
    ...(kind === "scalar" ? [numberBinding("in_g", gateDtype)] : []),
    storage("state_in", "f32"),
    storage("out_o", dtype === "f32" ? "f32" : "u32", "read_write"),
    storage("state_out", "f32", "read_write"),
    storage("chunk_states", "f32", "read_write"),
    storage("totals", "f32", "read_write"),
  ];
  const ends = config.pass === "ends";
  const decay = ends ? segmentDecay(config) : { declare: "", multiply: "" };
  const source = `${parameters}
${f32Profile.prelude}
${exponents}
${unit.functions}
${Object.entries(operands).map(([name, count]) => unit.declare(name, count)).join("\n")}
${
    Object.entries(words).map(([name, { type, count }]) => `var<workgroup> ${name}: array<${type}, ${count}>;`).join(
      "\n",
    )
  }
${quads.map(([name, type, width]) => quadLoader(name, type, width)).join("")}
${kind === "scalar" ? `fn gate_at(i: u32) -> f32 { return ${numberAt("in_g", gateDtype, "i")}; }` : ""}
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let flat = flat_workgroup(workgroup, grid);
  if (flat >= params.count) { return; }
  let segment = flat % params.segments;
  let tile = (flat / params.segments) % ${d.tilesOfV}u;
  let sequence = flat / params.segments / ${d.tilesOfV}u;
  let b = sequence / params.H;
  let h = sequence % params.H;
  let first_column = tile * ${config.columns}u;
  ${ends ? "// Nothing follows the last segment.\n  if (segment + 1u == params.segments) { return; }" : ""}
  let begin = segment * params.tokens;
  let end = min(begin + params.tokens, params.T);
  let chunks = (end - begin + ${chunk - 1}u) / ${chunk}u;
  let group = lid / ${unit.lanes}u;
  ${config.subgroup > 0 ? `let lane = lid % ${config.subgroup}u;` : ""}
  ${inputRegisters(config, d)}
  var ek = -100;
  var ev = -100;
  var es = 0;
  var chunk_decay = 1.0;
  ${
    d.scaled
      ? `if (lid < 8u) { atomicStore(&largest[lid], 0u); }` +
        (d.outputs ? `\nfor (var t = lid; t < ${2 * chunk}u; t += ${threads}u) { atomicStore(&rows[t], 0u); }` : "")
      : ""
  }
  ${d.clears ? `for (var at = lid; at < ${d.updateAt}u; at += ${threads}u) { sums[at] = 0.0; }` : ""}
  ${openState(config, d)}
  ${decay.declare}
  ${diagonal ? diagonalProlog(config, d) : scalarProlog(config, d)}
  for (var chunk = 0u; chunk < chunks; chunk++) {
    let start = begin + chunk * ${chunk}u;
    let tokens = min(${chunk}u, end - start);
    let parity = chunk & 1u;
    ${
    config.statesEvery > 0
      ? `if (start % ${config.statesEvery}u == 0u) {
${
        storeState(
          { ...config, factor: "" },
          d,
          "chunk_states",
          `(b * params.chunks + start / ${config.statesEvery}u) * params.H + h`,
        )
      }
}`
      : ""
  }
    ${diagonal ? diagonalChunk(config, d) : scalarChunk(config, d)}
    ${d.outputs ? storeOutputs(config, d) : ""}
    ${decay.multiply}
  }
  ${
    ends
      ? storeState(config, d, "state_out", "sequence * params.segments + segment") + storeTotals(config)
      : config.final
      ? `if (segment + 1u == params.segments) {\n${storeState(config, d, "state_out", "sequence")}\n}`
      : ""
  }
}
`;
  const prelude = config.subgroup > 0 && !unit.hardware
    ? `enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n${unit.prelude}`
    : unit.prelude;
  return assemble(`chunk ${kind} ${config.pass}`, { bindings, source, enable: prelude });
}
