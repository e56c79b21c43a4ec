/** The backward kernel's two loops over a tile, four tokens at a time: states ahead, cotangents back. */
import { type BackwardParts, outputRow, outputs, sumsOfLane } from "./_backward_parts.ts";
import { eachMode, sumOverChannels, sumOverLanes } from "./_lanes.ts";
import type { ModeTile } from "./_staging.ts";
import { rowOf, type Tiling } from "./tiling.ts";

/** Where mode m's state before the four tokens q is put aside. */
const aside = ({ threads }: Tiling, m: number): string => `s_aside[${m}][q * ${threads}u + local]`;

/** States from the tile's start, put aside before every four tokens; those after the last four are not needed. */
export function aheadText(tiling: Tiling, staged: ModeTile): string {
  const row = rowOf(tiling);
  return /* wgsl */ `
    for (var q = 0u; q < quads; q++) {
    ${eachMode(tiling, (m) => `${aside(tiling, m)} = h_${m};`)}
    if (q + 1u < quads) {
    ${staged.at}
    let dt = s_delta[c * ${row}u + q];
    let du = s_input[c * ${row}u + q];
    ${
    eachMode(tiling, (m) =>
      `{
      let a = ss_gate(dt, rate_${m});
      let x = du * ${staged.read(m, 0)};
      ${["x", "y", "z", "w"].map((i) => `h_${m} = fma(a.${i}, h_${m}, x.${i});`).join(" ")}
    }`)
  }
    }
    }`;
}

/** One mode of the lane: `h` after, `l` = λ, `r` before each of the four tokens. */
function modeText(tiling: Tiling, staged: ModeTile, gate: boolean, m: number): string {
  return /* wgsl */ `
      let in_${m} = ${staged.read(m, 0)};
      let out_${m} = ${staged.read(m, 1)};
      let a_${m} = ss_gate(dt, rate_${m});
      let x_${m} = du * in_${m};
      let before_${m} = ${aside(tiling, m)};
      var s_${m}: vec4f;
      s_${m}.x = fma(a_${m}.x, before_${m}, x_${m}.x);
      s_${m}.y = fma(a_${m}.y, s_${m}.x, x_${m}.y);
      s_${m}.z = fma(a_${m}.z, s_${m}.y, x_${m}.z);
      s_${m}.w = fma(a_${m}.w, s_${m}.z, x_${m}.w);
      var l_${m}: vec4f;
      var r_${m}: vec4f;
      l_${m}.w = fma(out_${m}.w, dy.w, carry_${m}); r_${m}.w = a_${m}.w * l_${m}.w;
      l_${m}.z = fma(out_${m}.z, dy.z, r_${m}.w); r_${m}.z = a_${m}.z * l_${m}.z;
      l_${m}.y = fma(out_${m}.y, dy.y, r_${m}.z); r_${m}.y = a_${m}.y * l_${m}.y;
      l_${m}.x = fma(out_${m}.x, dy.x, r_${m}.y); r_${m}.x = a_${m}.x * l_${m}.x;
      carry_${m} = r_${m}.x;
      let w_${m} = r_${m} * vec4f(before_${m}, s_${m}.xyz);
      let v_${m} = dt * w_${m};
      rate_sum_${m} += (v_${m}.x + v_${m}.y) + (v_${m}.z + v_${m}.w);
      rates += plain_${m} * w_${m};
      through += l_${m} * in_${m};${gate ? `\n      read += out_${m} * s_${m};` : ""}
      let db_${m} = l_${m} * du;
      let dc_${m} = dy * s_${m};`;
}

/** λ from the tile's end, and all that is summed. */
export function backText(tiling: Tiling, staged: ModeTile, { gate }: BackwardParts): string {
  const row = rowOf(tiling);
  const names = ["through", "rates", ...(gate ? ["read" as const] : [])] as const;
  const sums = Array.from({ length: tiling.modes }, (_, m) => [`db_${m}`, `dc_${m}`]).flat();
  const lane = `(local / ${tiling.subgroup}u * ${tiling.lanes}u + g) * ${sumsOfLane(tiling)}u`;
  return /* wgsl */ `
    for (var j = 0u; j < quads; j++) {
    let q = quads - 1u - j;
    ${staged.at}
    let dt = s_delta[c * ${row}u + q];
    let du = s_input[c * ${row}u + q];
    let dy = s_back[c * ${row}u + q];
    var through = vec4f();
    var rates = vec4f();
    ${gate ? "var read = vec4f();" : ""}
    ${eachMode(tiling, (m) => modeText(tiling, staged, gate, m))}
    ${
    names.map((name) =>
      sumOverLanes(
        tiling,
        name,
        name,
        (r, value) => `s_output[${outputs[name]}][c * ${outputRow(tiling)}u + 4u * q + ${r}] = ${value};`,
      )
    ).join("\n    ")
  }
    ${sumOverChannels(tiling, sums, (which, value) => `s_sums[(${lane} + ${which}) * ${row}u + q] = ${value};`)}
    }`;
}
