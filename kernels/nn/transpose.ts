/**
 * Transposes: a workgroup brings a square tile into its memory and writes it with the axes exchanged, so that neighbours
 * read, and write, neighbouring numbers.
 */
import type { Gpu } from "../gpu.ts";
import { assemble, compileShader, dispatch, type Shader, storage } from "../wgsl.ts";
import type { Placement, Prepared, Program } from "./program.ts";
import type { Slot } from "./slot.ts";

export interface Transpose {
  /** `[n, m]` */
  readonly source: Slot;
  /** `[m, n]` */
  readonly target: Slot;
  /** Add to the target rather than replace it. */
  readonly accumulate: boolean;
}

const TILE = 32;
/** Rows of a tile that a workgroup moves at a time. */
const ROWS = 8;
/** Numbers from a tile's row to the next: one more than it has, as those of a column would else lie in one bank. */
const PITCH = TILE + 1;

/** Sizes: rows and columns of the source, tiles side by side, whether to add. */
export const transposeShader: Shader = assemble("transpose", {
  bindings: [
    { name: "sizes", access: "uniform", type: "vec4u" },
    storage("source", "f32"),
    storage("result_of", "f32", "read_write"),
  ],
  source: /* wgsl */ `
var<workgroup> tile: array<f32, ${TILE * PITCH}>;
@compute @workgroup_size(${TILE * ROWS})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let group = flat_workgroup(workgroup, grid);
  let top = group / sizes.z * ${TILE}u;
  if (top >= sizes.x) { return; }
  let left = group % sizes.z * ${TILE}u;
  let along = local % ${TILE}u;
  let first = local / ${TILE}u;
  for (var i = 0u; i < ${TILE}u; i += ${ROWS}u) {
    let row = first + i;
    if (top + row < sizes.x && left + along < sizes.y) {
      tile[row * ${PITCH}u + along] = source[(top + row) * sizes.y + left + along];
    }
  }
  workgroupBarrier();
  for (var i = 0u; i < ${TILE}u; i += ${ROWS}u) {
    let column = first + i;
    if (left + column < sizes.y && top + along < sizes.x) {
      let value = tile[along * ${PITCH}u + column];
      let to = (left + column) * sizes.x + top + along;
      if (sizes.w == 0u) { result_of[to] = value; } else { result_of[to] += value; }
    }
  }
}
`,
});

/** Records the step. */
export function recordTranspose(program: Program, name: string, transpose: Transpose): void {
  program.step(name, [transpose.source], [transpose.target], (at) => prepare(program.gpu, transpose, at));
}

async function prepare(gpu: Gpu, { source, target, accumulate }: Transpose, at: Placement): Promise<Prepared> {
  const [rows, columns] = source.shape as [number, number];
  const across = Math.ceil(columns / TILE);
  const buffers = {
    sizes: at.uniform(new Uint32Array([rows, columns, Math.max(1, across), accumulate ? 1 : 0])),
    source: at.tensor(source).buffer,
    result_of: at.tensor(target).buffer,
  };
  const kernel = await compileShader(gpu, transposeShader);
  return { dispatches: [dispatch(kernel, buffers, across * Math.ceil(rows / TILE))] };
}
