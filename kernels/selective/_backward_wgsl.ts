/**
 * The kernel of the backward pass. With λ_t the cotangent of the state after token t, r_t = a_t λ_t that of the state
 * before it, and ȳ = dy·silu(z):
 *
 *     λ_t = C_t ȳ_t + r_{t+1}        w_t = r_t h_{t−1}, the cotangent of the exponent Δ A
 *     dC_n = Σ_d ȳ h    dB_n = Σ_d λ Δ u    dA_n = Σ_t Δ w    s = Σ_n λ B
 *     du = Δ s + D ȳ    dΔ = u s + Σ_n A w   dz = dy silu'(z) (Σ_n C h + D u)   dD = Σ_t ȳ u
 *
 * Tiles go from the last to the first. In a tile, states go forward from the kept one, and the state before every four
 * tokens is put aside in workgroup memory; then each four tokens, the last first, are computed again with all states in
 * registers, and λ goes backward. Sums over the workgroup's channels (dB, dC) are stored as partial sums of the tile; sums
 * over time (dA, dD, dδ's for the bias) stay in registers until the end.
 */
import { type Binding, type Shader, storage } from "../wgsl.ts";
import { rateFactor } from "./_activations.ts";
import { itemsText, partialsText, totalsText } from "./_backward_ends.ts";
import { backwardMemory, type BackwardParts } from "./_backward_parts.ts";
import { aheadText, backText } from "./_backward_quads.ts";
import { segmentShader } from "./_entry.ts";
import { eachMode, exchangeText, readModes } from "./_lanes.ts";
import { channelItems, loadText, modeItems, modeTile, sequenceBinding, storeText } from "./_staging.ts";
import type { Tiling } from "./tiling.ts";

export function backwardShader(tiling: Tiling, parts: BackwardParts): Shader {
  const { softplus, gate, fault } = parts;
  const { channels, tile, prefetch, N } = tiling;
  const per = channelItems(tiling);
  const modes = modeItems(tiling);
  const staged = modeTile(tiling, 2);
  const loads = ["in_u", "in_delta", "in_dy", ...(gate ? ["in_z"] : [])];
  const modeLoads = ["in_b", "in_c"];
  const names = (count: number, text: (e: number) => string): string =>
    Array.from({ length: count }, (_, e) => text(e)).join("\n  ");
  const load = (t: string): string =>
    [
      per.each((e) =>
        loads.map((name) => `${name}_${e} = load_${name}(b, base + row_c_${e}, ${t} + 4u * q_c_${e});`).join(" ")
      ),
      modes.each((e) =>
        modeLoads.map((name) => `${name}_${e} = load_${name}(b, row_m_${e}, ${t} + 4u * q_m_${e});`).join(" ")
      ),
    ].join("\n    ");

  const stage = [
    per.each((e) =>
      [
        `let t_${e} = vec4u(t0 + 4u * q_c_${e}) + vec4u(0u, 1u, 2u, 3u);`,
        `let raw_${e} = in_delta_${e} + bias_${e};`,
        ...(softplus ? [`let small_${e} = ss_exp_negative(-abs(raw_${e}));`] : []),
        `let dt_${e} = select(vec4f(), ${
          softplus ? `ss_softplus_of(raw_${e}, small_${e})` : `raw_${e}`
        }, t_${e} < vec4u(p.tokens));`,
        `slope_${e} = ${softplus ? `ss_sigmoid_of(raw_${e}, small_${e})` : "vec4f(1.0)"};`,
        ...(gate
          ? [
            `let sig_${e} = ss_sigmoid(in_z_${e});`,
            `let back_${e} = in_dy_${e} * (in_z_${e} * sig_${e});`,
            `turn_${e} = in_dy_${e} * (sig_${e} * (1.0 + in_z_${e} * (1.0 - sig_${e})));`,
          ]
          : [`let back_${e} = in_dy_${e};`]),
        `u_${e} = in_u_${e};`,
        `s_delta[${per.at(e)}] = dt_${e}; s_input[${per.at(e)}] = dt_${e} * in_u_${e}; s_back[${
          per.at(e)
        }] = back_${e};`,
      ].join(" ")
    ),
    modes.each((e) => `${staged.write(e, 0)} = in_b_${e}; ${staged.write(e, 1)} = in_c_${e};`),
  ].join("\n    ");

  const body = /* wgsl */ `
  let base = block * ${channels}u;
  ${per.declare}
  ${modes.declare}
  ${names(per.count, (e) => loads.map((name) => `var ${name}_${e} = vec4f();`).join(" "))}
  ${names(modes.count, (e) => modeLoads.map((name) => `var ${name}_${e} = vec4f();`).join(" "))}
  ${
    names(per.count, (e) =>
      `var skip_${e} = 0.0; var bias_${e} = 0.0; var u_${e} = vec4f(); var slope_${e} = vec4f();${
        gate ? ` var turn_${e} = vec4f();` : ""
      } var ends_${e} = vec2f();
  if (base + row_c_${e} < p.channels) {
    skip_${e} = packed[${N}u * p.channels + base + row_c_${e}];
    bias_${e} = packed[${N + 1}u * p.channels + base + row_c_${e}];
  }`)
  }
  ${eachMode(tiling, (m) => `var plain_${m} = 0.0; var h_${m} = 0.0; var carry_${m} = 0.0; var rate_sum_${m} = 0.0;`)}
  ${readModes(tiling, "plain_", { array: "packed", row: "0u" })}
  ${eachMode(tiling, (m) => `let rate_${m} = plain_${m}${rateFactor(tiling)};`)}
  ${readModes(tiling, "carry_", { array: "sums", row: "(b * p.segments + s)" })}
  let tiles = (last - first + ${tile - 1}u) / ${tile}u;
  ${prefetch ? load(`(first + (tiles - 1u) * ${tile}u)`) : ""}
  for (var i = 0u; i < tiles; i++) {
    let t0 = first + (tiles - 1u - i) * ${tile}u;
    ${
    fault === "dropped-carry"
      ? `if (last < p.tokens || i > 0u) { ${eachMode(tiling, (m) => `carry_${m} = 0.0;`)} }`
      : ""
  }
    ${prefetch ? "" : load("t0")}
    ${readModes(tiling, "h_", { array: "states", row: `(b * p.chunks + t0 / ${tile}u)` })}
    ${stage}
    workgroupBarrier();
    ${prefetch ? `if (i + 1u < tiles) {\n    ${load(`(t0 - ${tile}u)`)}\n    }` : ""}
    let quads = (min(last - t0, ${tile}u) + 3u) / 4u;
    ${aheadText(tiling, staged)}
    ${backText(tiling, staged, parts)}
    workgroupBarrier();
    ${itemsText(tiling, per, parts)}
    ${partialsText(tiling)}
  }
  ${totalsText(tiling, per)}`;

  const bindings: Binding[] = [
    ...["in_u", "in_delta", "in_z", "in_dy", "in_b", "in_c"].map((name) => sequenceBinding(tiling, name)),
    storage("packed", "f32"),
    storage("states", "f32"),
    ...["out_du", "out_ddelta", "out_dz"].map((name) => sequenceBinding(tiling, name, "read_write")),
    storage("sums", "f32", "read_write"),
  ];
  return segmentShader("selective scan backward", tiling, {
    bindings,
    functions: [
      ...loads.map((name) => loadText(tiling, name, "channel")),
      ...modeLoads.map((name) => loadText(tiling, name, "mode")),
      ...["out_du", "out_ddelta", ...(gate ? ["out_dz"] : [])].map((name) => storeText(tiling, name)),
      exchangeText(tiling),
      staged.declare,
      backwardMemory(tiling),
    ].join("\n"),
    body,
  });
}
