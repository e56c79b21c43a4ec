/**
 * Gradients of one chunk without decay, or with one for all keys, from S at its start and Λ at its end.
 *
 *     P_ij = dO_i · v_j            A_ij = q_i · k_j            i ≥ j, D_ij = a_{j+1} … a_i, u_i = D_i0 a_1, w_j = D_Cj
 *     dv_j = Σ_i D_ij A_ij dO_i + Λᵀ w_j k_j
 *     dq_i = Σ_j D_ij P_ij k_j + u_i S dO_i
 *     dk_j = Σ_i D_ij P_ij q_i + w_j Λ v_j
 *     dg_t = Σ_{i ≥ t > j} D_ij P_ij A_ij + Σ_{i ≥ t} u_i q_iᵀ S dO_i + Σ_{j < t} w_j k_jᵀ Λ v_j + a_1 … a_C ⟨S, Λ⟩
 *
 * For one gate a head, `d_g` gets the chunk's share of the gradient of that gate: the same sums with the derivative of
 * a^n for each decay, which exists where a is 0 too.
 *
 * @module
 */
import { tokenNumbers } from "./_backward_access.ts";
import { BLOCK, type ChunkLayout } from "./_backward_layout.ts";
import { byToken, decayTables, type ScalarGates } from "./_backward_decays.ts";
import { pairAt, pairsOf } from "./_backward_levels.ts";
import { pairProduct, spreadProduct, stateProducts, stateRowsOf } from "./_backward_products.ts";
import { peak, sharedStages, type Stage, stageBuffers, stageModule } from "./_backward_stages.ts";
import { barrier, down, exponent, loopBound, putKey, putRows, raise, repeat, sumAt, up } from "./_backward_text.ts";

export interface ScalarOptions {
  readonly gates: ScalarGates;
  /** WGSL to append to stored numbers. */
  readonly factor: string;
}

/** The kernel of a stage; buffers are those of {@linkcode stageBuffers}. */
export function scalarShader(layout: ChunkLayout, stage: Stage, { gates, factor }: ScalarOptions): string {
  const { chunk, slice, threads, scaled } = layout;
  const decays = gates !== "none";
  const perHead = gates === "head" || gates === "factor";
  const stateRows = stateRowsOf(layout);
  const pairs = pairsOf(layout);
  const token = (i: string): string => `token0 + block * ${BLOCK}u + ${i}`;
  const tables = decayTables(layout, gates);

  const loadKeys = [
    repeat(layout, BLOCK, (i) => `q[${i}] = q_of(${token(i)}, ks + key_lane) * extent.scale;`),
    repeat(layout, BLOCK, (i) => `k[${i}] = k_of(${token(i)}, ks + key_lane);`),
    raise(layout, peak.q, "q", BLOCK),
    raise(layout, peak.k, "k", BLOCK),
    scaled ? barrier : "",
  ].join("\n");
  const keyExponents = [exponent(layout, "e_q", peak.q), exponent(layout, "e_k", peak.k)].join("\n");
  const putKeys = (operand: string, value: (i: string) => string, e: string): string =>
    repeat(layout, BLOCK, (i) => putKey(layout, operand, i, up(layout, value(i), e)));
  const stages = sharedStages(layout, {
    loadKeys,
    keyExponents,
    putKeysToEnd: putKeys("op_y", (i) => decays ? `k[${i}] * to_end(block * ${BLOCK}u + ${i})` : `k[${i}]`, "e_k"),
  });
  const { one, keys, values, tokens, loadStarts, loadEnds, takeKeys } = stages;

  const scores = [
    `${keys} {`,
    loadKeys,
    keyExponents,
    putKeys("op_x", (i) => `q[${i}]`, "e_q"),
    putKeys("op_y", (i) => `k[${i}]`, "e_k"),
    barrier,
    pairProduct(layout, "op_x", "op_y"),
    barrier,
    repeat(
      layout,
      pairs,
      (n) =>
        `${pairAt(layout, n)} if (i >= j) { s[${n}] += ${
          down(layout, `sums[${n} * ${threads}u + lid]`, "e_q", "e_k")
        }; }`,
    ),
    barrier,
    "}",
    // By head, what is not decayed is wanted once more.
    decays
      ? repeat(
        layout,
        pairs,
        (n) =>
          `${perHead ? `r[${n}] = s[${n}];` : ""}
${pairAt(layout, n)} if (i > j) { s[${n}] *= pair_decay(i, j); }`,
      )
      : "",
  ].join("\n");

  // W_ij, and P decayed.
  const decayed = decays
    ? repeat(
      layout,
      pairs,
      (n) =>
        `${pairAt(layout, n)}
if (i > j) {
  c[${n}] = ${perHead ? `slope(i - j) * p[${n}] * r[${n}]` : `p[${n}] * s[${n}]`};
  p[${n}] *= pair_decay(i, j);
}`,
    )
    : "";

  /** Sums of `x(i)` over the slice's keys, added to `terms` of a kind. */
  const overKeys = (x: (i: string) => string, kind: number): string => {
    const share = threads / chunk;
    const per = slice / share;
    return [
      repeat(layout, BLOCK, (i) => `${sumAt(layout, i)} = ${x(i)};`),
      barrier,
      `{ var total = 0.0;
let row = lid / ${share}u;
for (var n = 0u; n < ${loopBound(layout, per)}; n++) {
  total += sums[row * ${slice}u + (lid % ${share}u) * ${per}u + (n + row) % ${per}u];
}
edges[lid] = total; }`,
      barrier,
      `if (lid < ${chunk}u) { for (var n = 0u; n < ${loopBound(layout, share)}; n++) { terms[${
        kind * chunk
      }u + lid] += edges[lid * ${share}u + n]; } }`,
      barrier,
    ].join("\n");
  };

  const vectors = { vectors: true };
  const keyGradients = [
    decays ? `var cross = 0.0; if (lid < ${chunk}u) { terms[lid] = 0.0; terms[${chunk}u + lid] = 0.0; }` : "",
    `${keys} {`,
    one ? "" : loadKeys,
    keyExponents,
    repeat(layout, BLOCK, (i) => `o[${i}] = 0.0; ${one ? "" : `y[${i}] = 0.0;`}`),
    `${values} {`,
    one ? "" : `${tokens("x", "d_o")}\n${tokens("v_", "v")}`,
    loadStarts,
    one && !decays ? "" : loadEnds,
    decays ? repeat(layout, stateRows, (n) => `cross += dot(z[${n}], l[${n}]);`) : "",
    raise(layout, peak.s, "z", stateRows, vectors),
    one ? "" : raise(layout, peak.l, "l", stateRows, vectors),
    one ? "" : raise(layout, peak.o, "x", 4, vectors),
    one ? "" : raise(layout, peak.v, "v_", 4, vectors),
    scaled ? barrier : "",
    exponent(layout, "e_s", peak.s),
    exponent(layout, "e_l", peak.l),
    exponent(layout, "e_o", peak.o),
    exponent(layout, "e_v", peak.v),
    one ? "" : putRows(layout, "op_y", "x", 4, "e_o"),
    one ? "" : putRows(layout, "op_x", "v_", 4, "e_v"),
    stateProducts(layout, { name: "z", e: "e_s" }, { values: "op_y" }),
    repeat(layout, BLOCK, (i) => `o[${i}] += ${down(layout, sumAt(layout, i), "e_o", "e_s")};`),
    barrier,
    one ? "" : stateProducts(layout, { name: "l", e: "e_l" }, { values: "op_x" }),
    one ? "" : `${takeKeys}\n${barrier}`,
    "}",
    putKeys("op_x", (i) => `k[${i}]`, "e_k"),
    putKeys("op_y", (i) => `q[${i}]`, "e_q"),
    decays ? overKeys((i) => `q[${i}] * o[${i}]`, 0) : "",
    decays ? overKeys((i) => `k[${i}] * y[${i}]`, 1) : "",
    decays ? "" : barrier,
    spreadProduct(layout, "op_x", false),
    barrier,
    repeat(
      layout,
      BLOCK,
      (i) =>
        `o[${i}] = ${down(layout, sumAt(layout, i), "e_p", "e_k")} + o[${i}] * from_start(block * ${BLOCK}u + ${i});`,
    ),
    barrier,
    spreadProduct(layout, "op_y", true),
    barrier,
    repeat(
      layout,
      BLOCK,
      (i) => `y[${i}] = ${down(layout, sumAt(layout, i), "e_p", "e_q")} + y[${i}] * to_end(block * ${BLOCK}u + ${i});`,
    ),
    barrier,
    repeat(layout, BLOCK, (i) =>
      `let t = ${token(i)};
if (t < extent.x && ks + key_lane < ${layout.keys}) {
  let at = (base + t * extent.z) * ${layout.keys} + ks + key_lane;
  d_q[at] = o[${i}] * extent.scale${factor};
  d_k[at] = y[${i}]${factor};
}`),
    "}",
  ].join("\n");

  const width = chunk + 1;
  const tokenGates = /* wgsl */ `
  edges[lid] = cross;
  ${repeat(layout, pairs, (n) => `${pairAt(layout, n)} sums[i * ${width}u + j] = c[${n}];`)}
  ${barrier}
  if (lid < 16u) {
    var total = 0.0;
    for (var n = lid; n < ${loopBound(layout, threads)}; n += 16u) { total += edges[n]; }
    edges[${threads}u + lid] = total;
  }
  /* Row i: the sums over j < t. */
  if (lid < ${chunk}u) {
    var total = 0.0;
    for (var t = 0u; t < ${loopBound(layout, chunk)}; t++) {
      let c = sums[lid * ${width}u + t];
      sums[lid * ${width}u + t] = total;
      total += c;
    }
  }
  ${barrier}
  if (lid < ${chunk}u && token0 + lid < extent.x) {
    var total = 0.0;
    for (var n = 0u; n < ${loopBound(layout, 16)}; n++) { total += edges[${threads}u + n]; }
    total *= to_end(0u) * gate[0];
    for (var j = 0u; j < lid; j++) { total += to_end(j) * terms[${chunk}u + j]; }
    for (var i = lid; i < ${chunk}u; i++) { total += from_start(i) * terms[i] + sums[i * ${width}u + lid]; }
    d_g[base + (token0 + lid) * extent.z] = total${factor};
  }
`;
  const headGate = /* wgsl */ `
  var total = cross * slope(live);
  ${repeat(layout, pairs, (n) => `total += c[${n}];`)}
  if (lid < ${chunk}u) { total += slope(lid + 1u) * terms[lid] + slope(left(lid)) * terms[${chunk}u + lid]; }
  edges[lid] = total;
  for (var n = ${threads / 2}u; n > 0u; n /= 2u) {
    ${barrier}
    if (lid < n) { edges[lid] += edges[lid + n]; }
  }
  if (lid == 0u) { d_g[index] = edges[0]${factor}; }
`;

  const ofValues = [scores, stages.putPairs("s", peak.a, "e_a"), stages.valueGradients];
  const ofKeys = [
    // Gates need both matrices of pairs.
    stage === "keys" && decays ? scores : "",
    stages.pairProducts,
    decayed,
    stages.putPairs("p", peak.p, "e_p"),
    keyGradients,
    byToken(gates) ? tokenGates : perHead ? headGate : "",
  ];
  return stageModule(layout, stageBuffers(layout, stage, { gates: decays, bonus: false }), {
    outside: [
      decays
        ? `var<workgroup> edges: array<f32, ${threads + 16}>;\nvar<workgroup> terms: array<f32, ${2 * chunk}>;`
        : "",
      byToken(gates) ? tokenNumbers("g", "1u") : "",
      tables.outside,
    ].join("\n"),
    registers: [
      decays ? `var c: array<f32, ${pairs}>;` : "",
      perHead ? `var r: array<f32, ${pairs}>;` : "",
      tables.fill,
    ].join("\n"),
    body: [...(stage === "keys" ? [] : ofValues), ...(stage === "values" ? [] : ofKeys)].join("\n"),
    factor,
  });
}
