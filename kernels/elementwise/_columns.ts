/**
 * Columns, channels contiguous, as WGSL: a workgroup takes a few neighbouring channels and runs through time tile by
 * tile. Of a tile every invocation takes `length` consecutive tokens of its channels in registers, a segment; the
 * elements of the segments meet in workgroup memory, where every invocation folds them in order of time from the carry.
 *
 * - `apply` runs through from the state that comes in, and stores;
 * - `reduce` only composes a chunk's tokens to one element.
 *
 * @module
 */
import { relativeFactor } from "../faults.ts";
import { assemble, type Shader } from "../wgsl.ts";
import { isWritten, type Job, type StreamName, streamsOf } from "./_job.ts";
import { recurrenceOf } from "./_recurrence.ts";
import type { RowKernel } from "./_rows.ts";
import { type Unit, unitOf, type Width } from "./_unit.ts";

/** How a workgroup shares its channels and time. */
export interface ColumnShape {
  /** Neighbouring invocations, along the channels. */
  readonly lanes: number;
  /** Channels of an invocation. */
  readonly width: Width;
  /** Segments of a tile. */
  readonly segments: number;
  /** Tokens of a segment. */
  readonly length: number;
  /** Whether every tile is full and every lane has channels. */
  readonly whole: boolean;
}

/** The uniform of the column kernels. */
export const columnParams: string = /* wgsl */ `
struct Params {
  // Batch rows of this dispatch, and the first of them among all; tokens; units of channels; tokens of a chunk, chunks;
  // workgroups along the channels.
  B: u32, first_b: u32, T: u32, units: u32, chunk_tokens: u32, chunks: u32, across: u32, unused: u32,
}
`;

const numbers = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

export function columnShader(job: Job, shape: ColumnShape, { phase, chunked, prefetch }: RowKernel): Shader {
  const { lanes, width, segments, length, whole } = shape;
  const names = streamsOf(job);
  const units: { readonly [name: string]: Unit } = Object.fromEntries(
    names.map((name) => [name, unitOf(job.tensors[name]!.dtype, width)]),
  );
  const recurrence = recurrenceOf(job);
  const { gated } = recurrence;
  const reduce = phase === "reduce";
  const dropped = job.fault === "dropped-carry";
  const states = unitOf("f32", width).type;
  const threads = lanes * segments;
  const extent = segments * length;
  const loaded = names.filter((name) => !isWritten(name));
  const carries = gated ? ["A", "B"] : ["B"];
  /** A register as a vector of f32. */
  const vector = (name: StreamName, raw: string): string => {
    const unit = units[name]!;
    if (unit.dtype === "f32") return raw;
    return `${states}(${numbers(width).map((e) => unit.element(raw, e)).join(", ")})`;
  };
  const time = (i: number, tile: string): string => `${tile} + segment * ${length}u + ${i}u`;
  const token = (pos: string): string => job.reverse ? `(p.T - 1u - (${pos}))` : `(${pos})`;
  const at = (t: string): string => `(b * p.T + ${t}) * p.units + unit`;

  const load = (tile: string): string =>
    numbers(length).map((i) => {
      const loads = loaded.map((name) =>
        name === "previous"
          ? `if (t > 0u) { next_previous_${i} = previous[${at("(t - 1u)")}]; }`
          : `next_${name}_${i} = ${name}[${at("t")}];`
      ).join(" ");
      if (whole) return `{ let t = ${token(time(i, tile))}; ${loads} }`;
      const nothing = loaded.map((name) =>
        `next_${name}_${i} = ${name === "gates" ? units[name]!.ones : units[name]!.zeros};`
      ).join(" ");
      return `{ let pos = ${time(i, tile)}; ${nothing} if (pos < end) { let t = ${token("pos")}; ${loads} } }`;
    }).join("\n");
  const each = (text: (i: number) => string): string => numbers(length).map(text).join("\n");
  const take = each((i) => loaded.map((name) => `let ${name}_${i} = ${vector(name, `next_${name}_${i}`)};`).join(" "));
  const extend = each((i) => recurrence.extended("A", "B", `gates_${i}`, `inputs_${i}`));
  const total = reduce
    ? `carryB = ${recurrence.applied("totalsA[at]", "totalsB[at]", "carryB")}; ${
      gated ? "carryA = totalsA[at] * carryA;" : ""
    }`
    : `carryB = ${recurrence.applied("totalsA[at]", "totalsB[at]", "carryB")};`;
  const components = (value: string): string[] =>
    width === 1 ? [value] : numbers(width).map((e) => `${value}.${"xyzw"[e]}`);
  const stored = (name: StreamName, value: string): string =>
    job.tensors[name] === undefined
      ? ""
      : `{ let stored = ${recurrence.stored(value)}; ${name}[at] = ${units[name]!.pack(components("stored"))}; }`;
  const runThrough = each((i) => {
    const before = `select(previous_${i}, start_state, t == 0u)`;
    const stores = `let t = ${token("pos")}; let at = ${at("t")}; ${stored("outputs", `y_${i}`)} ${
      job.tensors.gate_outputs === undefined ? "" : stored("gate_outputs", `(y_${i} * ${before})`)
    }`;
    return `${recurrence.step("state", `gates_${i}`, `inputs_${i}`, `y_${i}`)}
{ let pos = ${time(i, "tile")}; ${whole ? stores : `if (pos < end) { ${stores} }`} }`;
  });
  const place = "((p.first_b + b) * p.chunks + chunk) * p.units + unit";
  const initial = job.initial === undefined ? `${states}(0.0)` : "initial[state_at]";
  const finish = reduce
    ? carries.map((x) => `elements${x}[${place}] = carry${x};`).join(" ")
    : job.final === undefined
    ? ""
    : `if (chunk + 1u == p.chunks) { final_state[state_at] = carryB${relativeFactor(job.fault)}; }`;

  const source = /* wgsl */ `
${columnParams}
${carries.map((x) => `var<workgroup> totals${x}: array<${states}, ${2 * threads}>;`).join("\n")}
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let id = flat_workgroup(workgroup, grid);
  if (id >= p.B * p.chunks * p.across) { return; }
  let lane = local % ${lanes}u;
  let segment = local / ${lanes}u;
  let b = id / p.across / p.chunks;
  let chunk = id / p.across % p.chunks;
  let wanted = id % p.across * ${lanes}u + lane;
  let unit = ${whole ? "wanted" : "min(wanted, p.units - 1u)"};
  let first = chunk * p.chunk_tokens;
  let limit = min(first + p.chunk_tokens, p.T);
  let end = ${whole ? "limit" : "select(0u, limit, wanted < p.units)"};
  let state_at = (p.first_b + b) * p.units + unit;
  ${
    job.tensors.previous === undefined
      ? ""
      : `let start_state = ${job.start === undefined ? `${states}(0.0)` : "start[state_at]"};`
  }
  ${reduce && gated ? `var carryA = ${states}(1.0);` : ""}
  var carryB = ${reduce ? `${states}(0.0)` : initial};
  ${
    !chunked || reduce
      ? ""
      : `if (chunk > 0u) { carryB = ${
        dropped ? `${states}(0.0)` : "incoming[((p.first_b + b) * p.chunks + chunk - 1u) * p.units + unit]"
      }; }`
  }
  var half = 0u;
  ${loaded.map((name) => each((i) => `var next_${name}_${i}: ${units[name]!.type};`)).join("\n")}
  ${prefetch ? load("first") : ""}
  for (var tile = first; tile < limit; tile += ${extent}u) {
    ${prefetch ? "" : load("tile")}
    ${take}
    ${prefetch ? `if (tile + ${extent}u < limit) { let ahead = tile + ${extent}u; ${load("ahead")} }` : ""}
    ${dropped && !reduce ? `if (tile != first) { carryB = ${states}(0.0); }` : ""}
    ${gated ? `var A = ${states}(1.0);` : ""}
    var B = ${states}(0.0);
    ${extend}
    ${carries.map((x) => `totals${x}[half + local] = ${x};`).join(" ")}
    workgroupBarrier();
    var state = carryB;
    for (var s = 0u; s < ${segments}u; s++) {
      let at = half + s * ${lanes}u + lane;
      if (s == segment) { state = carryB; }
      ${total}
    }
    ${reduce ? "" : runThrough}
    // Two halves by turns, so that one barrier a tile is enough.
    half = ${threads}u - half;
  }
  if (segment == 0u && wanted < p.units) { ${finish} }
}
`;
  const binding = (name: string, access: "read" | "read_write", type: string) => ({
    name,
    access,
    type: `array<${type}>`,
  });
  return assemble(`${job.what} columns: ${phase}`, {
    bindings: [
      { name: "p", access: "uniform", type: "Params" },
      ...names.map((name) => binding(name, isWritten(name) ? "read_write" : "read", units[name]!.type)),
      ...["initial", "start", "incoming"].map((name) => binding(name, "read", states)),
      ...["final_state", "elementsA", "elementsB"].map((name) => binding(name, "read_write", states)),
    ],
    source,
  });
}
