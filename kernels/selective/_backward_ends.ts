/** What the backward kernel does at the end of a tile, and at its own. */
import { type BackwardParts, outputRow, outputs, packedRows, sumsOfLane, sumVectors } from "./_backward_parts.ts";
import { subgroups, writeModes } from "./_lanes.ts";
import type { Items } from "./_staging.ts";
import { rowOf, type Tiling } from "./tiling.ts";

/** du, dδ, dz of the invocation's items, from the sums over modes and what was kept in registers. */
export function itemsText(tiling: Tiling, per: Items, { gate }: BackwardParts): string {
  const sum = (k: number, e: number): string => {
    const at = `row_c_${e} * ${outputRow(tiling)}u + 4u * q_c_${e}`;
    return `vec4f(${[0, 1, 2, 3].map((r) => `s_output[${k}][${at} + ${r}u]`).join(", ")})`;
  };
  // Beyond the last token nothing was computed: what is there must not reach the sums.
  return per.each((e) =>
    /* wgsl */ `if (q_c_${e} < quads) {
      let t = t0 + 4u * q_c_${e};
      let back = s_back[${per.at(e)}];
      let through = ${sum(outputs.through, e)};
      let slope = (${sum(outputs.rates, e)} + u_${e} * through) * slope_${e};
      store_out_du(b, base + row_c_${e}, t, s_delta[${per.at(e)}] * through + skip_${e} * back);
      store_out_ddelta(b, base + row_c_${e}, t, slope);
      ${
      gate ? `store_out_dz(b, base + row_c_${e}, t, turn_${e} * (${sum(outputs.read, e)} + skip_${e} * u_${e}));` : ""
    }
      let skips = back * u_${e};
      let slopes = select(vec4f(), slope, vec4u(t) + vec4u(0u, 1u, 2u, 3u) < vec4u(p.tokens));
      ends_${e} += vec2f((skips.x + skips.y) + (skips.z + skips.w), (slopes.x + slopes.y) + (slopes.z + slopes.w));
    }`
  );
}

/** dB and dC of the workgroup's channels: one number at a time, neighbours along time, `[2, N, tile]`. */
export function partialsText(tiling: Tiling): string {
  const { N, tile, threads, lanes } = tiling;
  const row = rowOf(tiling);
  const total = 2 * N * tile;
  const sum = Array.from({ length: subgroups(tiling) }, (_, w) => `s_sums[at + ${w * sumVectors(tiling)}u][t % 4u]`);
  const text = /* wgsl */ `
      let t = i % ${tile}u;
      let n = i / ${tile}u % ${N}u;
      let kind = i / ${tile * N}u;
      if (t / 4u < quads) {
        let at = (n % ${lanes}u * ${sumsOfLane(tiling)}u + n / ${lanes}u * 2u + kind) * ${row}u + t / 4u;
        sums[p.partials_at + (((b * p.blocks + block) * 2u + kind) * ${N}u + n) * p.padded_tokens + t0 + t] =
          ${sum.join(" + ")};
      }`;
  return `for (var i = local; i < ${total}u; i += ${threads}u) {${text}\n    }`;
}

/** What was summed over time: dA, dD, dδ's of the bias; and the cotangent of the state before the first token. */
export function totalsText(tiling: Tiling, per: Items): string {
  const { N, tile, threads, channels } = tiling;
  const rows = packedRows(N);
  return /* wgsl */ `
  ${
    writeModes(
      tiling,
      { array: "sums", row: "(b * p.segments + s)", offset: "p.totals_at + ", stride: `${rows}u` },
      (m) => `rate_sum_${m}`,
    )
  }
  if (s == 0u) {
    ${writeModes(tiling, { array: "sums", row: "b", offset: "p.start_at + " }, (m) => `carry_${m}`)}
  }
  workgroupBarrier();
  ${per.each((e) => `s_input[${per.at(e)}] = vec4f(ends_${e}, 0.0, 0.0);`)}
  workgroupBarrier();
  for (var i = local; i < ${channels}u; i += ${threads}u) {
    if (base + i < p.channels) {
      var ends = vec2f();
      for (var q = 0u; q < ${tile / 4}u; q++) { ends += s_input[i * ${rowOf(tiling)}u + q].xy; }
      let at = p.totals_at + ((b * p.segments + s) * ${rows}u + ${N}u) * p.channels + base + i;
      sums[at] = ends.x;
      sums[at + p.channels] = ends.y;
    }
  }`;
}
