/** Arrays of as many columns, one below the other: a dispatch for every few of them. */
import type { Gpu } from "../gpu.ts";
import { assemble, compileShader, dispatchItems, entryPerItem, type Shader, storage } from "../wgsl.ts";
import type { Placement, Prepared, Program } from "./program.ts";
import type { Slot } from "./slot.ts";

/** Arrays of a dispatch: storage buffers that every device can bind, but one. */
const ARRAYS = 7;
const arrays = Array.from({ length: ARRAYS }, (_, i) => i);

/** `width`: numbers that an invocation copies together. */
const shader = (width: 1 | 4): Shader => {
  const type = width === 1 ? "f32" : "vec4f";
  return assemble(`join rows by ${width}`, {
    bindings: [
      // How much is copied, and where the first goes; then where each array ends: all counted in what is copied together.
      { name: "sizes", access: "uniform", type: `array<vec4u, ${1 + Math.ceil(ARRAYS / 4)}>` },
      ...arrays.map((i) => storage(`array_${i}`, type)),
      storage("joined", type, "read_write"),
    ],
    source: entryPerItem(
      "sizes[0].x",
      `  var start = 0u;
  var value = ${type}();
  ${
        arrays.map((i) => {
          const end = `sizes[${1 + Math.floor(i / 4)}][${i % 4}]`;
          return `if (id >= start && id < ${end}) { value = array_${i}[id - start]; }\n  start = ${end};`;
        }).join("\n  ")
      }
  joined[sizes[0].y + id] = value;`,
    ),
  });
};

/** Records the step. */
export function recordJoinRows(program: Program, slots: readonly Slot[], joined: Slot): void {
  program.step("join rows", slots, [joined], (at) => prepare(program.gpu, slots, joined, at));
}

async function prepare(gpu: Gpu, slots: readonly Slot[], joined: Slot, at: Placement): Promise<Prepared> {
  const given = slots.filter(({ length }) => length > 0);
  const width = given.every(({ length }) => length % 4 === 0) ? 4 : 1;
  let first = 0;
  const jobs = [];
  for (let from = 0; from < given.length; from += ARRAYS) {
    const some = given.slice(from, from + ARRAYS);
    let count = 0;
    const ends = arrays.map((i) => count += (some[i]?.length ?? 0) / width);
    const buffers = {
      sizes: at.uniform(Uint32Array.from([count, first, 0, 0, ...ends, 0])),
      ...Object.fromEntries(arrays.map((i) => [`array_${i}`, at.tensor(some[i] ?? some[0]!).buffer])),
      joined: at.tensor(joined).buffer,
    };
    jobs.push({ buffers, count });
    first += count;
  }
  const kernel = await compileShader(gpu, shader(width));
  return { dispatches: jobs.map(({ buffers, count }) => dispatchItems(kernel, buffers, count)) };
}
