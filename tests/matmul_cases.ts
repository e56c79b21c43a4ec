/** Matrix products that tests compute entry by entry, and how each is judged: against f64, within the derived bound. */
import { assert, assertEquals } from "@std/assert";
import { fromHalfBits, toHalfBits } from "../kernels/half.ts";
import type { Gpu } from "../kernels/gpu.ts";
import { matmulBound, type MatmulOptions, type MatmulPlan, type MatmulTensors, planMatmul } from "../kernels/matmul.ts";
import type { MatrixMode } from "../kernels/matrix_unit.ts";
import { runPlans } from "../kernels/plan.ts";
import { type DType, lengthOf, Tensor } from "../kernels/tensor.ts";
import { seeded } from "../models/random.ts";
import { POISON32 } from "../oracle/ulp.ts";

export interface Case {
  readonly batch?: readonly number[];
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly shared?: boolean;
  readonly bias?: boolean;
  /** Types of A, B and C. */
  readonly types?: readonly [DType, DType, DType];
  readonly options?: MatmulOptions;
}

export const floats: readonly [DType, DType, DType] = ["f32", "f32", "f32"];

/** Numbers of magnitudes far apart, row by row. */
export function numbers(words: string, shape: readonly number[], dtype: DType): Float32Array {
  const random = seeded("matmul", words);
  const width = shape.at(-1)!;
  const values = Float32Array.from({ length: lengthOf(shape) }, (_, i) => {
    const size = dtype === "f16" ? 1 : 2 ** (Math.floor(i / width) % 5 * 9 - 18);
    return (random() - 0.5) * size * 2 ** Math.floor(random() * -6);
  });
  return dtype === "f16" ? values.map((x) => fromHalfBits(toHalfBits(x))) : values;
}

export interface Entry {
  readonly got: number;
  readonly truth: number;
  readonly bound: number;
  /** What the last 16 terms add. */
  readonly last: number;
  /** The bias, and that of the next column. */
  readonly bias: readonly [number, number];
}

export interface Judged {
  readonly plan: MatmulPlan;
  readonly entries: readonly Entry[];
  /** The product without its bias, in f32. */
  readonly apart: Float32Array | undefined;
}

/** Every entry of a case's product, one run after the other into the same C when it adds up. */
export async function run(
  device: Gpu,
  { batch = [], M, N, K, shared = false, bias = false, types = floats, options = {} }: Case,
  planner: Gpu = device,
): Promise<Judged> {
  const { transposeA = false, transposeB = false, accumulate = false } = options;
  const shapes = [
    [...batch, ...(transposeA ? [K, M] : [M, K])],
    [...(shared ? [] : batch), ...(transposeB ? [N, K] : [K, N])],
    [...batch, M, N],
  ] as const;
  const name = JSON.stringify({ shapes, types });
  const [a, b] = [numbers(`a${name}`, shapes[0], types[0]), numbers(`b${name}`, shapes[1], types[1])];
  const row = bias ? numbers(`bias${name}`, [N, 1], types[2]) : new Float32Array(N);
  const poison = types[2] === "f16" ? 31744 : POISON32;
  const start = accumulate
    ? numbers(`c${name}`, shapes[2], types[2])
    : new Float32Array(lengthOf(shapes[2])).fill(poison);
  const tensors = {
    a: Tensor.from(device, a, shapes[0], { dtype: types[0] }),
    b: Tensor.from(device, b, shapes[1], { dtype: types[1] }),
    c: Tensor.from(device, start, shapes[2], { dtype: types[2] }),
    ...(bias && { bias: Tensor.from(device, row, [N]) }),
  };
  const plans: MatmulPlan[] = [];
  const compute = async (tensors: MatmulTensors): Promise<Float32Array> => {
    plans.push(await planMatmul(planner, tensors, options));
    await runPlans(device, "matmul", plans.slice(-1));
    return await tensors.c.read();
  };
  try {
    const c = await compute(tensors);
    const plan = plans[0]!;
    const { bias: _, ...others } = tensors;
    const apart = bias && types[2] === "f32" ? await compute(others) : undefined;
    const exact = types[0] === "f16" && types[1] === "f16";
    const entries: Entry[] = [];
    const batches = lengthOf(batch);
    const rows: readonly Float64Array[] = Array.from({ length: batches * M }, (_, row) => {
      const [z, i] = [Math.floor(row / M), row % M];
      return Float64Array.from({ length: K }, (_, k) => a[z * M * K + (transposeA ? k * M + i : i * K + k)]!);
    });
    const columns: readonly Float64Array[] = Array.from({ length: (shared ? 1 : batches) * N }, (_, column) => {
      const [z, j] = [Math.floor(column / N), column % N];
      return Float64Array.from({ length: K }, (_, k) => b[z * K * N + (transposeB ? j * K + k : k * N + j)]!);
    });
    // Those of one scale: 16 of a matrix, where rows of all batches are those of one if all meet the same B.
    const beside = (all: readonly Float64Array[], at: number, each: number): readonly Float64Array[] => {
      const [first, inside] = [Math.floor(at / each) * each, at % each];
      const from = Math.floor(inside / 16) * 16;
      return all.slice(first + from, first + Math.min(each, from + 16));
    };
    const oneMatrix = shared && !transposeA;
    for (let e = 0; e < c.length; e++) {
      const [z, r, j] = [Math.floor(e / (M * N)), Math.floor(e / N), e % N];
      const column = (shared ? 0 : z * N) + j;
      const [left, right] = [rows[r]!, columns[column]!];
      const besideA = beside(rows, r, oneMatrix ? batches * M : M);
      const besideB = beside(columns, column, N);
      const initial = accumulate ? start[e]! : row[j]!;
      const sum = (from: number): number => left.reduce((sum, x, k) => k < from ? sum : sum + x * right[k]!, 0);
      const [truth, last] = [initial + sum(0), sum(K - 16)];
      entries.push({
        got: c[e]!,
        truth,
        last,
        bias: [row[j]!, row[(j + 1) % N]!],
        bound: matmulBound(plan, left, right, { besideA, besideB, initial, result: types[2], exact }),
      });
    }
    return { plan, entries, apart };
  } finally {
    plans.forEach((plan) => plan.release());
    for (const tensor of Object.values(tensors)) tensor.destroy();
  }
}

export async function judge(device: Gpu, cases: readonly Case[], planner: Gpu = device): Promise<void> {
  for (const of of cases) {
    const { plan, entries, apart } = await run(device, of, planner);
    const words = `${plan.variant}: ${JSON.stringify(of)}`;
    const bad = entries.findIndex(({ got, truth, bound }) => !(Math.abs(got - truth) <= bound));
    assertEquals(bad, -1, `${words}: entry ${bad} ${JSON.stringify(entries[bad])}`);
    const fault = plan.mode === "f16" || of.types?.[2] === "f16" ? 2 ** -6 : 2 ** -10;
    const seen = entries.some(({ got, truth, bound }) => Math.abs(got * (1 + fault) - truth) > bound);
    const whole = entries.some(({ got, truth, bound, last }) => Math.abs(got - (truth - last)) > bound);
    assert(whole, `${words}: dropped terms are not seen`);
    assert(seen, `${words}: a relative fault of ${fault} is not seen`);
    if (!of.bias) continue;
    const shifted = entries.some(({ got, truth, bound, bias }) => Math.abs(got - (truth - bias[0] + bias[1])) > bound);
    assert(shifted, `${words}: another column's bias is not seen`);
    // The bits of a product and an addition apart.
    const bits = apart?.findIndex((x, i) => !Object.is(Math.fround(x + entries[i]!.bias[0]), entries[i]!.got)) ?? -1;
    assertEquals(bits, -1, `${words}: entry ${bits} is not ${apart?.[bits]} and its bias`);
  }
}

export const block: MatmulOptions = { each: 4, blockRows: 16, blockColumns: 8, blockTerms: 4 };
const f32: readonly Case[] = [
  { M: 1, N: 1, K: 1, options: block },
  { M: 20, N: 36, K: 8, bias: true, options: { ...block, prefetch: false, transposeA: true } },
  { M: 13, N: 24, K: 7, batch: [2, 3], options: { ...block, transposeB: true, accumulate: true } },
  {
    M: 13,
    N: 7,
    K: 31,
    batch: [3],
    shared: true,
    bias: true,
    options: { ...block, transposeA: true, transposeB: true, parts: 3 },
  },
  { M: 5, N: 9, K: 12, bias: true, types: ["f16", "f16", "f16"], options: block },
  {
    M: 9,
    N: 5,
    K: 12,
    batch: [3],
    shared: true,
    types: ["f16", "f32", "f16"],
    options: { ...block, accumulate: true },
  },
  {
    M: 3,
    N: 33,
    K: 6,
    batch: [2],
    types: ["f32", "f16", "f32"],
    options: { ...block, transposeA: true, transposeB: true },
  },
  { M: 65, N: 70, K: 33, bias: true },
];
/** Rows of whole vectors, which kernels for hardware read and write as such. */
export const vectors: readonly Case[] = [
  {
    M: 20,
    N: 12,
    K: 28,
    batch: [2],
    types: ["f16", "f32", "f32"],
    options: { ...block, mode: "f32", transposeA: true, accumulate: true },
  },
  {
    M: 18,
    N: 12,
    K: 40,
    batch: [2],
    shared: true,
    bias: true,
    options: { ...block, prefetch: false, mode: "f32", transposeB: true },
  },
];
const tiled: readonly Case[] = [
  { M: 17, N: 33, K: 37, bias: true },
  { M: 16, N: 32, K: 40, batch: [2], bias: true, options: { transposeA: true, chunk: 16, unroll: 1 } },
  {
    M: 5,
    N: 20,
    K: 70,
    batch: [2],
    options: { transposeB: true, chunk: 32, parts: 2, accumulate: true, rows: 1, columns: 1 },
  },
  {
    M: 18,
    N: 7,
    K: 64,
    batch: [3],
    shared: true,
    options: { transposeA: true, transposeB: true, chunk: 32 },
  },
  {
    M: 67,
    N: 15,
    K: 50,
    types: ["f16", "f16", "f16"],
    options: { accumulate: true, down: 2, rows: 2, columns: 1 },
  },
  { M: 34, N: 36, K: 40, batch: [2], bias: true, options: { invariant: true, chunk: 32 } },
  { M: 34, N: 36, K: 128, bias: true, options: { unpacked: true, chunk: 64 } },
  { M: 20, N: 9, K: 40, options: { invariant: true, transposeA: true } },
];
/** Halves, in whole blocks of C among others: matrix units only. */
const halves: readonly Case[] = [
  { M: 64, N: 64, K: 64, bias: true, types: ["f16", "f16", "f32"], options: { mode: "f16" } },
  { M: 64, N: 128, K: 64, types: ["f16", "f16", "f32"], options: { mode: "f16" } },
  {
    M: 128,
    N: 128,
    K: 96,
    types: ["f16", "f16", "f32"],
    options: { mode: "f16", transposeA: true, accumulate: true, rows: 2 },
  },
  { M: 32, N: 64, K: 64, batch: [2], types: ["f16", "f16", "f16"], options: { mode: "f16", transposeB: true } },
  {
    M: 64,
    N: 64,
    K: 64,
    types: ["f16", "f16", "f32"],
    bias: true,
    options: { mode: "f16", transposeA: true, transposeB: true, chunk: 32 },
  },
];
const blocks: readonly MatmulOptions[] = [
  {},
  { rows: 2, columns: 2, down: 2, across: 2, chunk: 32 },
  { rows: 2, columns: 4, down: 4, across: 2, unroll: 1 },
];
export function casesOf(on: "plain" | "loops" | "hardware"): Case[] {
  if (on === "plain") return [...f32];
  const as = (mode: MatrixMode, of: Case): Case => ({
    ...of,
    options: { ...of.options, mode, hardware: on === "hardware" },
  });
  // Software adapters compile slowly: modes share the cases there.
  if (on === "loops") {
    const modes = ["f16", "split", "f32", "split", "f16", "split", "split", "f16"] as const;
    return tiled.map((of, i) => as(modes[i]!, of));
  }
  const large = blocks.map((options) => as("split", { M: 150, N: 140, K: 100, bias: true, options }));
  const half = as("f16", { M: 20, N: 40, K: 30, bias: true, types: ["f16", "f16", "f16"] });
  // Of few rows as they lie, 32 and 16 a workgroup: a row's largest number is looked for in several turns.
  const few = [150, 20].map((M) =>
    as("split", { M, N: 1100, K: 768, bias: true, options: { invariant: true, chunk: 1024 } })
  );
  return [...tiled.flatMap((of) => [as("f16", of), as("split", of)]), ...halves, ...large, half, ...few];
}

/** Blocks of matrix units small enough for a software adapter's compiler; whole ones of C, ones that reach beyond it, and several chunks. */
export const looped: readonly Case[] = [
  { M: 64, N: 64, K: 72, options: { mode: "f16" } },
  { M: 64, N: 32, K: 64, options: { mode: "split", transposeA: true, transposeB: true } },
  { M: 37, N: 50, K: 70, bias: true, options: { mode: "split", chunk: 32, invariant: true } },
  { M: 32, N: 40, K: 48, batch: [2], options: { mode: "f16", transposeB: true, accumulate: true } },
  // More invocations than there are vectors of B, rows of A with scales of their own, and steps that reach beyond the sum.
  { M: 37, N: 18, K: 300, options: { mode: "f16", columns: 1, down: 3, unroll: 2, invariant: true, transposeA: true } },
];
export const loopedTiling = { rows: 1, columns: 2, down: 2, across: 1, unroll: 1 };
