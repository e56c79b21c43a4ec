/**
 * Outputs of a chunk from the state at its start: a workgroup for some rows of one chunk.
 *
 *     P = Q Kᵀ ⊙ w(s, t)     O = (w(0, t) Q) S + P V
 *
 * Two operands take turns in workgroup memory: q and k for scores, which go to f32 sums; q with its decay and the state, added
 * up in registers; scores as operands and v, added to that. So a workgroup takes little memory, and several hide each other's
 * loads and barriers. Tiles above the diagonal are neither multiplied nor put. Scales are those of _common.ts.
 *
 * With blocks of 16 tokens, w(s, t) is a direct product inside a block, and otherwise that from s to its block's end, times whole
 * blocks between, times `prefix[t]`, from t's block's first token on: never a quotient, never more roundings than gates.
 */

import { f32Profile } from "../profile.ts";
import { assemble, type Shader } from "../wgsl.ts";
import { exponents, repeat } from "./_common.ts";
import {
  halvesAsTheyAre,
  lanesOf,
  outputArrays,
  type OutputTiles,
  PAIR_QUADS,
  type ParallelConfig,
  scaled,
  type StateTiles,
} from "./_parallel_config.ts";
import {
  type Block,
  copyBlock,
  fetchBlock,
  gateBinding,
  gateFunction,
  multiplier,
  noteLargest,
  noteRows,
  putBlock,
  registers,
  vectorBinding,
} from "./_parallel_staging.ts";
import { parallelParameters, parallelPrelude } from "./_parallel_text.ts";

/** Row tiles of a group, the earlier first, and what it owns of them: rows from both ends, so that groups have equally much below the diagonal. */
function dealt({ unit }: ParallelConfig, { rows, columns, threads }: OutputTiles): {
  readonly rowTiles: readonly string[];
  readonly across: number;
  readonly blocks: number;
  readonly active: string;
} {
  const tiles = rows / 16;
  const pairs = tiles > 1 ? tiles / 2 : 1;
  const groups = threads / unit.lanes;
  const tilesOfV = columns / 16;
  let across = Math.min(tilesOfV, Math.ceil(pairs * tilesOfV / groups));
  while (tilesOfV % across !== 0) across++;
  const blocks = tilesOfV / across;
  return {
    rowTiles: tiles > 1 ? ["pair", `(${tiles - 1}u - pair)`] : ["0u"],
    across,
    blocks,
    active: `group < ${pairs * blocks}u`,
  };
}

/** Products of whole blocks' decays: blocks `from …` of which `holds(b)`. */
function blocksWhere(from: number, to: number, holds: (b: number) => string): string {
  return Array.from(
    { length: Math.max(0, to - from) },
    (_, n) => ` * select(1.0, prefix[${16 * (from + n) + 15}u], ${holds(from + n)})`,
  ).join("");
}

/**
 * `decay`, w(s, t) of s in the block of t, four to a vector, 0 where s is later; `prefix` of every token. The last row of a block
 * has the products from s to its end.
 */
function tables({ kind, chunk }: ParallelConfig, threads: number): string {
  if (kind === "none") return "";
  const four = (quad: number): string =>
    `{ var row = vec4f();
${
      [3, 2, 1, 0].map((n) =>
        `let here_${n} = ${4 * quad + n}u <= late;
row[${n}] = select(0.0, w, here_${n});
w *= select(1.0, gate[first_of + ${4 * quad + n}u], here_${n});`
      ).join("\n")
    }
decay[t * ${PAIR_QUADS}u + ${quad}u] = row; }`;
  return `for (var t = lid; t < ${chunk}u; t += ${threads}u) {
let first_of = t & ~15u;
let late = t & 15u;
var w = 1.0;
${[3, 2, 1, 0].map(four).join("\n")}
prefix[t] = w;
}`;
}

export function outputsShader(
  config: ParallelConfig,
  tiles: OutputTiles,
  { keys, columns: stateColumns }: Pick<StateTiles, "keys" | "columns">,
): Shader {
  const { kind, K, V, chunk, pad, unit, dtype, factor } = config;
  const { rows, columns, threads } = tiles;
  const { operands, sums } = outputArrays(config, tiles);
  const half = scaled(config);
  const scalar = kind === "scalar";
  const lanes = lanesOf(dtype);
  // Halves of k are multiplied as they are, as if their largest were in [2^14, 2^15).
  const rawKeys = halvesAsTheyAre(config);
  const parts = chunk / rows;
  // Later rows of the chunk are not seen by those of the workgroup.
  const seen = parts === 1 ? {} : { where: `row < first_row + ${rows}u` };
  const q: Block = { name: "q", source: "in_q", dtype, rows, width: K, threads };
  const k: Block = { ...q, name: "k", source: "in_k", rows: chunk, ...seen };
  const v: Block = { ...q, name: "v", source: "in_v", rows: chunk, width: columns, ...seen };
  const s: Block = { ...q, name: "s", source: "states", dtype: config.stateDtype, rows: K, width: columns };
  const kept = config.stateDtype === "f16";
  const stateLanes = lanesOf(config.stateDtype);
  const stateTiles = K / keys * V / stateColumns;
  const tileOfState = `row / ${keys}u * ${V / stateColumns}u + (first_column + 8u * part) / ${stateColumns}u`;
  const token = (first: string): string => `((b * params.T + ${first} + row) * params.H + h)`;
  const blocks = chunk / 16;
  // From the chunk's start to token t, t counted from there.
  const fromStart = (t: string): string => `prefix[${t}]${blocksWhere(0, blocks - 1, (b) => `${b}u < (${t}) / 16u`)}`;
  const decayedQ = putBlock(
    config,
    q,
    "op_a",
    [
      "params.scale",
      ...(half ? ["row_scale(row)"] : []),
      ...(scalar ? [`(${fromStart("first_row + row")})`] : []),
    ].join(" * "),
  );
  const deal = dealt(config, tiles);
  const strideA = (width: number): number => width + pad;
  const scoreStride = chunk + pad;
  const outStride = columns + pad;
  const scores = `{ var n = 0u;
for (var i = 0u; i < ${rows / 16}u; i++) {
for (var j = 0u; j <= first_row / 16u + i; j++) {
if (n % ${threads / unit.lanes}u == group) {
${unit.accumulators("score", 1, 1)}
${
    unit.product({
      into: "score",
      rows: 1,
      columns: 1,
      inner: K / 16,
      a: { name: "op_a", at: `i * ${16 * strideA(K)}u`, stride: strideA(K) },
      b: { name: "op_b", at: `j * ${16 * strideA(K)}u`, stride: strideA(K), transposed: true },
    })
  }
${unit.store("score", 1, 1, { array: "sums", at: `i * ${16 * scoreStride}u + 16u * j`, stride: scoreStride })}
}
n++;
} } }`;
  const place = (stride: number, column: string): string => `4u * (t * ${stride / 4}u + ${column})`;
  const four = (at: string): string => `vec4f(${[0, 1, 2, 3].map((n) => `sums[${at} + ${n}u]`).join(", ")})`;
  const quads = chunk / 4;
  const apart = `prefix[late]${blocksWhere(1, blocks - 1, (b) => `early / 16u < ${b}u && ${b}u < late / 16u`)}`;
  const putScores = repeat(
    config,
    "j",
    Math.ceil(rows * quads / threads),
    (j) =>
      `let t = (lid + ${j} * ${threads}u) / ${quads}u;
let quad = (lid + ${j} * ${threads}u) % ${quads}u;
let late = first_row + t;
let early = 4u * quad;
if (${rows * quads % threads === 0 ? "" : `t < ${rows}u && `}early / 16u <= late / 16u) {
  let at = ${place(scoreStride, "quad")};
  var scores = ${four("at")}${half ? " * score_high * score_low" : ""};
  ${
        scalar
          ? `let together = early / 16u == late / 16u;
  scores *= decay[select(early | 15u, late, together) * ${PAIR_QUADS}u + quad % 4u] * select(${apart}, 1.0, together);`
          : `scores = select(vec4f(), scores, vec4u(early) + vec4u(0u, 1u, 2u, 3u) <= vec4u(late));`
      }
  ${[0, 1, 2, 3].map((n) => unit.put("op_a", `at + ${n}u`, `scores[${n}]`)).join("\n  ")}
}`,
  );
  const own = (n: number): string => deal.rowTiles[n]!;
  const columnAt = `block * ${16 * deal.across}u`;
  const count = deal.rowTiles.length;
  const starts = (stride: number): string[] => deal.rowTiles.map((tile) => `${tile} * ${16 * stride}u`);
  const withState = unit.product({
    into: "o",
    rows: count,
    columns: deal.across,
    inner: K / 16,
    a: { name: "op_a", at: "0u", stride: strideA(K), starts: starts(strideA(K)) },
    b: { name: "op_b", at: columnAt, stride: outStride },
  });
  // What both rows see, then what only the later one does.
  const withValues = deal.rowTiles.map((tile, n) =>
    `for (var n = ${n === 0 ? "0u" : `first_row / 16u + ${own(0)} + 1u`}; n <= first_row / 16u + ${tile}; n++) {
${
      unit.product({
        into: "o",
        first: n,
        rows: count - n,
        columns: deal.across,
        inner: 1,
        a: { name: "op_a", at: "16u * n", stride: scoreStride, starts: starts(scoreStride).slice(n) },
        b: { name: "op_b", at: `n * ${16 * outStride}u + ${columnAt}`, stride: outStride },
      })
    }
}`
  ).join("\n");
  const storeSums = deal.rowTiles.map((tile, row) =>
    unit.store("o", 1, deal.across, {
      array: "sums",
      at: `${tile} * ${16 * outStride}u + ${columnAt}`,
      stride: outStride,
    }, { row, column: 0 })
  ).join("\n");
  const perRow = columns / lanes;
  const number = (n: number): string => `(${half ? `sums[at + ${n}u] * low * high` : `sums[at + ${n}u]`})${factor}`;
  const stored = lanes === 4
    ? `vec4f(${[0, 1, 2, 3].map(number).join(", ")})`
    : `vec4u(${[0, 2, 4, 6].map((n) => `pack2x16float(vec2f(${number(n)}, ${number(n + 1)}))`).join(", ")})`;
  const storeOutputs = repeat(
    config,
    "j",
    Math.ceil(rows * perRow / threads),
    (j) =>
      `let t = (lid + ${j} * ${threads}u) / ${perRow}u;
let part = (lid + ${j} * ${threads}u) % ${perRow}u;
if (${rows * perRow % threads === 0 ? "" : `t < ${rows}u && `}first + first_row + t < params.T) {
  let at = ${lanes}u * (t * ${outStride / lanes}u + part);
  ${
        half
          ? `let shift = exponent_of(atomicLoad(&rows[t])) + es - 29;
  let low = power_of_two(shift >> 1u);
  let high = power_of_two(shift - (shift >> 1u));`
          : ""
      }
  out_o[((b * params.T + first + first_row + t) * params.H + h) * ${
        V / lanes
      }u + first_column / ${lanes}u + part] = ${stored};
}`,
  );
  return assemble(`chunk ${kind} outputs`, {
    bindings: [
      { name: "params", access: "uniform", type: "Parameters" },
      vectorBinding("in_q", dtype),
      vectorBinding("in_k", dtype),
      vectorBinding("in_v", dtype),
      ...gateBinding(config),
      vectorBinding("states", config.stateDtype),
      { name: "state_exponents", access: "read", type: "array<i32>" },
      vectorBinding("out_o", dtype, "read_write"),
    ],
    enable: parallelPrelude(config),
    source: `${parallelParameters}
${scalar ? f32Profile.prelude : ""}
${exponents}
${unit.functions}
${Object.entries(operands).map(([name, count]) => unit.declare(name, count)).join("\n")}
var<workgroup> sums: array<f32, ${sums}>;
${
      half
        ? `// Largest magnitudes: k, v, state, nothing (whole 16 bytes); rows of q.
var<workgroup> largest: array<atomic<u32>, 4>;
var<workgroup> rows: array<atomic<u32>, ${rows}>;
fn row_scale(row: u32) -> f32 { return power_of_two(14 - exponent_of(atomicLoad(&rows[row]))); }`
        : ""
    }
${
      scalar
        ? `var<workgroup> gate: array<f32, ${chunk}>;
var<workgroup> prefix: array<f32, ${chunk}>;
var<workgroup> decay: array<vec4f, ${PAIR_QUADS * chunk}>;`
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
  let whole = flat / ${V / columns * parts}u;
  let sequence = whole / params.chunks;
  if (sequence >= params.B * params.H) { return; }
  let first_column = flat % ${V / columns}u * ${columns}u;
  let first_row = flat / ${V / columns}u % ${parts}u * ${rows}u;
  let first = whole % params.chunks * ${chunk}u;
  let b = sequence / params.H;
  let h = sequence % params.H;
  let group = lid / ${unit.lanes}u;
  let pair = group / ${deal.blocks}u;
  let block = group % ${deal.blocks}u;
  if (first + first_row >= params.T) { return; }
  ${
      half
        ? `if (lid < 3u) { atomicStore(&largest[lid], 0u); }
  for (var t = lid; t < ${rows}u; t += ${threads}u) { atomicStore(&rows[t], 0u); }`
        : ""
    }
  ${registers(q)}
  ${registers(k)}
  ${registers(v)}
  ${registers(s)}
  ${scalar ? `var g = 0.0;\nif (lid < ${chunk}u) { g = raw_gate(b, first + lid, h); }` : ""}
  ${
      fetchBlock(config, q, {
        at: `${token("first + first_row")} * ${K / lanes}u`,
        there: "first + first_row + row < params.T",
      })
    }
  ${fetchBlock(config, k, { at: `${token("first")} * ${K / lanes}u`, there: `first + row < params.T` })}
  ${fetchBlock(config, s, { at: `(whole * ${K}u + row) * ${V / stateLanes}u + first_column / ${stateLanes}u` })}
  ${
      fetchBlock(config, v, {
        at: `${token("first")} * ${V / lanes}u + first_column / ${lanes}u`,
        there: `first + row < params.T`,
      })
    }
  ${half ? "workgroupBarrier();" : ""}
  ${scalar ? `if (lid < ${chunk}u) { gate[lid] = ${multiplier(config, "g")}; }` : ""}
  ${noteRows(config, q)}
  ${noteLargest(config, k, "0u")}
  workgroupBarrier();
  ${half ? "let ek = exponent_of(atomicLoad(&largest[0]));" : ""}
  ${putBlock(config, q, "op_a", half ? "params.scale * row_scale(row)" : "params.scale")}
  ${rawKeys ? copyBlock(config, k, "op_b") : putBlock(config, k, "op_b", half ? "power_of_two(14 - ek)" : "")}
  ${tables(config, threads)}
  ${noteLargest(config, v, "1u")}
  ${
      kept
        ? `var above_state = -100;
  for (var n = 0u; n < ${stateTiles}u; n++) { above_state = max(above_state, state_exponents[whole * ${stateTiles}u + n]); }`
        : noteLargest(config, s, "2u")
    }
  workgroupBarrier();
  ${scores}
  workgroupBarrier();
  ${
      half
        ? `let ev = exponent_of(atomicLoad(&largest[1]));
  let es = clamp(max(${kept ? "above_state" : "exponent_of(atomicLoad(&largest[2])) + 1"}, ek + ev + ${
          2 + Math.ceil(Math.log2(K))
        }), -100, 140);
  let score_shift = max(${rawKeys ? "14" : "ek"} + ev - es - 13, -250);
  let score_high = power_of_two(score_shift >> 1u);
  let score_low = power_of_two(score_shift - (score_shift >> 1u));`
        : ""
    }
  ${scalar ? decayedQ : ""}
  ${
      putBlock(
        config,
        s,
        "op_b",
        kept
          ? `power_of_two(state_exponents[whole * ${stateTiles}u + ${tileOfState}] - es)`
          : half
          ? "power_of_two(15 - es)"
          : "",
      )
    }
  workgroupBarrier();
  ${unit.accumulators("o", count, deal.across)}
  if (${deal.active}) {
  ${withState}
  }
  workgroupBarrier();
  ${putScores}
  ${putBlock(config, v, "op_b", half ? "power_of_two(14 - ev)" : "")}
  workgroupBarrier();
  if (${deal.active}) {
  ${withValues}
  ${storeSums}
  }
  workgroupBarrier();
  ${storeOutputs}
}
`,
  });
}
