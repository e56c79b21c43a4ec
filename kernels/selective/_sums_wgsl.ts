/** The small kernels around the backward pass: parameters packed into one buffer, partial sums added up in a fixed order. */
import { assemble, entryPerItem, type Shader, storage } from "../wgsl.ts";
import { packedRows } from "./_backward_parts.ts";
import { paramsBinding, paramsText } from "./_staging.ts";
import type { Tiling } from "./tiling.ts";

/** `[N + 2, D]`: A, D, the bias, so that the backward kernel needs one binding for the three. */
export function packShader(N: number, { skip, bias }: { readonly skip: boolean; readonly bias: boolean }): Shader {
  return assemble("selective scan: parameters", {
    bindings: [
      storage("par_a", "f32"),
      storage("par_d", "f32"),
      storage("par_bias", "f32"),
      storage("packed", "f32", "read_write"),
      paramsBinding,
    ],
    source: paramsText + entryPerItem(
      `${packedRows(N)}u * p.channels`,
      /* wgsl */ `
  let row = id / p.channels;
  var x = 0.0;
  if (row < ${N}u) { x = par_a[id]; }
  ${skip ? `if (row == ${N}u) { x = par_d[id - ${N}u * p.channels]; }` : ""}
  ${bias ? `if (row == ${N + 1}u) { x = par_bias[id - ${N + 1}u * p.channels]; }` : ""}
  packed[id] = x;`,
    ),
  });
}

/** dB and dC: the sums of all channel blocks, one invocation per number. */
export function modeSumsShader({ layout, N }: Tiling): Shader {
  const at = layout === "channels-first" ? "id" : `(b * p.tokens + t) * ${N}u + n`;
  return assemble("selective scan backward: sums over channels", {
    bindings: [
      storage("sums", "f32"),
      storage("out_db", "f32", "read_write"),
      storage("out_dc", "f32", "read_write"),
      paramsBinding,
    ],
    source: paramsText + entryPerItem(
      `p.batch * ${N}u * p.tokens`,
      /* wgsl */ `
  let t = id % p.tokens;
  let n = id / p.tokens % ${N}u;
  let b = id / (p.tokens * ${N}u);
  var sum = vec2f();
  for (var k = 0u; k < p.blocks; k++) {
    let at = p.partials_at + ((b * p.blocks + k) * ${2 * N}u + n) * p.padded_tokens + t;
    sum += vec2f(sums[at], sums[at + ${N}u * p.padded_tokens]);
  }
  out_db[${at}] = sum.x;
  out_dc[${at}] = sum.y;`,
    ),
  });
}

/** dA, dD and the bias's gradient: the sums of all batch rows and segments, one invocation per number. */
export function totalsShader(N: number, { skip, bias }: { readonly skip: boolean; readonly bias: boolean }): Shader {
  return assemble("selective scan backward: sums over time", {
    bindings: [
      storage("sums", "f32"),
      storage("out_da", "f32", "read_write"),
      storage("out_dd", "f32", "read_write"),
      storage("out_dbias", "f32", "read_write"),
      paramsBinding,
    ],
    source: paramsText + entryPerItem(
      `${packedRows(N)}u * p.channels`,
      /* wgsl */ `
  let row = id / p.channels;
  var sum = 0.0;
  for (var k = 0u; k < p.batch * p.segments; k++) { sum += sums[p.totals_at + k * ${
        packedRows(N)
      }u * p.channels + id]; }
  if (row < ${N}u) { out_da[id] = sum; }
  ${skip ? `if (row == ${N}u) { out_dd[id - ${N}u * p.channels] = sum; }` : ""}
  ${bias ? `if (row == ${N + 1}u) { out_dbias[id - ${N + 1}u * p.channels] = sum; }` : ""}`,
    ),
  });
}

/** The cotangent of the initial state, `[B, N, D]`, out of the buffer of sums. */
export function startShader(N: number): Shader {
  return assemble("selective scan backward: initial state", {
    bindings: [storage("sums", "f32"), storage("out_start", "f32", "read_write"), paramsBinding],
    source: paramsText + entryPerItem(`p.batch * ${N}u * p.channels`, "  out_start[id] = sums[p.start_at + id];"),
  });
}
