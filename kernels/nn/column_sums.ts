/**
 * Sums over the rows of a matrix: gradients of what was repeated over rows (biases, gains). One or two sums at a time.
 *
 * Rows are cut into slabs that are summed apart and then added up, in an order that depends on the shape alone.
 */
import type { Gpu } from "../gpu.ts";
import { assemble, compileShader, dispatch, type Kernel, storage } from "../wgsl.ts";
import type { Placement, Prepared, Program } from "./program.ts";
import type { Recorder } from "./recorder.ts";
import type { Slot } from "./slot.ts";
import type { Value } from "./value.ts";

/** One sum: `output[column] = Σ_row value`. */
export interface ColumnSum {
  /** WGSL of `a`, `b` … (arrays `a_of` …), `row`, `column` and `at`, the entry's index. */
  readonly value: string;
  readonly output: Slot;
  readonly accumulate: boolean;
}

export interface ColumnSums {
  readonly rows: number;
  readonly columns: number;
  /** At most four: `a_of`, `b_of`, `c_of`, `d_of`. */
  readonly inputs: readonly Slot[];
  readonly sums: readonly [ColumnSum, ColumnSum?];
}

/** Columns of a workgroup, and invocations that share one. */
const COLUMNS = 16;
const LANES = 16;
/** Rows that an invocation has on their way at a time: few rows take as long as the wait for them. */
const UNDER_WAY = [0, 1, 2, 3] as const;
/** Rows of a slab: up to so many take one dispatch. */
export const SLAB = 1024;
const SLABS = 64;
const names = ["a_of", "b_of", "c_of", "d_of"] as const;

/** Records the steps. */
export function recordColumnSums(program: Program, name: string, job: ColumnSums): void {
  const outputs = job.sums.map((sum) => sum!.output);
  program.step(name, job.inputs, outputs, (at) => prepare(program.gpu, name, job, at));
}

/** Records a gradient that is one sum. */
export function contributeColumns(
  { program, tape }: Recorder,
  name: string,
  of: Value,
  { rows, inputs, value }: Pick<ColumnSums, "rows" | "inputs"> & Pick<ColumnSum, "value">,
): void {
  tape!.contribute(of, (output, accumulate) => {
    recordColumnSums(program, name, { rows, columns: of.slot.length, inputs, sums: [{ value, output, accumulate }] });
  });
}

async function prepare(gpu: Gpu, name: string, job: ColumnSums, at: Placement): Promise<Prepared> {
  const { rows, columns, inputs } = job;
  const sums = job.sums.filter((sum) => sum !== undefined);
  const slabs = Math.min(SLABS, Math.max(1, Math.ceil(rows / SLAB)));
  const results = sums.map(({ output }) => at.tensor(output).buffer);
  const flags = sums.map(({ accumulate }) => accumulate ? 1 : 0);
  const tiles = Math.ceil(columns / COLUMNS);
  const named = (buffers: readonly GPUBuffer[], prefix: string): { [name: string]: GPUBuffer } =>
    Object.fromEntries(buffers.map((buffer, i) => [`${prefix}_${i}`, buffer]));
  const partials = slabs === 1 ? results : sums.map(() => at.scratch(4 * slabs * columns));
  const stages = [{
    values: sums.map(({ value }) => value),
    buffers: {
      sizes: at.uniform(sizes(rows, columns, slabs, slabs === 1 ? flags : [0, 0])),
      ...Object.fromEntries(inputs.map((slot, i) => [names[i], at.tensor(slot).buffer])),
      ...named(partials, "sum"),
    },
    workgroups: slabs * tiles,
    inputs: inputs.length,
  }];
  if (slabs > 1) {
    stages.push({
      values: sums.map((_, i) => `${names[i]}[at]`),
      buffers: {
        sizes: at.uniform(sizes(slabs, columns, 1, flags)),
        ...Object.fromEntries(partials.map((buffer, i) => [names[i], buffer])),
        ...named(results, "sum"),
      },
      workgroups: tiles,
      inputs: sums.length,
    });
  }
  const dispatches = await Promise.all(stages.map(async ({ values, buffers, workgroups, inputs }) => {
    const kernel: Kernel = await compileShader(gpu, shaderOf(name, values, inputs));
    return dispatch(kernel, buffers, workgroups);
  }));
  return { dispatches };
}

function sizes(rows: number, columns: number, slabs: number, flags: readonly number[]): Uint32Array {
  const words = [rows, columns, slabs, Math.ceil(rows / slabs), Math.ceil(columns / COLUMNS), ...flags];
  return Uint32Array.from({ length: 8 }, (_, i) => words[i] ?? 0);
}

function shaderOf(name: string, values: readonly string[], inputs: number): ReturnType<typeof assemble> {
  const each = (line: (i: number) => string): string => values.map((_, i) => line(i)).join("\n  ");
  return assemble(`${name} sums`, {
    bindings: [
      { name: "sizes", access: "uniform", type: "Sizes" },
      ...names.slice(0, inputs).map((input) => storage(input, "f32")),
      ...values.map((_, i) => storage(`sum_${i}`, "f32", "read_write")),
    ],
    source: /* wgsl */ `
struct Sizes { rows: u32, columns: u32, slabs: u32, each: u32, tiles: u32, add_0: u32, add_1: u32, unused: u32 }
var<workgroup> parts: array<f32, ${COLUMNS * LANES * values.length}>;
${
      values.map((value, i) =>
        `fn value_${i}_of(row: u32, column: u32) -> f32 { let at = row * sizes.columns + column; return ${value}; }`
      ).join("\n")
    }
@compute @workgroup_size(${COLUMNS * LANES})
fn main(
  @builtin(workgroup_id) workgroup: vec3u,
  @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let group = flat_workgroup(workgroup, grid);
  if (group >= sizes.tiles * sizes.slabs) { return; }
  let slab = group / sizes.tiles;
  let column = group % sizes.tiles * ${COLUMNS}u + local % ${COLUMNS}u;
  ${each((i) => `var total_${i} = 0.0;`)}
  if (column < sizes.columns) {
    let end = min(slab * sizes.each + sizes.each, sizes.rows);
    for (var next = slab * sizes.each + local / ${COLUMNS}u; next < end; next += ${LANES * UNDER_WAY.length}u) {
      ${
      UNDER_WAY.map((n) =>
        each((i) => `let value_${n}_${i} = value_${i}_of(min(next + ${LANES * n}u, end - 1u), column);`)
      ).join("\n      ")
    }
      ${
      UNDER_WAY.map((n) =>
        each((i) =>
          `total_${i} += ${n === 0 ? `value_0_${i}` : `select(0.0, value_${n}_${i}, next + ${LANES * n}u < end)`};`
        )
      ).join("\n      ")
    }
    }
  }
  ${each((i) => `parts[${i * COLUMNS * LANES}u + local] = total_${i};`)}
  workgroupBarrier();
  if (local >= ${COLUMNS}u || column >= sizes.columns) { return; }
  let to = slab * sizes.columns + column;
  ${
      each((i) => {
        const part = (lane: number): string => `parts[${i * COLUMNS * LANES + lane * COLUMNS}u + local]`;
        const sum = Array.from({ length: LANES }, (_, lane) => part(lane)).join(" + ");
        return `let all_${i} = ${sum};
  if (sizes.add_${i} == 0u) { sum_${i}[to] = all_${i}; } else { sum_${i}[to] += all_${i}; }`;
      })
    }
}
`,
  });
}
