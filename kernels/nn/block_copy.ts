/**
 * Copies of blocks: for every outer index, `count` numbers from a place in each row of one array to a place in each row of
 * another. Slices and concatenations along any axis are that, and their gradients.
 */
import type { Gpu } from "../gpu.ts";
import { assemble, compileShader, dispatchItems, entryPerItem, type Shader, storage } from "../wgsl.ts";
import type { Placement, Prepared, Program } from "./program.ts";
import type { Slot } from "./slot.ts";

/** Numbers of one row of an array, and where the block lies in it. */
export interface Block {
  readonly slot: Slot;
  readonly stride: number;
  readonly from: number;
}

export interface BlockCopy {
  readonly outer: number;
  readonly count: number;
  readonly source: Block;
  readonly target: Block;
  /** `write`: the block only. `pad`: zero around it. `add`: to what is there. */
  readonly as: "write" | "pad" | "add";
}

const shader: Shader = assemble("copy blocks", {
  bindings: [
    { name: "sizes", access: "uniform", type: "Sizes" },
    storage("source", "f32"),
    storage("result_of", "f32", "read_write"),
  ],
  source: /* wgsl */ `
/* items counts what is written: of each row, the numbers from \`first\` on, \`each\` of them. */
struct Sizes { items: u32, first: u32, each: u32, count: u32, stride: u32, begin: u32, to: u32, to_begin: u32,
  add: u32, unused_0: u32, unused_1: u32, unused_2: u32 }
${
    entryPerItem(
      "sizes.items",
      `  let row = id / sizes.each;
  let at = sizes.first + id % sizes.each;
  let inside = at - sizes.to_begin;
  var value = 0.0;
  if (inside < sizes.count) { value = source[row * sizes.stride + sizes.begin + inside]; }
  let place = row * sizes.to + at;
  if (sizes.add == 0u) { result_of[place] = value; } else { result_of[place] += value; }`,
    )
  }`,
});

/** Records the step. */
export function recordBlockCopy(program: Program, name: string, copy: BlockCopy): void {
  program.step(name, [copy.source.slot], [copy.target.slot], (at) => prepare(program.gpu, copy, at));
}

async function prepare(gpu: Gpu, { outer, count, source, target, as }: BlockCopy, at: Placement): Promise<Prepared> {
  const [first, each] = as === "pad" ? [0, target.stride] : [target.from, count];
  const words = [outer * each, first, each, count, source.stride, source.from, target.stride, target.from];
  const buffers = {
    sizes: at.uniform(Uint32Array.from([...words, as === "add" ? 1 : 0, 0, 0, 0])),
    source: at.tensor(source.slot).buffer,
    result_of: at.tensor(target.slot).buffer,
  };
  return { dispatches: [dispatchItems(await compileShader(gpu, shader), buffers, outer * each)] };
}
