/** The kernel of the forward pass: every segment from its incoming state. */
import { type Fault, relativeFactor } from "../faults.ts";
import { type Shader, storage } from "../wgsl.ts";
import { rateFactor } from "./_activations.ts";
import { segmentShader } from "./_entry.ts";
import { eachMode, readModes, sumOverLanes, writeModes } from "./_lanes.ts";
import { channelItems, loadText, modeFloats, modeItems, modeTile, sequenceBinding, storeText } from "./_staging.ts";
import { rowOf, type Tiling } from "./tiling.ts";

/** Which of the optional tensors a kernel has. */
export interface ForwardParts {
  readonly softplus: boolean;
  readonly bias: boolean;
  readonly skip: boolean;
  readonly gate: boolean;
  /** False: only states are wanted. */
  readonly outputs: boolean;
  readonly incoming: boolean;
  readonly final: boolean;
  /** Tokens between states that are kept, a multiple of 4; undefined where none are. */
  readonly chunk: number | undefined;
  readonly fault?: Fault | undefined;
}

/** Numbers in a row of outputs in workgroup memory: odd, so that neither lanes nor items meet in a bank. */
function outputRow({ tile }: Tiling): number {
  return tile + 5;
}

/** Floats of workgroup memory. */
export function forwardFloats(tiling: Tiling): number {
  const { channels, lanes, reduce } = tiling;
  const staged = 4 * rowOf(tiling) * 2 * channels + modeFloats(tiling, 2);
  const outputs = reduce === "shuffle" ? channels * outputRow(tiling) : 4 * channels * lanes * rowOf(tiling);
  return staged + outputs;
}

export function forwardShader(tiling: Tiling, parts: ForwardParts): Shader {
  const { channels, lanes, tile, prefetch, reduce, order } = tiling;
  const { softplus, bias, skip, gate, outputs, incoming, final, chunk, fault } = parts;
  const row = rowOf(tiling);
  const per = channelItems(tiling);
  const modes = modeItems(tiling);
  const staged = modeTile(tiling, outputs ? 2 : 1);
  const factor = relativeFactor(fault);
  const loads = ["in_u", "in_delta", ...(gate && outputs ? ["in_z"] : [])];
  const modeLoads = ["in_b", ...(outputs ? ["in_c"] : [])];
  const names = (count: number, text: (e: number) => string): string =>
    Array.from({ length: count }, (_, e) => text(e)).join(" ");

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
    per.each((e) => {
      const raw = bias ? `in_delta_${e} + bias_${e}` : `in_delta_${e}`;
      return [
        `let t_${e} = vec4u(t0 + 4u * q_c_${e}) + vec4u(0u, 1u, 2u, 3u);`,
        `let dt_${e} = select(vec4f(), ${softplus ? `ss_softplus(${raw})` : raw}, t_${e} < vec4u(p.tokens));`,
        `s_delta[${per.at(e)}] = dt_${e}; s_input[${per.at(e)}] = dt_${e} * in_u_${e};`,
        ...(outputs && skip ? [`skip_${e} = skip_of_${e} * in_u_${e};`] : []),
        ...(outputs && gate ? [`gate_${e} = in_z_${e} * ss_sigmoid(in_z_${e});`] : []),
      ].join(" ");
    }),
    modes.each((e) => modeLoads.map((name, k) => `${staged.write(e, k)} = ${name}_${e};`).join(" ")),
  ].join("\n    ");

  const partial = order === "near" ? `(c * ${lanes}u + g) * ${row}u + q` : `(g * ${channels}u + c) * ${row}u + q`;
  const partialOf = (c: string, q: string, g: number): string =>
    order === "near"
      ? `s_partial[(${c} * ${lanes}u + ${g}u) * ${row}u + ${q}]`
      : `s_partial[(${g * channels}u + ${c}) * ${row}u + ${q}]`;
  const write = reduce === "shuffle"
    ? sumOverLanes(tiling, "y", "y", (r, value) => `s_output[c * ${outputRow(tiling)}u + 4u * q + ${r}] = ${value};`)
    : `s_partial[${partial}] = y;`;
  const quad = /* wgsl */ `
    ${staged.at}
    let dt = s_delta[c * ${row}u + q];
    let du = s_input[c * ${row}u + q];
    ${outputs ? "var y = vec4f();" : ""}
    ${
    eachMode(tiling, (m) =>
      /* wgsl */ `{
      let a = ss_gate(dt, rate_${m});
      let x = du * ${staged.read(m, 0)};
      ${outputs ? `let r = ${staged.read(m, 1)};` : ""}
      ${
        ["x", "y", "z", "w"].map((i) =>
          `h_${m} = fma(a.${i}, h_${m}, x.${i});${outputs ? ` y.${i} = fma(r.${i}, h_${m}, y.${i});` : ""}`
        ).join("\n      ")
      }
    }`)
  }
    ${outputs ? write : ""}`;

  const keep = writeModes(
    tiling,
    { array: "states", row: `(b * p.chunks + (t0 + 4u * q) / ${chunk}u)` },
    (m) => `h_${m}${factor}`,
  );
  const finish = per.each((e) => {
    const at = `row_c_${e} * ${outputRow(tiling)}u + 4u * q_c_${e}`;
    const sum = reduce === "shuffle"
      ? `vec4f(${[0, 1, 2, 3].map((r) => `s_output[${at} + ${r}u]`).join(", ")})`
      : Array.from({ length: lanes }, (_, g) => partialOf(`row_c_${e}`, `q_c_${e}`, g)).join(" + ");
    const plain = skip ? `(${sum} + skip_${e})` : `(${sum})`;
    return `store_out_y(b, base + row_c_${e}, t0 + 4u * q_c_${e}, ${plain}${gate ? ` * gate_${e}` : ""}${factor});`;
  });

  const body = /* wgsl */ `
  let base = block * ${channels}u;
  ${per.declare}
  ${modes.declare}
  ${names(per.count, (e) => loads.map((name) => `var ${name}_${e} = vec4f();`).join(" "))}
  ${names(modes.count, (e) => modeLoads.map((name) => `var ${name}_${e} = vec4f();`).join(" "))}
  ${
    bias
      ? names(per.count, (e) =>
        `var bias_${e} = 0.0; if (base + row_c_${e} < p.channels) { bias_${e} = par_bias[base + row_c_${e}]; }`)
      : ""
  }
  ${
    outputs && skip
      ? names(per.count, (e) =>
        `var skip_${e} = vec4f(); var skip_of_${e} = 0.0; if (base + row_c_${e} < p.channels) { skip_of_${e} = par_d[base + row_c_${e}]; }`)
      : ""
  }
  ${outputs && gate ? names(per.count, (e) => `var gate_${e} = vec4f();`) : ""}
  ${eachMode(tiling, (m) => `var rate_${m} = 0.0; var h_${m} = 0.0;`)}
  ${readModes(tiling, "rate_", { array: "par_a", row: "0u" })}
  ${eachMode(tiling, (m) => `rate_${m} = rate_${m}${rateFactor(tiling)};`)}
  ${incoming ? readModes(tiling, "h_", { array: "state_in", row: "(b * p.segments + s)" }) : ""}
  ${prefetch ? load("first") : ""}
  for (var t0 = first; t0 < last; t0 += ${tile}u) {
    ${fault === "dropped-carry" ? `if (t0 > 0u) { ${eachMode(tiling, (m) => `h_${m} = 0.0;`)} }` : ""}
    ${prefetch ? "" : load("t0")}
    ${stage}
    workgroupBarrier();
    ${prefetch ? `if (t0 + ${tile}u < last) {\n    ${load(`(t0 + ${tile}u)`)}\n    }` : ""}
    let quads = (min(last - t0, ${tile}u) + 3u) / 4u;
    for (var q = 0u; q < quads; q++) {
    ${chunk === undefined ? "" : `if ((t0 + 4u * q) % ${chunk}u == 0u) {\n    ${keep}\n    }`}
    ${quad}
    }
    workgroupBarrier();
    ${outputs ? finish : ""}
  }
  ${
    final
      ? `if (last == p.tokens) {\n    ${
        writeModes(tiling, { array: "state_out", row: "b" }, (m) => `h_${m}${factor}`)
      }\n  }`
      : ""
  }`;

  return segmentShader("selective scan forward", tiling, {
    bindings: [
      ...["in_u", "in_delta", "in_z", "in_b", "in_c"].map((name) => sequenceBinding(tiling, name)),
      storage("par_a", "f32"),
      storage("par_d", "f32"),
      storage("par_bias", "f32"),
      storage("state_in", "f32"),
      sequenceBinding(tiling, "out_y", "read_write"),
      storage("state_out", "f32", "read_write"),
      storage("states", "f32", "read_write"),
    ],
    functions: [
      ...loads.map((name) => loadText(tiling, name, "channel")),
      ...modeLoads.map((name) => loadText(tiling, name, "mode")),
      ...(outputs ? [storeText(tiling, "out_y")] : []),
      `var<workgroup> s_delta: array<vec4f, ${channels * row}>;`,
      `var<workgroup> s_input: array<vec4f, ${channels * row}>;`,
      staged.declare,
      ...(outputs
        ? [
          reduce === "shuffle"
            ? `var<workgroup> s_output: array<f32, ${channels * outputRow(tiling)}>;`
            : `var<workgroup> s_partial: array<vec4f, ${channels * lanes * row}>;`,
        ]
        : []),
    ].join("\n"),
    body,
  });
}
