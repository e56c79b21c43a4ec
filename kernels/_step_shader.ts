/** The kernel of one step as text. */

import { type AnyAffineModel, outputColumns } from "../models/affine.ts";
import { InputError } from "../models/error.ts";
import { inputEntries, microSteps, stateWidth } from "../models/inputs.ts";
import { columnSource, shared } from "./_step_column.ts";
import { INVOCATIONS, type StepDims, tiling } from "./_step_tiling.ts";
import type { Fault } from "./faults.ts";
import { f32Profile } from "./profile.ts";
import { assemble, type Shader, storage } from "./wgsl.ts";

/** The kernel of one token. */
export function stepShader(model: AnyAffineModel, { B, H, sizes }: StepDims, fault?: Fault): Shader {
  const tiles = tiling(model, sizes);
  const { rows, columns, across } = tiles;
  const n = microSteps(model);
  const size = rows * columns * stateWidth(model);
  const { update, sums, read, reads, whole } = columnSource(model, sizes, tiles, fault);
  const all = model.normaliser === true;
  if (whole && !all) {
    throw new InputError(`Cannot step ${model.name}: an output must be read from its own column, and is not`);
  }
  const names = Array.from({ length: sums }, (_, m) => `sum${m}`);
  const workgroups = B * H * (all ? 1 : tiles.tiles);
  const last = `s == ${n - 1}u && r == 0u && v < ${outputColumns(model, sizes)}u`;
  // A normaliser's column is read by every output, so it must be there before any: it comes in the last of the tiles.
  const column = /* wgsl */ `
${update}
${names.map((name) => shared(tiles, name)).join("\n")}`;
  const body = all
    ? /* wgsl */ `
    for (var t = ${tiles.tiles}u; t > 0u; t--) {
      let v = (t - 1u) * ${across}u + c;
${column}
      storageBarrier();
      if (${last}) {
${read}
      }
    }
    storageBarrier();`
    : /* wgsl */ `
    let v = group % ${tiles.tiles}u * ${across}u + c;
${column}
    ${reads ? "storageBarrier();" : ""}
    if (${last}) {
${read}
    }`;
  return assemble(`step ${model.name}`, {
    bindings: [
      ...inputEntries(model).map(([name]) => storage(`in_${name}`, "f32")),
      storage("states", "f32", "read_write"),
      storage("outputs", "f32", "read_write"),
    ],
    source: f32Profile.prelude + /* wgsl */ `
const HEADS = ${H}u;
var<workgroup> partial: array<f32, ${INVOCATIONS}>;
@compute @workgroup_size(${INVOCATIONS})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let group = flat_workgroup(workgroup, grid);
  if (group >= ${workgroups}u) { return; }
  let sequence = group / ${all ? 1 : tiles.tiles}u;
  let h = sequence % HEADS;
  let b = sequence / HEADS;
  let base = sequence * ${size}u;
  let c = local % ${across}u;
  let r = local / ${across}u;
  ${names.map((name) => `var ${name} = 0.0;`).join(" ")}
  ${
      fault === "dropped-carry"
        ? `for (var at = local; at < ${size}u; at += ${INVOCATIONS}u) { states[base + at] = 0.0; }\n  storageBarrier();`
        : ""
    }
  for (var s = 0u; s < ${n}u; s++) {${body}
  }
}
`,
  });
}
