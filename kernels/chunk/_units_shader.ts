/**
 * A sequence's chunks one after the other on matrix units: a workgroup walks over them with its columns of the state in registers.
 *
 *     P = Q Kᵀ ⊙ w(s, t)     O = (w(0, t) Q) S + P V     S ← w(0, C) S + (w(s, C) K)ᵀ V
 *
 * What limits a chunk is the way through workgroup memory: fragments of v, and without a decay of q, are held in registers for two
 * products each, and arrays are written over as soon as they are held (_units_config.ts). With a decay q and k are put twice. Sums
 * come out of the unit by way of one f32 array, in turn: scores, what the chunk adds to the state, outputs. The next chunk is on
 * its way from memory meanwhile. Six barriers a chunk. Scales are those of _common.ts, decays those of _units_decays.ts.
 */
import { f32Profile } from "../profile.ts";
import { assemble, type Shader } from "../wgsl.ts";
import { exponents, repeat } from "./_common.ts";
import { arraysOf, halvesAsTheyAre, lanesOf, placesOf, scaled, type UnitsConfig } from "./_units_config.ts";
import { type Deal, divisorUpTo, ownRow } from "./_units_deal.ts";
import {
  betweenBlocks,
  blockTables,
  chunkTables,
  decayArrays,
  fetchGate,
  putGate,
  wholeChunk,
  withinBlock,
} from "./_units_decays.ts";
import {
  type Block,
  copyBlock,
  fetchBlock,
  gateBinding,
  gateFunction,
  noteLargest,
  noteMost,
  noteRows,
  putBlock,
  registers,
  vectorBinding,
} from "./_units_staging.ts";
import { unitsParameters, unitsPrelude } from "./_units_text.ts";

export function unitsShader(config: UnitsConfig): Shader {
  const { kind, K, V, chunk, columns, threads, pad, unit, dtype, factor, fault } = config;
  const { operands, sums } = arraysOf(config);
  const at = placesOf(config);
  const half = scaled(config);
  const scalar = kind === "scalar";
  const lanes = lanesOf(dtype);
  // Halves are multiplied as they are, as if their largest were in [2^14, 2^15), where no decay is to be rounded into them.
  const rawKeys = halvesAsTheyAre(config);
  const q: Block = { name: "q", source: "in_q", dtype, rows: chunk, width: K, threads };
  const k: Block = { ...q, name: "k", source: "in_k" };
  const keptK: Block = { ...k, name: "kept_k" };
  const v: Block = { ...q, name: "v", source: "in_v", width: columns };
  const row = "((b * params.T + first + row) * params.H + h)";
  const there = "first + row < params.T";
  const fetch = (from: string): string =>
    `{ let first = ${from};
${fetchBlock(config, q, { at: `${row} * ${K / lanes}u`, there })}
${fetchBlock(config, k, { at: `${row} * ${K / lanes}u`, there })}
${fetchBlock(config, v, { at: `${row} * ${V / lanes}u + first_column / ${lanes}u`, there })}
}`;
  // Groups of lanes share the tiles of outputs: rows of tokens, columns of V. Those of the state have the same columns.
  const groups = threads / unit.lanes;
  const [tilesOfTime, tilesOfK, tilesOfV] = [chunk / 16, K / 16, columns / 16];
  const blocks = divisorUpTo(tilesOfV, Math.floor(groups / Math.min(groups, tilesOfTime)));
  const deal: Deal = { apart: Math.floor(groups / blocks), blocks, groups };
  const across = tilesOfV / blocks;
  const rowsOf = (tiles: number): readonly number[] =>
    Array.from({ length: Math.ceil(tiles / deal.apart) }, (_, n) => n);
  const tokenRows = rowsOf(tilesOfTime);
  const keyRows = rowsOf(tilesOfK);
  const each = (rows: readonly number[], of: number, text: (n: number) => string): string =>
    rows.map((n) => ownRow(deal, of, n, text(n))).join("\n");
  // Scores have columns of tiles of their own.
  const scoreBlocks = divisorUpTo(tilesOfTime, blocks);
  const scoresAcross = tilesOfTime / scoreBlocks;
  const keyStride = K + pad;
  const stride = columns + pad;
  const scoreStride = chunk + pad;
  const ownColumn = `own_column * ${16 * across}u`;
  const tokenRow = (n: number, of: number): string => `(own_row + ${deal.apart * n}u) * ${16 * of}u`;
  const rowsOfQ = (name: string, array: string, n: number) =>
    ({ name: array, at: tokenRow(n, keyStride), stride: keyStride, held: `${name}_${n}` }) as const;
  const values = { name: at.v, at: ownColumn, stride, held: "held_v" };
  const fragmentsOfQ = (name: string, n: number) =>
    ({ name: `${name}_${n}`, side: "left", tiles: 1, inner: tilesOfK }) as const;
  const fragmentsOfV = { name: "held_v", side: "right", tiles: across, inner: tilesOfTime } as const;
  const decayed = scalar ? "held_r" : "held_q";
  const holdQ = each(
    tokenRows,
    tilesOfTime,
    (n) =>
      unit.hold(fragmentsOfQ("held_q", n), rowsOfQ("held_q", at.q, n)) +
      (scalar ? unit.hold(fragmentsOfQ("held_r", n), rowsOfQ("held_r", at.decayedQ, n)) : ""),
  );
  const scores = each(tokenRows, tilesOfTime, (n) => {
    const text = `${unit.accumulators(`p_${n}`, 1, scoresAcross)}
${
      unit.product({
        into: `p_${n}`,
        rows: 1,
        columns: scoresAcross,
        inner: tilesOfK,
        a: rowsOfQ("held_q", at.q, n),
        b: {
          name: at.k,
          at: `own_column * ${16 * scoresAcross * keyStride}u`,
          stride: keyStride,
          transposed: true,
        },
      })
    }
${
      unit.store(`p_${n}`, 1, scoresAcross, {
        array: "sums",
        at: `${tokenRow(n, scoreStride)} + own_column * ${16 * scoresAcross}u`,
        stride: scoreStride,
      })
    }`;
    return scoreBlocks === blocks ? `{\n${text}\n}` : `if (own_column < ${scoreBlocks}u) {\n${text}\n}`;
  });
  const added = each(keyRows, tilesOfK, (n) =>
    unit.product({
      into: `d_${n}`,
      rows: 1,
      columns: across,
      inner: tilesOfTime,
      a: {
        name: scalar ? at.decayedK : at.k,
        at: `(own_row + ${deal.apart * n}u) * 16u`,
        stride: keyStride,
        transposed: true,
      },
      b: values,
    }));
  const declareAdded = keyRows.map((n) => unit.accumulators(`d_${n}`, 1, across)).join("\n");
  const outputs = each(tokenRows, tilesOfTime, (n) =>
    unit.product({
      into: `o_${n}`,
      rows: 1,
      columns: across,
      inner: tilesOfK,
      a: rowsOfQ(decayed, scalar ? at.decayedQ : at.q, n),
      b: { name: at.state, at: ownColumn, stride },
    }) + "\n" +
    unit.product({
      into: `o_${n}`,
      rows: 1,
      columns: across,
      inner: tilesOfTime,
      a: { name: at.scores, at: tokenRow(n, scoreStride), stride: scoreStride },
      b: values,
    }));
  const storeTo = (name: string, rows: readonly number[], of: number): string =>
    each(rows, of, (n) =>
      unit.store(`${name}_${n}`, 1, across, {
        array: "sums",
        at: `${tokenRow(n, stride)} + ${ownColumn}`,
        stride,
      }));

  const four = (place: string): string => `vec4f(${[0, 1, 2, 3].map((n) => `sums[${place} + ${n}u]`).join(", ")})`;
  // Scores by pairs of blocks of 16 tokens, 64 vectors of four each: what a subgroup has is of one pair.
  const blocksOfTime = chunk / 16;
  const items = chunk * chunk / 4;
  const putScores = repeat(config, "j", Math.ceil(items / threads), (j) =>
    `let item = lid + ${j} * ${threads}u;
let late_block = item / ${64 * blocksOfTime}u;
let early_block = item / 64u % ${blocksOfTime}u;
let own_late = item % 64u / 4u;
let own_early = item % 4u * 4u;
${items % threads === 0 ? "" : `if (item < ${items}u) `}{
  let place = 4u * ((16u * late_block + own_late) * ${scoreStride / 4}u + 4u * early_block + own_early / 4u);
  var scores = vec4f();
  if (early_block <= late_block) { scores = ${four("place")}${half ? " * score_high * score_low" : ""}; }
  if (early_block == late_block) {
    ${scalar ? withinBlock : ""}
    scores = select(vec4f(), scores${
      scalar ? " * w" : ""
    }, vec4u(own_early) + vec4u(0u, 1u, 2u, 3u) <= vec4u(own_late));
  }${
      scalar
        ? ` else if (early_block < late_block) {
    ${betweenBlocks(config)}
  }`
        : ""
    }
  ${[0, 1, 2, 3].map((n) => unit.put(at.scores, `place + ${n}u`, `scores[${n}]`)).join("\n  ")}
}`);

  const cellsInRow = columns / 4;
  const cells = Math.ceil(K * cellsInRow / threads);
  const eachCell = (text: (s: string) => string): string =>
    repeat(config, "j", cells, (j) =>
      `let cell = lid + ${j} * ${threads}u;
let row = cell / ${cellsInRow}u;
let quad = cell % ${cellsInRow}u;
${
        K * cellsInRow % threads === 0
          ? text(`s[${j}]`)
          : `if (row < ${K}u) {\n${text(`s[${j}]`)}\n}`
      }`);
  const entry = `(sequence * ${K}u + row) * ${V / 4}u + first_column / 4u + quad`;
  const place = `let place = 4u * (row * ${stride / 4}u + quad);`;
  const update = eachCell((s) => {
    const sum = scalar
      ? fault === "swapped-operands" ? `${s} + whole * added` : `whole * ${s} + added`
      : `${s} + added`;
    return `${place}
let added = ${half ? `(${four("place")} * low_factor) * high_factor` : four("place")};
${s} = ${sum};${fault === "dropped-carry" ? `\nif (chunk + 1u < params.chunks) { ${s} = vec4f(); }` : ""}`;
  });
  const noteState = half
    ? `{ var most = 0.0;
${eachCell((s) => `most = max(most, largest_of(${s}));`)}
${noteMost(config, "largest[2]")} }`
    : "";
  const putState = eachCell((s) =>
    `${place}
let four = ${s}${half ? " * power_of_two(15 - es)" : ""};
${[0, 1, 2, 3].map((n) => unit.put(at.state, `place + ${n}u`, `four[${n}]`)).join("\n")}`
  );
  const product = (...factors: readonly string[]): string => factors.join(" * ");
  /** Statements: q of the chunk whose rows and decays are at `table`. */
  const putQ = (table: string): string => {
    const scale = [
      "params.scale",
      ...(half ? [`power_of_two(14 - exponent_of(atomicLoad(&rows[${table} + row])))`] : []),
    ];
    return putBlock(config, q, at.q, product(...scale)) +
      (scalar ? putBlock(config, q, at.decayedQ, product(...scale, "from_start[row]")) : "");
  };
  const putDecayedK = scalar
    ? putBlock(config, keptK, at.decayedK, product(...(half ? ["power_of_two(14 - ek)"] : []), "until_end[row]"))
    : "";
  /** Statements: what a chunk begins with, besides q: its k and v, the state, and the exponents of all of them. */
  const begin = `${
    half
      ? `ek = exponent_of(atomicLoad(&largest[0]));
    ev = exponent_of(atomicLoad(&largest[1]));
    es = clamp(max(exponent_of(atomicLoad(&largest[2])) + 1, ek + ev + ${2 + Math.ceil(Math.log2(K))}), -100, 140);`
      : ""
  }
    ${putState}
    ${rawKeys ? copyBlock(config, k, at.k) : putBlock(config, k, at.k, half ? "power_of_two(14 - ek)" : "")}
    ${putBlock(config, v, at.v, half ? "power_of_two(14 - ev)" : "")}
    ${scalar ? "kept_k = k;" : ""}`;
  const note = (table: string): string =>
    noteLargest(config, k, "0u") + noteLargest(config, v, "1u") + noteRows(config, q, table);

  const perRow = columns / lanes;
  const number = (n: number): string =>
    `(${half ? `sums[place + ${n}u] * low * high` : `sums[place + ${n}u]`})${factor}`;
  const stored = lanes === 4
    ? `vec4f(${[0, 1, 2, 3].map(number).join(", ")})`
    : `vec4u(${[0, 2, 4, 6].map((n) => `pack2x16float(vec2f(${number(n)}, ${number(n + 1)}))`).join(", ")})`;
  const storeOutputs = repeat(
    config,
    "j",
    Math.ceil(chunk * perRow / threads),
    (j) =>
      `let t = (lid + ${j} * ${threads}u) / ${perRow}u;
let part = (lid + ${j} * ${threads}u) % ${perRow}u;
if (${chunk * perRow % threads === 0 ? "" : `t < ${chunk}u && `}start + t < params.T) {
  let place = ${lanes}u * (t * ${stride / lanes}u + part);
  ${
        half
          ? `let shift = exponent_of(atomicLoad(&rows[table + t])) + es - 29;
  let low = power_of_two(shift >> 1u);
  let high = power_of_two(shift - (shift >> 1u));`
          : ""
      }
  out_o[((b * params.T + start + t) * params.H + h) * ${V / lanes}u + first_column / ${lanes}u + part] = ${stored};
}`,
  );
  // Exponents of what the chunk's product with v was of.
  const keyExponent = rawKeys && !scalar ? "14" : "ek";
  return assemble(`chunk ${kind} on matrix units`, {
    bindings: [
      { name: "params", access: "uniform", type: "Parameters" },
      vectorBinding("in_q", dtype),
      vectorBinding("in_k", dtype),
      vectorBinding("in_v", dtype),
      ...gateBinding(config),
      vectorBinding("state_in", "f32"),
      vectorBinding("state_out", "f32", "read_write"),
      vectorBinding("out_o", dtype, "read_write"),
    ],
    enable: unitsPrelude(config),
    source: `${unitsParameters}
${scalar ? f32Profile.prelude : ""}
${exponents}
${unit.functions}
${
      unit.hardware
        ? `fn largest_half(x: vec4<f16>) -> f32 {
  let y = max(x.xy, x.zw);
  return f32(max(y.x, y.y));
}`
        : ""
    }
${Object.entries(operands).map(([name, count]) => unit.declare(name, count)).join("\n")}
var<workgroup> sums: array<f32, ${sums}>;
${
      half
        ? `// Largest magnitudes: k, v, state, nothing (whole 16 bytes); rows of q of two chunks.
var<workgroup> largest: array<atomic<u32>, 4>;
var<workgroup> rows: array<atomic<u32>, ${2 * chunk}>;`
        : ""
    }
${scalar ? decayArrays(config) : ""}
${gateFunction(config)}
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lid: u32,
) {
  let flat = flat_workgroup(workgroup, grid);
  let sequence = flat / ${V / columns}u;
  if (sequence >= params.B * params.H) { return; }
  let first_column = flat % ${V / columns}u * ${columns}u;
  let b = sequence / params.H;
  let h = sequence % params.H;
  let group = lid / ${unit.lanes}u;
  let own_row = group / ${blocks}u;
  let own_column = group % ${blocks}u;
  ${[q, k, v, ...(scalar ? [keptK] : [])].map(registers).join("\n  ")}
  ${scalar ? "var g = 0.0;" : ""}
  ${half ? "var ek = 0;\n  var ev = 0;\n  var es = 0;" : ""}
  var s: array<vec4f, ${cells}>;
  ${tokenRows.map((n) => unit.fragments(fragmentsOfQ("held_q", n))).join("\n")}
  ${scalar ? tokenRows.map((n) => unit.fragments(fragmentsOfQ("held_r", n))).join("\n") : ""}
  ${unit.fragments(fragmentsOfV)}
  ${fetch("0u")}
  ${fetchGate(config, "0u")}
  ${config.initial ? eachCell((s) => `${s} = state_in[${entry}];`) : ""}
  ${
      half
        ? `if (lid < 4u) { atomicStore(&largest[lid], 0u); }
  for (var t = lid; t < ${2 * chunk}u; t += ${threads}u) { atomicStore(&rows[t], 0u); }`
        : ""
    }
  ${putGate(config, "0u", "0u")}
  ${fetchGate(config, `${chunk}u`)}
  workgroupBarrier();
  ${note("0u")}
  ${noteState}
  ${blockTables(config, "0u")}
  workgroupBarrier();
  ${scalar ? `${chunkTables(config, "0u")}\nworkgroupBarrier();` : ""}
  ${putQ("0u")}
  workgroupBarrier();
  ${holdQ}
  ${unit.holds ? "workgroupBarrier();" : ""}
  ${begin}
  ${fetch(`${chunk}u`)}
  workgroupBarrier();
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    let start = chunk * ${chunk}u;
    let table = (chunk & 1u) * ${chunk}u;
    let next = ${chunk}u - table;
    ${
      half
        ? `if (lid < 4u) { atomicStore(&largest[lid], 0u); }
    for (var t = lid; t < ${chunk}u; t += ${threads}u) { atomicStore(&rows[next + t], 0u); }
    let score_shift = max(${rawKeys ? "14" : "ek"} + ev - es - 13, -250);
    let score_high = power_of_two(score_shift >> 1u);
    let score_low = power_of_two(score_shift - (score_shift >> 1u));
    let down = (${keyExponent} + ev - 28) >> 1u;
    let low_factor = power_of_two(down);
    let high_factor = power_of_two(${keyExponent} + ev - 28 - down);`
        : ""
    }
    // Scores; v is held, and what comes of k and v without a decay is added up.
    ${putGate(config, "next", `start + ${chunk}u`)}
    ${fetchGate(config, `start + ${2 * chunk}u`)}
    ${scores}
    ${unit.hold(fragmentsOfV, values)}
    ${declareAdded}
    ${scalar ? "" : added}
    workgroupBarrier();
    // Scores with their decays as an operand.
    ${putScores}
    ${putDecayedK}
    ${blockTables(config, "next")}
    workgroupBarrier();
    // Outputs; what the chunk adds to the state comes out. How large the next chunk's numbers are.
    ${tokenRows.map((n) => unit.accumulators(`o_${n}`, 1, across)).join("\n")}
    ${outputs}
    ${scalar ? added : ""}
    ${storeTo("d", keyRows, tilesOfK)}
    ${chunkTables(config, "next")}
    ${note("next")}
    workgroupBarrier();
    // The state behind the chunk; the next chunk's q.
    ${scalar ? wholeChunk(config) : ""}
    ${update}
    ${noteState}
    ${putQ("next")}
    workgroupBarrier();
    // Outputs come out while q is held.
    ${holdQ}
    ${storeTo("o", tokenRows, tilesOfTime)}
    workgroupBarrier();
    // Outputs to memory; the next chunk's k, v and state; the one behind it is on its way.
    ${storeOutputs}
    ${begin}
    ${fetch(`start + ${2 * chunk}u`)}
    workgroupBarrier();
  }
  ${config.final ? eachCell((s) => `state_out[${entry}] = ${s}${factor};`) : ""}
}
`,
  });
}
