/**
 * Time in parallel: what a segment does to a state that comes in is one pair (P, L) per mode and channel,
 *
 *     forward    h_out = P h_in + L      from  h ← a h + Δ B u
 *     backward   r_out = P r_in + L      from  r ← a (r + C dy silu(z)), tokens in reverse, r the cotangent of the state before
 *
 * with P the product of the segment's gates. Folding takes a workgroup per segment; carrying takes an invocation per mode
 * and channel, and leaves every segment's incoming state where its P was.
 */
import type { Fault } from "../faults.ts";
import { assemble, type Binding, entryPerItem, type Shader, storage } from "../wgsl.ts";
import { rateFactor } from "./_activations.ts";
import { segmentShader } from "./_entry.ts";
import { eachMode, readModes, writeModes } from "./_lanes.ts";
import {
  channelItems,
  loadText,
  modeFloats,
  modeItems,
  modeTile,
  paramsBinding,
  paramsText,
  sequenceBinding,
} from "./_staging.ts";
import { rowOf, type Tiling } from "./tiling.ts";

/** The direction of time. */
export type Direction = "forward" | "backward";

/** Which of the optional tensors a fold reads. */
export interface FoldParts {
  readonly direction: Direction;
  readonly softplus: boolean;
  readonly bias: boolean;
  readonly gate: boolean;
}

/** Floats of workgroup memory. */
export function foldFloats(tiling: Tiling): number {
  return 4 * rowOf(tiling) * 2 * tiling.channels + modeFloats(tiling, 1);
}

/** Where the pairs are: `[2, B, segments, N, D]` from the start of a buffer. */
const carries = storage("carries", "f32", "read_write");

export function foldShader(tiling: Tiling, { direction, softplus, bias, gate }: FoldParts): Shader {
  const { channels, tile, N, prefetch } = tiling;
  const row = rowOf(tiling);
  const ahead = direction === "forward";
  const per = channelItems(tiling);
  const modes = modeItems(tiling);
  const staged = modeTile(tiling, 1);
  const loads = ahead ? ["in_delta", "in_u"] : ["in_delta", "in_dy", ...(gate ? ["in_z"] : [])];
  const mode = ahead ? "in_b" : "in_c";
  const names = (count: number, text: (e: number) => string): string =>
    Array.from({ length: count }, (_, e) => text(e)).join(" ");
  const load = (t: string): string =>
    [
      per.each((e) =>
        loads.map((name) => `${name}_${e} = load_${name}(b, base + row_c_${e}, ${t} + 4u * q_c_${e});`).join(" ")
      ),
      modes.each((e) => `${mode}_${e} = load_${mode}(b, row_m_${e}, ${t} + 4u * q_m_${e});`),
    ].join("\n    ");
  const stage = [
    per.each((e) => {
      const raw = bias ? `in_delta_${e} + bias_${e}` : `in_delta_${e}`;
      const input = ahead
        ? `dt_${e} * in_u_${e}`
        : gate
        ? `in_dy_${e} * in_z_${e} * ss_sigmoid(in_z_${e})`
        : `in_dy_${e}`;
      return [
        `let t_${e} = vec4u(t0 + 4u * q_c_${e}) + vec4u(0u, 1u, 2u, 3u);`,
        `let dt_${e} = select(vec4f(), ${softplus ? `ss_softplus(${raw})` : raw}, t_${e} < vec4u(p.tokens));`,
        `s_delta[${per.at(e)}] = dt_${e}; s_input[${per.at(e)}] = ${input};`,
      ].join(" ");
    }),
    modes.each((e) => `${staged.write(e, 0)} = ${mode}_${e};`),
  ].join("\n    ");
  const step = (m: number): string =>
    ahead
      ? ["x", "y", "z", "w"].map((i) => `h_${m} = fma(a.${i}, h_${m}, x.${i});`).join(" ")
      : ["w", "z", "y", "x"].map((i) => `h_${m} = a.${i} * (h_${m} + x.${i});`).join(" ");
  const body = /* wgsl */ `
  let base = block * ${channels}u;
  ${per.declare}
  ${modes.declare}
  ${names(per.count, (e) => loads.map((name) => `var ${name}_${e} = vec4f();`).join(" "))}
  ${names(modes.count, (e) => `var ${mode}_${e} = vec4f();`)}
  ${
    bias
      ? names(per.count, (e) =>
        `var bias_${e} = 0.0; if (base + row_c_${e} < p.channels) { bias_${e} = par_bias[base + row_c_${e}]; }`)
      : ""
  }
  ${eachMode(tiling, (m) => `var rate_${m} = 0.0; var h_${m} = 0.0; var product_${m} = 1.0;`)}
  ${readModes(tiling, "rate_", { array: "par_a", row: "0u" })}
  ${eachMode(tiling, (m) => `rate_${m} = rate_${m}${rateFactor(tiling)};`)}
  let tiles = (last - first + ${tile - 1}u) / ${tile}u;
  ${prefetch ? load(`(first + ${ahead ? "0u" : `(tiles - 1u) * ${tile}u`})`) : ""}
  for (var i = 0u; i < tiles; i++) {
    let t0 = first + ${ahead ? "i" : "(tiles - 1u - i)"} * ${tile}u;
    ${prefetch ? "" : load("t0")}
    ${stage}
    workgroupBarrier();
    ${prefetch ? `if (i + 1u < tiles) {\n    ${load(`(t0 ${ahead ? "+" : "-"} ${tile}u)`)}\n    }` : ""}
    let quads = (min(last - t0, ${tile}u) + 3u) / 4u;
    for (var j = 0u; j < quads; j++) {
    let q = ${ahead ? "j" : "quads - 1u - j"};
    ${staged.at}
    let dt = s_delta[c * ${row}u + q];
    let du = s_input[c * ${row}u + q];
    ${
    eachMode(tiling, (m) =>
      /* wgsl */ `{
      let a = ss_gate(dt, rate_${m});
      let x = du * ${staged.read(m, 0)};
      ${step(m)}
      product_${m} *= (a.x * a.y) * (a.z * a.w);
    }`)
  }
    }
    workgroupBarrier();
  }
  ${writeModes(tiling, { array: "carries", row: "(b * p.segments + s)" }, (m) => `product_${m}`)}
  ${
    writeModes(tiling, {
      array: "carries",
      row: "(b * p.segments + s)",
      offset: `p.batch * p.segments * ${N}u * p.channels + `,
    }, (m) => `h_${m}`)
  }`;
  return segmentShader(`selective scan ${direction}: segments`, tiling, {
    bindings: [
      ...["in_u", "in_dy", "in_delta", "in_z", "in_b", "in_c"].map((name) => sequenceBinding(tiling, name)),
      storage("par_a", "f32"),
      storage("par_bias", "f32"),
      carries,
    ],
    functions: [
      ...loads.map((name) => loadText(tiling, name, "channel")),
      loadText(tiling, mode, "mode"),
      `var<workgroup> s_delta: array<vec4f, ${channels * row}>;`,
      `var<workgroup> s_input: array<vec4f, ${channels * row}>;`,
      staged.declare,
    ].join("\n"),
    body,
    skipped: ahead ? "last" : "first",
  });
}

/**
 * Scans the pairs of all segments from `given` (`[B, N, D]`, or zero), and leaves the incoming states `[B, segments, N, D]`
 * where the products were.
 */
export function carryShader(
  N: number,
  { direction, given, fault }: {
    readonly direction: Direction;
    readonly given: boolean;
    readonly fault?: Fault | undefined;
  },
): Shader {
  const swapped = fault === "swapped-operands";
  const entering = given ? "given[id]" : "0.0";
  const bindings: Binding[] = [storage("given", "f32"), carries, paramsBinding];
  return assemble(`selective scan ${direction}: carry`, {
    bindings,
    source: paramsText + entryPerItem(
      `p.batch * ${N}u * p.channels`,
      /* wgsl */ `
  let size = ${N}u * p.channels;
  let b = id / size;
  let lane = id % size;
  var decay = 1.0;
  var state = ${swapped ? "0.0" : entering};
  for (var i = 0u; i < p.segments; i++) {
    let s = ${direction === "forward" ? "i" : "p.segments - 1u - i"};
    let at = (b * p.segments + s) * size + lane;
    let product = carries[at];
    let local = carries[at + p.batch * p.segments * size];
    carries[at] = ${swapped ? `decay * ${entering} + state` : "state"};
    ${swapped ? "state = decay * local + state; decay = decay * product;" : "state = product * state + local;"}
  }`,
    ),
  });
}
