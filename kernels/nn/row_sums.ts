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
  /** An array in which rows `parts·i …` of so many are interleaved, `unit` numbers of one and then of the next. Default: none. */
  readonly interleaved?: Interleaved;
  /** Whether the step may be left out if no other reads the target. Default false. */
  readonly optional?: boolean;
}

export interface Interleaved {
  readonly side: "source" | "target";
  readonly parts: number;
  /** Divides the width. */
  readonly unit: number;
}

const shader: Shader = assemble("sum rows", {
  bindings: [
    { name: "sizes", access: "uniform", type: "Sizes" },
    storage("lists", "u32"),
    storage("source", "f32"),
    storage("result_of", "f32", "read_write"),
  ],
  // Lists: the target's row and its end in the list, `listed` pairs; then the list.
  source: /* wgsl */ `
struct Sizes { items: u32, width: u32, listed: u32, add: u32, unit: u32, source_parts: u32, target_parts: u32, unused: u32 }
fn start(row: u32, parts: u32) -> u32 {
  if (parts == 1u) { return row * sizes.width; }
  let first = row / parts;
  return first * parts * sizes.width + (row - first * parts) * sizes.unit;
}
fn inside(column: u32, parts: u32) -> u32 {
  if (parts == 1u) { return column; }
  let unit = column / sizes.unit;
  return column + unit * (parts - 1u) * sizes.unit;
}
${
    entryPerItem(
      "sizes.items",
      `  let entry = id / sizes.width;
  let column = id - entry * sizes.width;
  let across = inside(column, sizes.source_parts);
  var begin = 0u;
  if (entry > 0u) { begin = lists[2u * entry - 1u]; }
  let end = lists[2u * entry + 1u];
  var sum = 0.0;
  // A row alone keeps its bits, a negative zero's too.
  if (begin < end) { sum = source[start(lists[2u * sizes.listed + begin], sizes.source_parts) + across]; }
  for (var i = begin + 1u; i < end; i++) {
    sum += source[start(lists[2u * sizes.listed + i], sizes.source_parts) + across];
  }
  let to = start(lists[2u * entry], sizes.target_parts) + inside(column, sizes.target_parts);
  if (sizes.add == 0u) { result_of[to] = sum; } else { result_of[to] += sum; }`,
    )
  }`,
});

/** Records the step. */
export function recordRowSums(program: Program, name: string, job: RowSums): void {
  const { source, target, optional = false } = job;
  program.step(name, [source], [target], (at) => prepare(program.gpu, job, at), { optional });
}

async function prepare(gpu: Gpu, job: RowSums, at: Placement): Promise<Prepared> {
  const { source, target, width, lists, as, interleaved } = job;
  const heads: number[] = [];
  const list: number[] = [];
  lists.forEach((rows, target) => {
    if (rows.length === 0 && as !== "write") return;
    for (const row of rows) list.push(row);
    heads.push(target, list.length);
  });
  const count = heads.length / 2;
  const partsOf = (side: Interleaved["side"]): number => interleaved?.side === side ? interleaved.parts : 1;
  const layout = [interleaved?.unit ?? width, partsOf("source"), partsOf("target"), 0];
  const buffers = {
    sizes: at.uniform(new Uint32Array([count * width, width, count, as === "add" ? 1 : 0, ...layout])),
    lists: at.constant(Uint32Array.from([...heads, ...list, 0])),
    source: at.tensor(source).buffer,
    result_of: at.tensor(target).buffer,
  };
  return { dispatches: [dispatchItems(await compileShader(gpu, shader), buffers, count * width)] };
}
