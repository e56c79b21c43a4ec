/**
 * Decays between the tokens of a chunk where all keys share them, as tables in workgroup memory: products of gates, by
 * levels as in _backward_levels.ts where gates differ from token to token, powers where they do not.
 *
 * @module
 */
import type { ChunkLayout } from "./_backward_layout.ts";
import { barrier, loopBound } from "./_backward_text.ts";

/** How gates are given: not at all, log gates by token or by head, factors by token or by head. */
export type ScalarGates = "none" | "token" | "token factor" | "head" | "factor";

/** Whether gates differ from token to token. */
export function byToken(gates: ScalarGates): boolean {
  return gates === "token" || gates === "token factor";
}

/**
 * The tables with functions that read them (`pair_decay(i, j)` for i ≥ j, `from_start(i)`, `to_end(j)`; by head `slope(n)`,
 * the derivative of n gates), and statements that fill them.
 */
export function decayTables(layout: ChunkLayout, gates: ScalarGates): {
  readonly outside: string;
  readonly fill: string;
} {
  const { chunk } = layout;
  if (gates === "none") {
    return {
      outside: /* wgsl */ `
fn pair_decay(i: u32, j: u32) -> f32 { return 1.0; }
fn from_start(i: u32) -> f32 { return 1.0; }
fn to_end(j: u32) -> f32 { return 1.0; }
`,
      fill: "",
    };
  }
  if (byToken(gates)) {
    const own = "g_of(token0 + lid, 0u)";
    // A token behind the last keeps everything.
    const gate = gates === "token" ? `ds_exp(${own})` : `select(1.0, ${own}, token0 + lid < extent.x)`;
    const levels = Math.log2(chunk) + 1;
    // up[l][i]: gates of i's aligned run of 2^l tokens up to i; below[l][j]: those after j. A pair is one product of two.
    return {
      outside: /* wgsl */ `
var<workgroup> gate: array<f32, ${chunk}>;
var<workgroup> up_to: array<f32, ${levels * chunk}>;
var<workgroup> after: array<f32, ${levels * chunk}>;
fn pair_decay(i: u32, j: u32) -> f32 {
  if (i == j) { return 1.0; }
  let level = firstLeadingBit(i ^ j) * ${chunk}u;
  return up_to[level + i] * after[level + j];
}
fn from_start(i: u32) -> f32 { return up_to[${(levels - 1) * chunk}u + i]; }
fn to_end(j: u32) -> f32 { return after[${(levels - 1) * chunk}u + j]; }
`,
      fill: /* wgsl */ `
  if (lid < ${chunk}u) { gate[lid] = ${gate}; }
  ${barrier}
  if (lid < ${chunk}u) {
    var before = gate[lid];
    var behind = 1.0;
    up_to[lid] = before;
    after[lid] = behind;
    for (var level = 1u; level < ${loopBound(layout, levels)}; level++) {
      let half = 1u << (level - 1u);
      let upper = (lid & half) != 0u;
      let first = (lid & ~(2u * half - 1u)) + select(half, 0u, upper);
      var f = 1.0;
      for (var n = 0u; n < half; n++) { f *= gate[first + n]; }
      if (upper) { before *= f; } else { behind *= f; }
      up_to[level * ${chunk}u + lid] = before;
      after[level * ${chunk}u + lid] = behind;
    }
  }
  ${barrier}
`,
    };
  }
  // Tokens behind the last keep everything: decays to the chunk's end count those that are there.
  return {
    outside: /* wgsl */ `
var<workgroup> powers: array<f32, ${chunk + 4}>;
var<private> live: u32;
fn pair_decay(i: u32, j: u32) -> f32 { return powers[i - j]; }
fn from_start(i: u32) -> f32 { return powers[i + 1u]; }
fn left(j: u32) -> u32 { return max(live, j + 1u) - j - 1u; }
fn to_end(j: u32) -> f32 { return powers[left(j)]; }
/* The derivative of a^n, or of e^(n g), by what is given. */
fn slope(n: u32) -> f32 {
  if (n == 0u) { return 0.0; }
  return f32(n) * powers[n${gates === "factor" ? " - 1u" : ""}];
}
`,
    fill: /* wgsl */ `
  live = min(${chunk}u, extent.x - token0);
  if (lid < ${chunk + 1}u) {
    let a = ${gates === "factor" ? "g[head]" : "ds_exp(g[head])"};
    var f = 1.0;
    for (var n = 0u; n < lid; n++) { f *= a; }
    powers[lid] = f;
  }
  ${barrier}
`,
  };
}
