/**
 * A chunk of 16 tokens with a decay for every key.
 *
 * An invocation holds four keys of one token s. It walks over the chunk's tokens i once, with two running products per key:
 * up to i = s the decay since the chunk's start, which q_s needs to read the state; behind it the decay of k_s, which
 * gives its part of the score of (i, s) at every i, and at the end what k_s adds to the state. Gates are products of a = e^g,
 * each exponential taken once; every product is at most 1, so nothing overflows, and no logarithms are summed.
 *
 * The parts of a score are added up by exchanges in the subgroup, or in workgroup memory where there are none.
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
import type { Derived, ForwardConfig } from "./_config.ts";
import { operandPlace } from "./_places.ts";
import { dealt, outputJobs, updateJobs } from "./_products.ts";
import { dropState, putState, stateMaximum, updateState } from "./_state.ts";

export const DIAGONAL_CHUNK = 16;

/** What happens once, before the first chunk. */
export function diagonalProlog(config: ForwardConfig, d: Derived): string {
  return `${fetch(config, d, "begin")}
workgroupBarrier();
${maxima(config, d, "0u")}
${stateMaximum(config, d, "0u")}
workgroupBarrier();`;
}

/** Puts the values, and gates and queries as f32. */
function putInputs(config: ForwardConfig, d: Derived, i: string): string {
  const place = `[row * ${d.keyQuads}u + quad]`;
  const keys = eachQuad(config, d, "K", (j) => {
    const g = keyVector("g", d, i, j);
    const exp = (n: string): string => config.form === "log" ? `ds_exp(a[${n}])` : `a[${n}]`;
    return `var a = ${g};
${repeat(config, "n", 4, (n) => `a[${n}] = ${exp(n)};`)}
gate${place} = a;
${d.outputs ? `query${place} = ${keyVector("q", d, i, j)} * params.scale;` : ""}`;
  });
  const values = eachQuad(
    config,
    d,
    "V",
    (j) => putFour(config, "op_v", config.columns, `v[${j}]${d.scaled ? " * scale_v" : ""}`),
  );
  return `${keys}\n${only(i, 0, values)}`;
}

/** The walk over the chunk's tokens. */
function walk(config: ForwardConfig, d: Derived, i: string): string {
  const { pre, slice } = config;
  return eachQuad(config, d, "K", (j) => {
    const step = (t: string): string => {
      const part = (text: string): string => d.outputs ? `part[${j} * 16u + ${t}] += dot(${text});` : "";
      const at = `${t} * ${d.keyQuads}u + quad`;
      const read = `let a = gate[${at}];` + (d.outputs ? ` let x = query[${at}];` : "");
      if (!pre) return `${read} if (row >= ${t}) { p *= a; } else { w *= a; } ${part("x, w")}`;
      return `${read} if (row > ${t}) { p *= a; } else if (row == ${t}) { ${
        d.outputs ? `own[${j}] += dot(x * bonus, w);` : ""
      } whole *= a; }
else { ${part("x, w")} w *= a; }`;
    };
    const query = `(query[row * ${d.keyQuads}u + quad] * p)${d.scaled ? ` * ${rowScale(config, "row")}` : ""}`;
    return `var p = vec4f(1.0);
var w = ${keyVector("k", d, i, j)};
${pre ? `var whole = vec4f(1.0);${d.outputs ? ` let bonus = four_in_u(h, ${i} * ${slice}u + 4u * quad);` : ""}` : ""}
${repeat(config, "t", 16, step)}
${d.outputs ? putFour(config, "op_q", slice, query) : ""}
${putFour(config, "op_k", slice, d.scaled ? "w * scale_k" : "w")}
if (row == 15u) {
  ${pre ? "p *= whole;" : ""}
  ${repeat(config, "n", 4, (n) => `total[${i} * ${slice}u + 4u * quad + ${n}] = p[${n}];`)}
}`;
  });
}

/** Puts the score of (t, s); above the diagonal (and on it, where a bonus is not read) it is zero. */
function putScore(config: ForwardConfig, d: Derived, t: string, s: string, score: string): string {
  const { unit, pre } = config;
  const value = d.scaled
    ? `shifted(${score}, 15 - exponent_of(atomicLoad(&rows[parity * 16u + ${t}])) - es + ev)`
    : score;
  return unit.put("op_p", operandPlace(config, 16, t, s), `select(0.0, ${value}, ${s} ${pre ? "<" : "<="} ${t})`);
}

/** Adds up the parts of scores over the invocations that share a token, which are neighbours in a subgroup. */
function exchange(config: ForwardConfig, d: Derived): string {
  return eachQuad(config, d, "K", (j) => {
    const lines: string[] = [];
    let names = Array.from({ length: 16 }, (_, t) => `part[${j} * 16u + ${t}u]`);
    let level = 0;
    for (let mask = d.keyQuads / 2; mask >= 1; mask /= 2, level++) {
      const half = names.length / 2;
      const upper = `(quad & ${mask}u) != 0u`;
      names = Array.from({ length: half }, (_, n) => {
        const name = `sum_${level}_${n}`;
        const [low, high] = [names[n]!, names[n + half]!];
        lines.push(
          `let ${name} = select(${low}, ${high}, ${upper}) + ` +
            `subgroupShuffleXor(select(${high}, ${low}, ${upper}), ${mask}u);`,
        );
        return name;
      });
    }
    const each = names.length;
    if (config.pre) {
      lines.push(`var bonus = own[${j}];`);
      for (let mask = d.keyQuads / 2; mask >= 1; mask /= 2) {
        lines.push(`bonus += subgroupShuffleXor(bonus, ${mask}u);`);
      }
      lines.push("if (quad == 0u) { bonus_of[row] = bonus; }");
    }
    const put = (name: string, n: number): string =>
      `{ let t = quad * ${each}u + ${n}u; ${putScore(config, d, "t", "row", name)} }`;
    return [...lines, ...names.map(put)].join("\n");
  });
}

/** The same by way of workgroup memory. */
function gather(config: ForwardConfig, d: Derived): string {
  return `${
    eachQuad(config, d, "K", (j) =>
      (config.pre ? `bonus_of[row + 16u * quad] = own[${j}];\n` : "") +
      repeat(
        config,
        "t",
        16,
        (t) => `sums[${d.updateAt}u + quad * 256u + ${t} * 16u + row] = part[${j} * 16u + ${t}];`,
      ))
  }
workgroupBarrier();
for (var at = lid; at < 256u; at += ${config.threads}u) {
  let t = at / 16u;
  let s = at % 16u;
  var score = 0.0;
  for (var quad = 0u; quad < ${d.keyQuads}u; quad++) { score += sums[${d.updateAt}u + quad * 256u + at]; }
  ${putScore(config, d, "t", "s", "score")}
}
${
    config.pre
      ? `if (lid < 16u) {
  var bonus = 0.0;
  for (var quad = 0u; quad < ${d.keyQuads}u; quad++) { bonus += bonus_of[lid + 16u * quad]; }
  bonus_of[lid] = bonus;
}`
      : ""
  }`;
}

/** One chunk. */
export function diagonalChunk(config: ForwardConfig, d: Derived): string {
  const last = d.slices - 1;
  const ending = (d.outputs ? (config.subgroup > 0 ? exchange(config, d) : gather(config, d)) : "") + "\n" +
    fetch(config, d, `start + ${DIAGONAL_CHUNK}u`);
  const products = (i: string): string => {
    const of = (add: boolean, scores: boolean): string =>
      dealt(d, [
        ...(d.outputs ? [outputJobs(config, d, { add, state: true, ...(scores ? { scores: "op_p" } : {}) })] : []),
        updateJobs(config, d, "op_v"),
      ]);
    const n = literal(i);
    if (n !== undefined) return of(n > 0, n === last);
    if (!d.outputs) return of(false, false);
    return `if (${i} == ${last}u) {\n${of(true, true)}\n} else {\n${of(true, false)}\n}`;
  };
  // Not sooner: the outputs of the chunk before were stored in the same phase as the inputs are put.
  const putBonus = config.pre && d.outputs
    ? eachQuad(config, d, "V", (j) => `value[row * ${d.columnQuads}u + quad] = v[${j}];`)
    : "";
  const perSlice = (i: string): string => `
${putInputs(config, d, i)}
workgroupBarrier();
${only(i, 0, `${stateExponent(d)}\n${putBonus}`)}
${putState(config, d, i)}
${walk(config, d, i)}
${only(i, 0, resetMaxima(config, d))}
${only(i, last, ending)}
workgroupBarrier();
${products(i)}
${only(i, last, maxima(config, d, "(1u - parity)"))}
workgroupBarrier();
${updateState(config, d, i)}`;
  return `${inputExponents(d)}
${dropState(config, d)}
${
    d.outputs
      ? `var part = array<f32, ${16 * d.keyItems}>();` + (config.pre ? ` var own = array<f32, ${d.keyItems}>();` : "")
      : ""
  }
${repeat(config, "i", d.slices, perSlice)}
${stateMaximum(config, d, "(1u - parity)")}`;
}
