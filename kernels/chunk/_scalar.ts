/**
 * A chunk without decay, or with one number for a token and head.
 *
 * With w(s, t) the product of a_i over s < i ≤ t, from tables made of direct products (never quotients):
 *
 *     P = Q Kᵀ ⊙ w(s, t)     O = w(0, t) Q S + P V     S = w(0, C) S + Kᵀ (w(s, C) V)
 *
 * `decay` has w(s, t) for t in the block of s (a triangle for each block: {@link pairPlace}), `prefix[t]` the product from
 * the block's first token on.
 * Where a head has one decay for all tokens, `power[n]` = aⁿ.
 */

import {
  eachQuad,
  fetch,
  inputExponents,
  keyVector,
  literal,
  maxima,
  only,
  putFour,
  repeat,
  resetMaxima,
  rowScale,
  stateExponent,
} from "./_common.ts";
import { type Derived, type ForwardConfig, TRIANGLE } from "./_config.ts";
import { operandPlace, tiledPlace } from "./_places.ts";
import { dealt, outputJobs, scoreJobs, updateJobs } from "./_products.ts";
import { dropState, putState, stateMaximum, updateState } from "./_state.ts";

/** The product of whole blocks' decays, over blocks b of which `condition` holds. */
function blocksWhere(from: number, to: number, condition: (b: number) => string): string {
  return Array.from({ length: Math.max(to - from, 0) }, (_, n) => {
    const b = from + n;
    return ` * select(1.0, prefix[${16 * b + 15}u], ${condition(b)})`;
  }).join("");
}

/** Where the table of pairs has w(s, t), t in the block of s. */
function pairPlace(s: string, t: string): string {
  return `${s} / 16u * ${TRIANGLE}u + ${s} % 16u * (31u - ${s} % 16u) / 2u + ${t} % 16u`;
}

/** w(0, t), w(s, C), w(s, t) for s ≤ t, w(0, C) as WGSL expressions. */
function decays({ per }: ForwardConfig, { blocks }: Derived): {
  readonly start: (t: string) => string;
  readonly end: (s: string) => string;
  readonly pair: string;
  readonly total: string;
} {
  if (per === "head") {
    return {
      start: (t) => `power[${t} + 1u]`,
      end: (s) => `power[max(tokens, ${s} + 1u) - 1u - ${s}]`,
      pair: "power[t - s]",
      total: "power[tokens]",
    };
  }
  const apart = `decay[${pairPlace("s", "15u")}]${
    blocksWhere(1, blocks - 1, (b) => `s / 16u < ${b}u && ${b}u < t / 16u`)
  } * prefix[t]`;
  const inside = `decay[${pairPlace("s", "t")}]`;
  return {
    start: (t) => `prefix[${t}]${blocksWhere(0, blocks - 1, (b) => `${b}u < ${t} / 16u`)}`,
    end: (s) => `decay[${pairPlace(s, "15u")}]${blocksWhere(1, blocks, (b) => `${b}u > ${s} / 16u`)}`,
    pair: blocks === 1 ? inside : `select(${apart}, ${inside}, s / 16u == t / 16u)`,
    total: Array.from({ length: blocks }, (_, b) => `prefix[${16 * b + 15}u]`).join(" * "),
  };
}

/** Puts the gates of the fetched chunk where {@link tables} finds them. */
function putGates({ kind, per, form, chunk }: ForwardConfig): string {
  if (kind !== "scalar" || per === "head") return "";
  return `if (lid < ${chunk}u) { gate[lid] = ${form === "log" ? "ds_exp(g)" : "g"}; }`;
}

/** Makes the tables of the chunk whose gates were put, one token for each of the last invocations. */
function tables({ kind, per, chunk, threads }: ForwardConfig): string {
  if (kind !== "scalar" || per === "head") return "";
  return `if (lid >= ${threads - chunk}u) {
  let s = lid - ${threads - chunk}u;
  let first = s & ~15u;
  var w = 1.0;
  for (var t = s; t < first + 16u; t++) {
    if (t > s) { w = w * gate[t]; }
    decay[${pairPlace("s", "t")}] = w;
    if (s == first) { prefix[t] = gate[s] * w; }
  }
}`;
}

/** What happens once, before the first chunk. */
export function scalarProlog(config: ForwardConfig, d: Derived): string {
  const { kind, per, form, chunk, threads } = config;
  const powers = `let a = ${form === "log" ? "ds_exp(gate_at(h))" : "gate_at(h)"};
for (var n = lid; n <= ${chunk}u; n += ${threads}u) {
  var w = 1.0;
  for (var i = 0u; i < n; i++) { w = w * a; }
  power[n] = w;
}`;
  return `${kind === "scalar" && per === "head" ? powers : ""}
${fetch(config, d, "begin")}
workgroupBarrier();
${maxima(config, d, "0u")}
${d.late ? "" : stateMaximum(config, d, "0u")}
${putGates(config)}
workgroupBarrier();
${tables(config)}
workgroupBarrier();`;
}

/** One chunk. */
export function scalarChunk(config: ForwardConfig, d: Derived): string {
  const { kind, chunk, columns, threads, unit } = config;
  const scalar = kind === "scalar";
  const w = decays(config, d);
  const values = scalar ? "op_w" : "op_v";
  const last = d.slices - 1;
  const putKeys = (i: string): string =>
    eachQuad(config, d, "K", (j) => {
      const q = `${keyVector("q", d, i, j)} * params.scale${d.scaled ? ` * ${rowScale(config, "row")}` : ""}`;
      const k = `${keyVector("k", d, i, j)}${d.scaled ? " * scale_k" : ""}`;
      return (d.outputs ? putFour(config, "op_q", config.slice, q) : "") + putFour(config, "op_k", config.slice, k);
    });
  const putValues = eachQuad(config, d, "V", (j) => {
    const v = `v[${j}]${d.scaled ? " * scale_v" : ""}`;
    return (d.outputs || !scalar ? putFour(config, "op_v", columns, v) : "") +
      (scalar ? putFour(config, "op_w", columns, `${v} * (${w.end("row")})`) : "");
  });
  const square = tiledPlace("at", d.blocks);
  const scoreFactor = d.scaled ? " * score_high * score_low" : "";
  const scores = `${
    d.scaled
      ? `let score_shift = max(ek + ev - es - 13, -250);
let score_high = power_of_two(score_shift >> 1u);
let score_low = power_of_two(score_shift - (score_shift >> 1u));`
      : ""
  }
for (var at = lid; at < ${chunk * chunk}u; at += ${threads}u) {
  let t = ${square.row};
  let s = ${square.column};
  if (s / 16u <= t / 16u) {
    var score = 0.0;
    if (s <= t) { score = sums[${d.scoresAt}u + at]${scalar ? ` * (${w.pair})` : ""}${scoreFactor}; }
    ${unit.put("op_q", config.pad > 0 ? operandPlace(config, chunk, "t", "s") : "at", "score")}
    ${d.clears ? `sums[${d.scoresAt}u + at] = 0.0;` : ""}
  }
}
${
    scalar
      ? `for (var at = lid; at < ${chunk * columns}u; at += ${threads}u) {
  let t = ${tiledPlace("at", columns / 16).row};
  sums[at] = sums[at] * (${w.start("t")});
}`
      : ""
  }`;
  const products = (add: boolean): string =>
    dealt(d, [
      ...(d.outputs ? [scoreJobs(config, d, add), outputJobs(config, d, { add, state: true })] : []),
      ...(d.late ? [] : [updateJobs(config, d, values)]),
    ]);
  // With a late update the state's largest is known only here, and its exponent one barrier later.
  const first = d.late && d.scaled
    ? `${stateMaximum(config, d, "parity")}
${putKeys("0u")}
${putValues}
${fetch(config, d, `start + ${chunk}u`)}
workgroupBarrier();
${stateExponent(d)}
${putState(config, d, "0u")}`
    : undefined;
  const perSlice = (i: string): string => `
${
    first ?? `${putState(config, d, i)}
${putKeys(i)}
${only(i, 0, putValues)}
${only(i, last, fetch(config, d, `start + ${chunk}u`))}`
  }
workgroupBarrier();
${only(i, 0, resetMaxima(config, d))}
${products(literal(i) !== 0)}
workgroupBarrier();
${d.late ? "" : updateState(config, d, i)}`;
  return `${scalar ? `chunk_decay = ${w.total};` : ""}
${inputExponents(d)}
${d.late ? "" : stateExponent(d)}
${dropState(config, d)}
${repeat(config, "i", d.slices, perSlice)}
${d.outputs ? scores : ""}
${maxima(config, d, "(1u - parity)")}
${d.late ? "" : stateMaximum(config, d, "(1u - parity)")}
${putGates(config)}
workgroupBarrier();
${tables(config)}
${
    dealt(d, [
      ...(d.outputs ? [outputJobs(config, d, { add: true, state: false, scores: "op_q" })] : []),
      ...(d.late ? [updateJobs(config, d, values)] : []),
    ])
  }
workgroupBarrier();
${d.late ? updateState(config, d, "0u") : ""}`;
}
