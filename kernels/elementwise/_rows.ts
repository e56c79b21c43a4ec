/**
 * Rows, time contiguous, as WGSL: a few subgroups take a row, or a chunk of it, tile by tile, the state in a register.
 *
 * - `apply` runs through from the state that comes in, and stores;
 * - `reduce` only composes the chunk's tokens to one element.
 *
 * @module
 */
import type { Shader } from "../wgsl.ts";
import { assemble, type Binding, storage } from "../wgsl.ts";
import { isWritten, type Job, streamsOf } from "./_job.ts";
import { relativeFactor } from "../faults.ts";
import { type RowTile, rowTile, type TileShape } from "./_row_tile.ts";

/** The uniform of the row kernels. */
export const rowParams: string = /* wgsl */ `
struct Params {
  // Rows of this dispatch, and the first of them among all; units of a row; units of a chunk, chunks of a row.
  rows: u32, first_row: u32, units: u32, chunk_units: u32, chunks: u32, unused0: u32, unused1: u32, unused2: u32,
}
`;

/** Which of a row's kernels, and whether a row is cut in chunks. */
export interface RowKernel {
  readonly phase: "apply" | "reduce";
  readonly chunked: boolean;
  /** Whether the next tile is loaded before this one is scanned. */
  readonly prefetch: boolean;
}

/** The bindings of a job's data, in their units. */
export function streamBindings(job: Job, { units }: Pick<RowTile, "units">): Binding[] {
  return streamsOf(job).map((name) => ({
    name,
    access: isWritten(name) ? "read_write" as const : "read" as const,
    type: `array<${units[name]!.type}>`,
  }));
}

/** The parameters of an entry point, and what has to be enabled for them. */
export function entry(shape: TileShape): { readonly enable: string; readonly head: string } {
  const { subgroup, threads, rows } = shape;
  const own = subgroup === undefined ? "" : /* wgsl */ `
  @builtin(subgroup_invocation_id) lane: u32,
  @builtin(subgroup_size) reported: u32,`;
  return {
    enable: subgroup === undefined ? "" : "enable subgroups;\ndiagnostic(off, subgroup_uniformity);",
    head: /* wgsl */ `
@compute @workgroup_size(${threads * rows})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,${own}
) {`,
  };
}

/** `initial[row]`, or 0. */
export function initialOf(job: Job, row: string): string {
  return job.initial === undefined ? "0.0" : `initial[${row}]`;
}

/** The kernel of one job. A reduction is given the job without its outputs. */
export function rowShader(job: Job, shape: TileShape, { phase, chunked, prefetch }: RowKernel): Shader {
  const tile = rowTile(job, shape);
  const { rows, whole } = shape;
  const { recurrence } = tile;
  const { gated } = recurrence;
  const reduce = phase === "reduce";
  const dropped = job.fault === "dropped-carry";
  const { enable, head } = entry(shape);
  const extent = `${tile.extent}u`;
  const carries = gated && reduce ? ["A", "B"] : ["B"];
  const total = (A: string, B: string): string =>
    reduce
      ? `carryB = ${recurrence.applied(A, B, "carryB")}; ${gated ? `carryA = ${A} * carryA;` : ""}`
      : `carryB = ${recurrence.applied(A, B, "carryB")};`;
  const incoming = !chunked || reduce
    ? ""
    : `if (chunk > 0u) { carryB = ${dropped ? "0.0" : "incoming[state_row * p.chunks + chunk - 1u]"}; }`;
  const factor = relativeFactor(job.fault);
  const finish = reduce
    ? carries.map((x) => `elements${x}[state_row * p.chunks + chunk] = carry${x};`).join(" ")
    : job.final === undefined
    ? ""
    : `if (chunk + 1u == p.chunks) { final_state[state_row] = carryB${factor}; }`;
  const source = /* wgsl */ `
${rowParams}
${tile.outside}
${head}
  let id = flat_workgroup(workgroup, grid);
  ${rows === 1 ? "if (id >= p.rows * p.chunks) { return; }" : `if (id * ${rows}u >= p.rows) { return; }`}
  ${tile.setup}
  let row = ${rows === 1 ? "id / p.chunks" : `min(id * ${rows}u + slot, p.rows - 1u)`};
  let chunk = ${rows === 1 ? "id % p.chunks" : "0u"};
  let exists = ${rows === 1 ? "true" : `id * ${rows}u + slot < p.rows`};
  let state_row = p.first_row + row;
  let base = row * p.units;
  let first = chunk * p.chunk_units;
  let limit = min(first + p.chunk_units, p.units);
  let end = ${rows === 1 || whole ? "limit" : "select(0u, limit, exists)"};
  ${
    job.tensors.previous === undefined
      ? ""
      : `let start_state = ${job.start === undefined ? "0.0" : "start[state_row]"};`
  }
  ${reduce && gated ? "var carryA = 1.0;" : ""}
  var carryB = ${reduce ? "0.0" : initialOf(job, "state_row")};
  ${incoming}
  ${prefetch ? tile.load("first") : ""}
  for (var tile = first; tile < limit; tile += ${extent}) {
    ${prefetch ? "" : tile.load("tile")}
    ${tile.take}
    ${prefetch ? `if (tile + ${extent} < limit) { let ahead = tile + ${extent}; ${tile.load("ahead")} }` : ""}
    ${dropped && !reduce ? "if (tile != first) { carryB = 0.0; }" : ""}
    ${tile.scan}
    var mine = carryB;
    ${tile.fold(total, "mine = carryB;")}
    ${reduce ? "" : tile.apply("tile", "mine")}
    ${tile.separate}
  }
  if (place == 0u && exists) { ${finish} }
}
`;
  return assemble(`${job.what} rows: ${phase}`, {
    enable,
    bindings: [
      { name: "p", access: "uniform", type: "Params" },
      ...streamBindings(job, tile),
      storage("initial", "f32"),
      storage("start", "f32"),
      storage("incoming", "f32"),
      storage("final_state", "f32", "read_write"),
      storage("elementsA", "f32", "read_write"),
      storage("elementsB", "f32", "read_write"),
    ],
    source,
  });
}
