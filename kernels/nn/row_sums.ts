/**
 * Every row of the result as the sum of some rows of a source, listed: rows taken and copied, and the gradient of that, in
 * which a row taken several times gets a sum in fixed order.
 */
import type { Gpu } from "../gpu.ts";
import { assemble, compileShader, dispatchItems, entryPerItem, type Shader, storage } from "../wgsl.ts";
import type { Placement, Prepared, Program } from "./program.ts";
import type { Slot } from "./slot.ts";

export interface RowSums {
  readonly source: Slot;
  readonly target: Slot;
  /** Numbers of a row. */
  readonly width: number;
  /** For each row of the target, the source's rows. */
  readonly lists: readonly (readonly number[])[];
  /** What a row without any becomes, and whether sums are added: `write` (0), `some` (rows without any stay), `add`. */
  readonly as: "write" | "some" | "add";
}

const shader: Shader = assemble("sum rows", {
  bindings: [
    { name: "sizes", access: "uniform", type: "vec4u" },
    storage("lists", "u32"),
    storage("source", "f32"),
    storage("result_of", "f32", "read_write"),
  ],
  // Sizes: items, width, listed rows, whether to add. Lists: the target's row and its end in the list, pairs; then the list.
  source: entryPerItem(
    "sizes.x",
    `  let entry = id / sizes.y;
  let column = id % sizes.y;
  var begin = 0u;
  if (entry > 0u) { begin = lists[2u * entry - 1u]; }
  var sum = 0.0;
  for (var i = begin; i < lists[2u * entry + 1u]; i++) {
    sum += source[lists[2u * sizes.z + i] * sizes.y + column];
  }
  let to = lists[2u * entry] * sizes.y + column;
  if (sizes.w == 0u) { result_of[to] = sum; } else { result_of[to] += sum; }`,
  ),
});

/** Records the step. */
export function recordRowSums(program: Program, name: string, job: RowSums): void {
  program.step(name, [job.source], [job.target], (at) => prepare(program.gpu, job, at));
}

async function prepare(gpu: Gpu, { source, target, width, lists, as }: RowSums, at: Placement): Promise<Prepared> {
  const heads: number[] = [];
  const list: number[] = [];
  lists.forEach((rows, target) => {
    if (rows.length === 0 && as !== "write") return;
    for (const row of rows) list.push(row);
    heads.push(target, list.length);
  });
  const count = heads.length / 2;
  const buffers = {
    sizes: at.uniform(new Uint32Array([count * width, width, count, as === "add" ? 1 : 0])),
    lists: at.constant(Uint32Array.from([...heads, ...list, 0])),
    source: at.tensor(source).buffer,
    result_of: at.tensor(target).buffer,
  };
  return { dispatches: [dispatchItems(await compileShader(gpu, shader), buffers, count * width)] };
}
