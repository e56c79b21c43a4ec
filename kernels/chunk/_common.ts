/**
 * What both kernels of the family, with scalar and with diagonal decay, are made of: an invocation's own registers, and
 * powers of two.
 *
 * *Scaling.* Operands that are halves are scaled so that their largest lies below 2^15: a row of q by its own exponent
 * eq, k and v by their largest of the chunk, ek and ev (2^e ≤ largest < 2^(e+1)). The state is below 2^es, where es is
 * at least ek + ev + 2 + ⌈log2 K⌉: then scores P = Σ q k < 2^(eq + ek + 2 + ⌈log2 K⌉) and states share the scale 2^(15 − es)
 * without leaving it, and Q·S and P·V add up in one sum whose row is o · 2^(29 − eq − es). Where decays may be up to 2, ev and
 * es are one more than that.
 */

import type { Derived, ForwardConfig } from "./_config.ts";
import { operandPlace } from "./_places.ts";

/**
 * The text of every number below `n`: written out, or a loop over `name`, of which no compiler knows that it could write it
 * out. `text` is given a WGSL u32 expression.
 */
export function repeat(
  { unrolled }: { readonly unrolled: boolean },
  name: string,
  n: number,
  text: (i: string) => string,
): string {
  if (unrolled || n === 1) return Array.from({ length: n }, (_, i) => `{\n${text(`${i}u`)}\n}`).join("\n");
  return `for (var ${name} = 0u; ${name} < ${n}u + params.zero; ${name}++) {\n${text(name)}\n}`;
}

/** The number that an index of a {@link repeat} is, if it is written out. */
export function literal(i: string): number | undefined {
  return /^\d/.test(i) ? parseInt(i) : undefined;
}

/** `text` for the first or last of a {@link repeat}, of which `i` is the index. */
export function only(i: string, which: number, text: string): string {
  if (text === "") return "";
  const n = literal(i);
  return n === which ? text : n !== undefined ? "" : `if (${i} == ${which}u) {\n${text}\n}`;
}

/** Functions on exponents. A factor beyond f32's range is applied in two halves. */
export const exponents: string = /* wgsl */ `
fn exponent_of(bits: u32) -> i32 { return max(i32(bits >> 23u) - 127, -100); }
fn power_of_two(n: i32) -> f32 { return bitcast<f32>(u32(clamp(n, -126, 127) + 127) << 23u); }
fn shifted(x: f32, n: i32) -> f32 {
  let half = n >> 1u;
  return (x * power_of_two(half)) * power_of_two(n - half);
}
fn largest_of(x: vec4f) -> f32 {
  let y = abs(x);
  return max(max(y.x, y.y), max(y.z, y.w));
}
`;

/** The vectors of four that an invocation holds: of keys, in every slice, or of columns. */
export type Axis = "K" | "V";

/** `text` for every vector of four an invocation holds; in it `row` (a token) and `quad` say which, and `j` counts. */
export function eachQuad(config: ForwardConfig, d: Derived, axis: Axis, text: (j: string) => string): string {
  const { chunk, threads } = config;
  const [items, quads] = axis === "K" ? [d.keyItems, d.keyQuads] : [d.columnItems, d.columnQuads];
  const even = chunk * quads % threads === 0;
  return repeat(config, "j", items, (j) =>
    `let row = (lid + ${j} * ${threads}u) / ${quads}u;
let quad = (lid + ${j} * ${threads}u) % ${quads}u;
${even ? text(j) : `if (row < ${chunk}u) {\n${text(j)}\n}`}`);
}

/** The register of a key vector. */
export function keyVector(name: "q" | "k" | "g", d: Derived, i: string, j: string): string {
  return `${name}[${i} * ${d.keyItems}u + ${j}]`;
}

/** Declares the registers of the next chunk's inputs. */
export function inputRegisters({ kind, per }: ForwardConfig, d: Derived): string {
  const keys = [...(d.outputs ? ["q"] : []), "k", ...(kind === "diagonal" ? ["g"] : [])];
  return [
    ...keys.map((name) => `var ${name}: array<vec4f, ${d.slices * d.keyItems}>;`),
    `var v: array<vec4f, ${d.columnItems}>;`,
    kind === "scalar" && per === "token" ? "var g = 0.0;" : "",
  ].join("\n");
}

/** Reads the inputs of the chunk that starts at token `from`; tokens beyond the end are zeros that decay nothing. */
export function fetch(config: ForwardConfig, d: Derived, from: string): string {
  const { kind, per, form, slice, chunk } = config;
  const open = form === "log" ? "0.0" : "1.0";
  const names = [...(d.outputs ? ["q"] as const : []), "k", ...(kind === "diagonal" ? ["g"] as const : [])] as const;
  const vector = (name: "q" | "k" | "g", j: string): string =>
    repeat(config, "i", d.slices, (i) => {
      const to = keyVector(name, d, i, j);
      return `${to} = vec4f(${name === "g" ? open : "0.0"});
if (inside) { ${to} = four_in_${name}(at, ${i} * ${slice}u + 4u * quad); }`;
    });
  return `{ let head = ${from};
${
    eachQuad(config, d, "K", (j) =>
      `let inside = head + row < end;
let at = (b * params.T + head + row) * params.H + h;
${names.map((name) => vector(name, j)).join("\n")}`)
  }
${
    eachQuad(config, d, "V", (j) =>
      `v[${j}] = vec4f();
if (head + row < end) { v[${j}] = four_in_v((b * params.T + head + row) * params.H + h, first_column + 4u * quad); }`)
  }
${
    kind === "scalar" && per === "token"
      ? `g = ${open};
if (lid < ${chunk}u && head + lid < end) { g = gate_at((b * params.T + head + lid) * params.H + h); }`
      : ""
  }
}`;
}

/** Notes the invocation's `most` in a slot of a parity. */
export function note({ subgroup }: ForwardConfig, parity: string, slot: number): string {
  const at = `&largest[${parity} * 4u + ${slot}u]`;
  return subgroup > 0
    ? `let all = subgroupMax(most); if (lane == 0u) { atomicMax(${at}, bitcast<u32>(all)); }`
    : `atomicMax(${at}, bitcast<u32>(most));`;
}

/** Notes the largest magnitudes of the fetched inputs, for a chunk of parity `parity`. */
export function maxima(config: ForwardConfig, d: Derived, parity: string): string {
  if (!d.scaled) return "";
  const { subgroup, chunk } = config;
  const rows = eachQuad(config, d, "K", (j) => {
    const over = `var most = 0.0;
${repeat(config, "i", d.slices, (i) => `most = max(most, largest_of(${keyVector("q", d, i, j)}));`)}
most *= params.scale;`;
    const at = `&rows[${parity} * ${chunk}u + row]`;
    if (subgroup === 0) return `${over}\natomicMax(${at}, bitcast<u32>(most));`;
    const folded: string[] = [];
    for (let mask = d.keyQuads / 2; mask >= 1; mask /= 2) {
      folded.push(`most = max(most, subgroupShuffleXor(most, ${mask}u));`);
    }
    return `${over}\n${folded.join("\n")}\nif (quad == 0u) { atomicStore(${at}, bitcast<u32>(most)); }`;
  });
  const over = (name: string, count: number, slot: number): string =>
    `{ var most = 0.0;
${repeat(config, "n", count, (n) => `most = max(most, largest_of(${name}[${n}]));`)}
${note(config, parity, slot)} }`;
  return [over("k", d.slices * d.keyItems, 0), over("v", d.columnItems, 1), d.outputs ? rows : ""].join("\n");
}

/** Forgets the largest magnitudes of the other parity, which nobody reads any more. */
export function resetMaxima({ chunk, threads }: ForwardConfig, d: Derived): string {
  if (!d.scaled) return "";
  return `if (lid < 3u) { atomicStore(&largest[(1u - parity) * 4u + lid], 0u); }` +
    (d.outputs
      ? `\nfor (var t = lid; t < ${chunk}u; t += ${threads}u) { atomicStore(&rows[(1u - parity) * ${chunk}u + t], 0u); }`
      : "");
}

/** The exponents `ek`, `ev` of the chunk's inputs. */
export function inputExponents(d: Derived): string {
  if (!d.scaled) return "";
  return `ek = exponent_of(atomicLoad(&largest[parity * 4u]));
ev = exponent_of(atomicLoad(&largest[parity * 4u + 1u]))${d.headroom === 0 ? "" : ` + ${d.headroom}`};
let scale_k = power_of_two(14 - ek);
let scale_v = power_of_two(14 - ev);`;
}

/** The exponent `es` of the state, once its largest was noted. */
export function stateExponent(d: Derived): string {
  if (!d.scaled || !d.outputs) return "";
  return `es = clamp(max(exponent_of(atomicLoad(&largest[parity * 4u + 2u])) + 1, ek + ev + ${
    2 + d.logK + d.headroom
  }), -100, 140);`;
}

/** WGSL: the factor that brings the row of q of token `row` below 2^15. */
export function rowScale({ chunk }: ForwardConfig, row: string): string {
  return `power_of_two(14 - exponent_of(atomicLoad(&rows[parity * ${chunk}u + ${row}])))`;
}

/** Statements that put four numbers of `row` into an operand of `width` columns. */
export function putFour(config: ForwardConfig, name: string, width: number, four: string): string {
  return `{ let four = ${four}; let place = ${operandPlace(config, width, "row", "4u * quad")};
${repeat(config, "n", 4, (n) => config.unit.put(name, `place + ${n}`, `four[${n}]`))} }`;
}
