/**
 * Every row of a result as the sum of some rows of a source, listed: rows taken and copied, and the gradient of that, in
 * which a row taken several times gets a sum in fixed order. Several sources, or several results, are one dispatch as far as
 * the device can bind them.
 */
import type { Gpu } from "../gpu.ts";
import { assemble, compileShader, dispatchItems, entryPerItem, type Shader, storage } from "../wgsl.ts";
import type { Placement, Prepared, Program } from "./program.ts";
import type { Recorder } from "./recorder.ts";
import type { Slot } from "./slot.ts";
import type { Value } from "./value.ts";

/** Rows of one array from those of another. */
export interface RowSums {
  readonly source: Slot;
  readonly target: Slot;
  /** Numbers of a row. */
  readonly width: number;
  /** For each row of the target, the source's rows. */
  readonly lists: readonly (readonly number[])[];
  /** What a row without any becomes, and whether sums are added: `write` (0), `some` (rows without any stay), `add`. */
  readonly as: "write" | "some" | "add";
  /**
   * An array in which rows `parts·i …` of so many are interleaved, `unit` numbers of one and then of the next. Default: none.
   */
  readonly interleaved?: Interleaved;
}

export interface Interleaved {
  readonly side: "source" | "target";
  readonly parts: number;
  /** Divides the width. */
  readonly unit: number;
}

/** Jobs of a dispatch, at most: each is a branch of the text. */
const TOGETHER = 6;

const numbered = (name: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `${name}_${i}`);

/** Where jobs read and write: numbers of their sources and targets, which may be one for all. */
interface Pattern {
  readonly sources: readonly number[];
  readonly targets: readonly number[];
}

const shaderOf = ({ sources, targets }: Pattern): Shader => {
  const [from, to] = [Math.max(...sources) + 1, Math.max(...targets) + 1];
  const job = (n: number): string =>
    /* wgsl */ `if (id < sizes[${n}].end) {
    let own = sizes[${n}];
    let entry = (id - start) / own.width;
    let column = id - start - entry * own.width;
    let across = inside(own, column, own.source_parts);
    var begin = 0u;
    if (entry > 0u) { begin = lists[own.heads + 2u * entry - 1u]; }
    let end = lists[own.heads + 2u * entry + 1u];
    var sum = 0.0;
    // A row alone keeps its bits, a negative zero's too.
    if (begin < end) { sum = source_${sources[n]}[start_of(own, lists[own.rows + begin], own.source_parts) + across]; }
    for (var i = begin + 1u; i < end; i++) {
      sum += source_${sources[n]}[start_of(own, lists[own.rows + i], own.source_parts) + across];
    }
    let at = start_of(own, lists[own.heads + 2u * entry], own.target_parts) + inside(own, column, own.target_parts);
    if (own.add == 0u) { target_${targets[n]}[at] = sum; } else { target_${targets[n]}[at] += sum; }
    return;
  }
  start = sizes[${n}].end;`;
  return assemble(`sum rows of ${from} for ${to}`, {
    bindings: [
      { name: "sizes", access: "uniform", type: `array<Job, ${sources.length}>` },
      storage("lists", "u32"),
      ...numbered("source", from).map((name) => storage(name, "f32")),
      ...numbered("target", to).map((name) => storage(name, "f32", "read_write")),
    ],
    // Lists: the target's row and its end in the list, as many pairs as there are entries; then the list.
    source: /* wgsl */ `
struct Job { end: u32, width: u32, heads: u32, rows: u32, add: u32, unit: u32, source_parts: u32, target_parts: u32 }
fn start_of(job: Job, row: u32, parts: u32) -> u32 {
  if (parts == 1u) { return row * job.width; }
  let first = row / parts;
  return first * parts * job.width + (row - first * parts) * job.unit;
}
fn inside(job: Job, column: u32, parts: u32) -> u32 {
  if (parts == 1u) { return column; }
  let unit = column / job.unit;
  return column + unit * (parts - 1u) * job.unit;
}
${
      entryPerItem(
        `sizes[${sources.length - 1}].end`,
        `  var start = 0u;
  ${sources.map((_, n) => job(n)).join("\n  ")}`,
      )
    }`,
  });
};

/** Records the jobs, none of which reads what another writes. With `optional` they may be left out if nobody reads a target. */
export function recordRowSums(
  program: Program,
  name: string,
  jobs: readonly RowSums[],
  options: { readonly optional?: boolean } = {},
): void {
  const together = Math.min(
    TOGETHER,
    Math.max(1, Math.floor((program.gpu.limits.maxStorageBuffersPerShaderStage - 1) / 2)),
  );
  for (let from = 0; from < jobs.length; from += together) {
    const some = jobs.slice(from, from + together);
    const [sources, targets] = [some.map(({ source }) => source), some.map(({ target }) => target)];
    program.step(name, sources, targets, (at) => prepare(program.gpu, some, at), options);
  }
}

/** Records gradients of values that are such sums. */
export function contributeRowSums(
  { program, tape }: Recorder,
  name: string,
  given: readonly { readonly source: Value; readonly job: Omit<RowSums, "target" | "as"> }[],
): void {
  const values = Object.fromEntries(given.map(({ source }, i) => [`${i}`, source]));
  tape!.contributeAll(values, (targets) => {
    const jobs = given.flatMap(({ job }, i): RowSums[] => {
      const target = targets[`${i}`];
      return target === undefined ? [] : [{ ...job, target: target.slot, as: target.accumulate ? "add" : "write" }];
    });
    recordRowSums(program, name, jobs);
  });
}

/** Each one once, in the order of the first, and which of them each is. */
function distinct(slots: readonly Slot[]): { readonly all: readonly Slot[]; readonly of: readonly number[] } {
  const all: Slot[] = [];
  const of = slots.map((slot) => {
    const known = all.findIndex(({ storage }) => storage === slot.storage);
    return known >= 0 ? known : all.push(slot) - 1;
  });
  return { all, of };
}

async function prepare(gpu: Gpu, jobs: readonly RowSums[], at: Placement): Promise<Prepared> {
  const sources = distinct(jobs.map(({ source }) => source));
  const targets = distinct(jobs.map(({ target }) => target));
  const lists: number[] = [];
  const sizes: number[] = [];
  let end = 0;
  for (const { width, lists: rowsOf, as, interleaved } of jobs) {
    const heads: number[] = [];
    const rows: number[] = [];
    rowsOf.forEach((of, target) => {
      if (of.length === 0 && as !== "write") return;
      for (const row of of) rows.push(row);
      heads.push(target, rows.length);
    });
    end += heads.length / 2 * width;
    const partsOf = (side: Interleaved["side"]): number => interleaved?.side === side ? interleaved.parts : 1;
    sizes.push(end, width, lists.length, lists.length + heads.length, as === "add" ? 1 : 0);
    sizes.push(interleaved?.unit ?? width, partsOf("source"), partsOf("target"));
    for (const word of heads) lists.push(word);
    for (const row of rows) lists.push(row);
  }
  const named = (name: string, { all }: { readonly all: readonly Slot[] }): { [name: string]: GPUBuffer } =>
    Object.fromEntries(all.map((slot, i) => [`${name}_${i}`, at.tensor(slot).buffer]));
  const buffers = {
    sizes: at.uniform(Uint32Array.from(sizes)),
    lists: at.constant(Uint32Array.from([...lists, 0])),
    ...named("source", sources),
    ...named("target", targets),
  };
  const kernel = await compileShader(gpu, shaderOf({ sources: sources.of, targets: targets.of }));
  return { dispatches: [dispatchItems(kernel, buffers, end)] };
}
