/**
 * Gradients of one chunk with a decay for each key, from S at its start and Λ at its end.
 *
 *     P_ij = dO_i · v_j            A_ij = Σ_k q_i D_ij k_j                          i ≥ j, D_ij = a_{j+1} … a_i
 *     dv_j = Σ_i A_ij dO_i + Λᵀ (a_{j+1} … a_C k_j)
 *     dq_i = Σ_j P_ij D_ij k_j + (a_1 … a_i) S dO_i
 *     dk_j = Σ_i P_ij D_ij q_i + (a_{j+1} … a_C) Λ v_j
 *     dg_t = Σ_{i ≥ t > j} P_ij q_i D_ij k_j + Σ_{i ≥ t} q_i (a_1 … a_i) S dO_i + Σ_{j < t} k_j (a_{j+1} … a_C) Λ v_j
 *            + (a_1 … a_C) rowsum(S ⊙ Λ)
 *
 * Every number of dg is such a sum itself, never a difference: nothing cancels that does not cancel in the definition.
 * Pairs within 16 tokens are formed in registers with running products, the others by levels (_backward_levels.ts).
 *
 * @module
 */
import { tokenNumbers } from "./_backward_access.ts";
import { BLOCK, type ChunkLayout } from "./_backward_layout.ts";
import {
  addScores,
  levelProduct,
  levelWhole,
  pairsOf,
  putKeysToEnd,
  putLevel,
  wholesFunction,
} from "./_backward_levels.ts";
import { stateProducts, stateRowsOf } from "./_backward_products.ts";
import { peak, sharedStages, type Stage, stageBuffers, stageModule } from "./_backward_stages.ts";
import { barrier, down, exponent, loopBound, putRows, raise, repeat, rowsAtOnce, sumAt } from "./_backward_text.ts";

export interface GradientOptions {
  /** Whether token t is read before its own update, and then with a bonus. */
  readonly pre: boolean;
  /** WGSL to append to stored numbers. */
  readonly factor: string;
}

/** The kernel of a stage; buffers are those of {@linkcode stageBuffers}. */
export function diagonalShader(layout: ChunkLayout, stage: Stage, { pre, factor }: GradientOptions): string {
  const { chunk, slice, blocks, threads } = layout;
  const rows = rowsAtOnce(layout);
  const stateRows = stateRowsOf(layout);
  const pairs = pairsOf(layout);
  const token = (i: string): string => `token0 + block * ${BLOCK}u + ${i}`;

  // The slice's queries, keys and gates in registers, and the products of whole blocks.
  const loadKeys = [
    repeat(layout, BLOCK, (i) => `q[${i}] = q_of(${token(i)}, ks + key_lane) * extent.scale;`),
    repeat(layout, BLOCK, (i) => `k[${i}] = k_of(${token(i)}, ks + key_lane);`),
    repeat(layout, BLOCK, (i) => `a[${i}] = ds_exp(g_of(${token(i)}, ks + key_lane));`),
    pre ? `u = 0.0; if (ks + key_lane < ${layout.keys}) { u = bonus[head * ${layout.keys} + ks + key_lane]; }` : "",
    raise(layout, peak.q, "q", BLOCK, { by: pre ? " * max(1.0, abs(u))" : "" }),
    raise(layout, peak.k, "k", BLOCK),
    barrier,
    `{ var f = 1.0; ${repeat(layout, BLOCK, (i) => `f *= a[${i}];`)} whole[lid] = f; }`,
    barrier,
  ].join("\n");
  const keyExponents = [exponent(layout, "e_q", peak.q), exponent(layout, "e_k", peak.k)].join("\n");
  const stages = sharedStages(layout, { loadKeys, keyExponents, putKeysToEnd: putKeysToEnd(layout, "op_y") });
  const { one, keys, values, tokens, loadStarts, loadEnds, takeKeys } = stages;

  const scores = [
    `${keys} {`,
    loadKeys,
    keyExponents,
    addScores(layout, ["op_x", "op_y", "op_z"], { pre }),
    "}",
    stages.putPairs("s", peak.a, "e_a"),
  ].join("\n");

  // Pairs within the invocation's 16 tokens: d[j] is the decay from j to i, c the sum of W_ij over earlier j.
  const earlier = (i: string, n: number, body: (j: string) => string): string =>
    layout.unrolled ? repeat(layout, n, body) : `for (var j = 0u; j < ${i}; j++) { ${body("j")} }`;
  const ownToken = (i: string, n: number): string => `
let row = (block * ${BLOCK}u + ${i}) * ${chunk}u + block * ${BLOCK}u;
${pre ? "" : earlier(i, n, (j) => `d[${j}] *= a[${i}];`)}
var c = 0.0;
var r = 0.0;
${
    earlier(i, n, (j) => `
let m = sums[row + ${j}] * d[${j}];
let w = m * k[${j}];
r += w;
dk[${j}] += m * q[${i}];
c += w * q[${i}];
${pre ? `if (${j} + 1u < ${i}) { dg[${j} + 1u] += c; }` : `dg[${j} + 1u] += c;`}`)
  }
let own = sums[row + ${i}]${pre ? " * u" : ""};
dq[${i}] = r + own * k[${i}];
dk[${i}] += own * q[${i}];
${pre ? earlier(i, n, (j) => `d[${j}] *= a[${i}];`) : ""}
d[${i}] = 1.0;`;
  const withinBlock = layout.unrolled
    ? Array.from({ length: BLOCK }, (_, i) => `{ ${ownToken(`${i}u`, i)} }`).join("\n")
    : `for (var i = 0u; i < ${loopBound(layout, BLOCK)}; i++) { ${ownToken("i", BLOCK)} }`;

  /** Takes `x` (before its factor) of queries into dq, and into dg of the tokens up to each; `total` is all of it. */
  const takeQueries = (x: (i: string) => string, first: string): string => `
var f = ${first};
var total = 0.0;
${
    repeat(
      layout,
      BLOCK,
      (i) =>
        `${pre ? "" : `f *= a[${i}];`} let share = f * ${x(i)}; dq[${i}] += share; d[${i}] = q[${i}] * share; ${
          pre ? `f *= a[${i}];` : ""
        }`,
    )
  }
${
    repeat(
      layout,
      BLOCK,
      (n) =>
        `let i = ${BLOCK - 1}u - ${n}; ${pre ? "dg[i] += total; total += d[i];" : "total += d[i]; dg[i] += total;"}`,
    )
  }`;
  /** The same of keys: dg of the tokens after each. */
  const takeKeyTerms = (y: (i: string) => string, first: string): string => `
var f = ${first};
var total = 0.0;
${
    repeat(
      layout,
      BLOCK,
      (n) => `let i = ${BLOCK - 1}u - ${n}; let share = f * ${y("i")}; dk[i] += share; d[i] = k[i] * share; f *= a[i];`,
    )
  }
${repeat(layout, BLOCK, (i) => `dg[${i}] += total; total += d[${i}];`)}`;

  const levels: string[] = [];
  for (let level = chunk / 2; level >= BLOCK; level /= 2) {
    const span = level / BLOCK;
    levels.push(
      putLevel(layout, level, "op_x", pre),
      barrier,
      levelProduct(layout, level, "op_x"),
      barrier,
      `{ let first = ${levelWhole(span)};
if ((block & ${span}u) != 0u) {
${takeQueries((i) => down(layout, sumAt(layout, i), "e_p", "e_k"), "first")}
${span > 1 ? "edges[lid] = total;" : ""}
} else {
${takeKeyTerms((i) => down(layout, sumAt(layout, i), "e_p", "e_q"), "first")}
${span > 1 ? "edges[lid] = total;" : ""}
} }`,
      barrier,
      span > 1
        ? `{ let half = block & ~${span - 1}u;
if ((block & ${span}u) != 0u) { beyond += edge(0u, block + 1u, half + ${span}u, key_lane); } else {
  beyond += edge(0u, half, block, key_lane); } }
${barrier}`
        : "",
    );
  }

  const vectors = { vectors: true };
  const quads = slice / 4;
  const keyGradients = [
    `${keys} {`,
    one ? "" : loadKeys,
    keyExponents,
    repeat(layout, BLOCK, (i) => `o[${i}] = 0.0; ${one ? "" : `y[${i}] = 0.0;`}`),
    "var beyond = 0.0; var cross = 0.0;",
    `${values} {`,
    one ? "" : `${tokens("x", "d_o")}\n${tokens("v_", "v")}`,
    loadStarts,
    loadEnds,
    repeat(
      layout,
      stateRows,
      (n) => `sums[(row0 + ${n} * ${rows}u) * ${quads}u + col0 / 4u] = dot(z[${n}], l[${n}]);`,
    ),
    raise(layout, peak.s, "z", stateRows, vectors),
    one ? "" : raise(layout, peak.l, "l", stateRows, vectors),
    one ? "" : raise(layout, peak.o, "x", 4, vectors),
    one ? "" : raise(layout, peak.v, "v_", 4, vectors),
    barrier,
    exponent(layout, "e_s", peak.s),
    exponent(layout, "e_l", peak.l),
    exponent(layout, "e_o", peak.o),
    exponent(layout, "e_v", peak.v),
    // Each block sums a part of a row; rows start at different columns, for the banks' sake.
    `for (var n = 0u; n < ${loopBound(layout, quads / blocks)}; n++) {
  cross += sums[key_lane * ${quads}u + block * ${quads / blocks}u + (n + key_lane / 2u) % ${quads / blocks}u];
}`,
    one ? "" : putRows(layout, "op_y", "x", 4, "e_o"),
    one ? "" : putRows(layout, "op_x", "v_", 4, "e_v"),
    stateProducts(layout, { name: "z", e: "e_s" }, { values: "op_y" }),
    repeat(layout, BLOCK, (i) => `o[${i}] += ${down(layout, sumAt(layout, i), "e_o", "e_s")};`),
    barrier,
    one ? "" : stateProducts(layout, { name: "l", e: "e_l" }, { values: "op_x" }),
    one ? "" : `${takeKeys}\n${barrier}`,
    "}",
    // P as f32, for the pairs within blocks.
    repeat(layout, pairs, (n) => `sums[${n} * ${threads}u + lid] = p[${n}];`),
    barrier,
    repeat(layout, BLOCK, (i) => `dk[${i}] = 0.0; dg[${i}] = 0.0;`),
    withinBlock,
    barrier,
    "edges[lid] = cross;",
    `{ ${takeQueries((i) => `o[${i}]`, "wholes(0u, block, key_lane)")}
edges[${threads}u + lid] = total; }`,
    `{ ${takeKeyTerms((i) => `y[${i}]`, `wholes(block + 1u, ${blocks}u, key_lane)`)}
edges[${2 * threads}u + lid] = total; }`,
    barrier,
    `beyond = edge(0u, 0u, ${blocks}u, key_lane) * wholes(0u, ${blocks}u, key_lane) ` +
    `+ edge(1u, block + 1u, ${blocks}u, key_lane) + edge(2u, 0u, block, key_lane);`,
    barrier,
    ...levels,
    repeat(layout, BLOCK, (i) =>
      `let t = ${token(i)};
if (t < extent.x && ks + key_lane < ${layout.keys}) {
  let at = (base + t * extent.z) * ${layout.keys} + ks + key_lane;
  d_q[at] = dq[${i}] * extent.scale${factor};
  d_k[at] = dk[${i}]${factor};
  d_g[at] = (dg[${i}] + beyond)${factor};
}`),
    "}",
  ].join("\n");

  const ofValues = [scores, stages.valueGradients];
  const ofKeys = [stages.pairProducts, stages.putPairs("p", peak.p, "e_p"), keyGradients];
  return stageModule(layout, stageBuffers(layout, stage, { gates: true, bonus: pre }), {
    outside: [
      `var<workgroup> edges: array<f32, ${3 * threads}>;`,
      wholesFunction(layout),
      /* wgsl */ `
fn edge(kind: u32, first: u32, end: u32, lane: u32) -> f32 {
  var total = 0.0;
  for (var n = first; n < end; n++) { total += edges[kind * ${threads}u + n * ${slice}u + lane]; }
  return total;
}
`,
      tokenNumbers("g", layout.keys),
    ].join("\n"),
    registers: `var a: array<f32, ${BLOCK}>; var d: array<f32, ${BLOCK}>; var dq: array<f32, ${BLOCK}>;
  var dk: array<f32, ${BLOCK}>; var dg: array<f32, ${BLOCK}>; ${pre ? "var u = 0.0;" : ""}`,
    body: [...(stage === "keys" ? [] : ofValues), ...(stage === "values" ? [] : ofKeys)].join("\n"),
    factor,
  });
}
