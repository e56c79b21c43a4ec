/** Matrix products against f64, entry by entry within the derived bound, in every mode, layout and size; faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { fromHalfBits, toHalfBits } from "../kernels/half.ts";
import type { Gpu } from "../kernels/gpu.ts";
import {
  matmulBound,
  type MatmulOptions,
  type MatmulPlan,
  type MatmulTensors,
  planMatmul,
  type Shared,
} from "../kernels/matmul.ts";
import type { MatrixMode } from "../kernels/matrix_unit.ts";
import { runPlans } from "../kernels/plan.ts";
import { type DType, lengthOf, Tensor } from "../kernels/tensor.ts";
import { InputError } from "../models/error.ts";
import { seeded } from "../models/random.ts";
import { POISON32 } from "../oracle/ulp.ts";
import { gpuForTests } from "./gpu.ts";
import { withMatrixLoops } from "./matrix_loops.ts";
import { wgslValidator } from "./wgsl_validator.ts";

const gpu = await gpuForTests("matrix products against f64");
const validator = await wgslValidator("the compiler on products by matrix units");
after(async () => {
  validator?.close();
  await gpu?.close();
});

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

interface Case {
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

const floats: readonly [DType, DType, DType] = ["f32", "f32", "f32"];
const block = { each: 4, blockRows: 16, blockColumns: 8, blockTerms: 4 };
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
const vectors: readonly Case[] = [
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
const hardware = gpu !== null && gpu.subgroups?.max === 32 && gpu.features.has("chromium-experimental-subgroup-matrix");

function casesOf(on: "plain" | "loops" | "hardware"): Case[] {
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
  return [...tiled.flatMap((of) => [as("f16", of), as("split", of)]), ...halves, ...large, half];
}

/** Numbers of magnitudes far apart, row by row. */
function numbers(words: string, shape: readonly number[], dtype: DType): Float32Array {
  const random = seeded("matmul", words);
  const width = shape.at(-1)!;
  const values = Float32Array.from({ length: lengthOf(shape) }, (_, i) => {
    const size = dtype === "f16" ? 1 : 2 ** (Math.floor(i / width) % 5 * 9 - 18);
    return (random() - 0.5) * size * 2 ** Math.floor(random() * -6);
  });
  return dtype === "f16" ? values.map((x) => fromHalfBits(toHalfBits(x))) : values;
}

interface Entry {
  readonly got: number;
  readonly truth: number;
  readonly bound: number;
  /** What the last 16 terms add. */
  readonly last: number;
  /** The bias, and that of the next column. */
  readonly bias: readonly [number, number];
}

/** Every entry of a case's product, one run after the other into the same C when it adds up. */
async function run(
  device: Gpu,
  { batch = [], M, N, K, shared = false, bias = false, types = floats, options = {} }: Case,
  planner = device,
) {
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

async function judge(device: Gpu, cases: readonly Case[], planner = device): Promise<void> {
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

gpuTest("plain products are within the bound of f64", (device) => judge(device, casesOf("plain")));
gpuTest("plain products as hardware has them are within the bound of f64", (device) => {
  const { features, subgroups, limits, adapter } = device;
  const planner = {
    ...{ features, subgroups, limits, adapter: { ...adapter, software: false } },
    ...{ createBuffer: device.createBuffer.bind(device), upload: device.upload.bind(device) },
    compile: device.compile.bind(device),
  };
  return judge(device, vectors, planner as unknown as Gpu);
});
gpuTest("products by tiles, in loops, are within the bound of f64", (device) => judge(device, casesOf("loops")));
/** Blocks small enough for a software adapter's compiler; whole ones of C, ones that reach beyond it, and several chunks. */
const looped: readonly Case[] = [
  { M: 64, N: 64, K: 72, options: { mode: "f16" } },
  { M: 64, N: 32, K: 64, options: { mode: "split", transposeA: true, transposeB: true } },
  { M: 37, N: 50, K: 70, bias: true, options: { mode: "split", chunk: 32, invariant: true } },
  { M: 32, N: 40, K: 48, batch: [2], options: { mode: "f16", transposeB: true, accumulate: true } },
  // More invocations than there are vectors of B, rows of A with scales of their own, and steps that reach beyond the sum.
  { M: 37, N: 18, K: 300, options: { mode: "f16", columns: 1, down: 3, unroll: 2, invariant: true, transposeA: true } },
];
const loopedTiling = { rows: 1, columns: 2, down: 2, across: 1, unroll: 1 };
gpuTest("the texts for matrix units, with loops for their products, are within the bound of f64", async (device) => {
  if (!device.features.has("shader-f16")) return;
  const codes: string[] = [];
  const cases = looped.map((of) => ({ ...of, options: { ...loopedTiling, ...of.options } }));
  await judge(device, cases, withMatrixLoops(device, codes));
  assert(codes.filter((code) => code.includes("subgroupMatrixMultiplyAccumulate")).length >= looped.length);
});
gpuTest("products that read ahead have the bits of those that do not, and read no further", async (device) => {
  if (!device.features.has("shader-f16")) return;
  for (const of of looped) {
    const bits = async (ahead: boolean) => {
      const codes: string[] = [];
      const options = { ...loopedTiling, ...of.options, ahead };
      const { plan, entries } = await run(device, { ...of, options }, withMatrixLoops(device, codes));
      assertEquals(plan.variant.includes("read ahead"), ahead);
      const guarded = codes.some((code) => code.includes(`if (k + ${options.unroll}u < end) { let next =`));
      assertEquals(guarded, ahead);
      return entries.map(({ got }) => got);
    };
    assertEquals(await bits(true), await bits(false), JSON.stringify(of));
  }
});

gpuTest("parts of a plain sum that one workgroup adds up have the bits of those apart", async (device) => {
  const cases: readonly Case[] = [
    { M: 20, N: 12, K: 70, bias: true, options: { parts: 4 } },
    { M: 13, N: 24, K: 37, batch: [2], options: { parts: 3, accumulate: true, transposeA: true, transposeB: true } },
    { M: 9, N: 20, K: 48, options: { parts: 2, each: 8, blockRows: 16, blockColumns: 16, prefetch: true } },
    { M: 5, N: 9, K: 40, bias: true, types: ["f16", "f16", "f16"], options: { parts: 2 } },
  ];
  for (const of of cases) {
    const bits = async (together: boolean) => {
      const options = { ...block, mode: "f32", ...of.options, together } as const;
      const { plan, entries } = await run(device, { ...of, options });
      assertEquals(plan.variant.includes("together"), together);
      assertEquals(plan.dispatches.length, together && of.types === undefined ? 1 : 2);
      return entries.map(({ got }) => got);
    };
    assertEquals(await bits(true), await bits(false), JSON.stringify(of));
    // The control: in other parts the sums round otherwise, but where halves hide it.
    if (of.types !== undefined) continue;
    const { entries } = await run(device, { ...of, options: { ...block, mode: "f32", ...of.options, parts: 1 } });
    assertNotEquals(entries.map(({ got }) => got), await bits(true));
  }
});

gpuTest(
  "rows have the bits of others' company in plain blocks of any size, whose parts are the same",
  async (device) => {
    const of = { M: 9, N: 20, K: 400, bias: true };
    const bits = async (options: MatmulOptions) => {
      const tuning = { mode: "f32", invariant: true, each: 4, blockRows: 16, blockColumns: 16 } as const;
      const { plan, entries } = await run(device, { ...of, options: { ...tuning, ...options } });
      assertEquals(plan.parts, 2);
      return entries.map(({ got }) => got);
    };
    const apart = await bits({ blockTerms: 16, together: false });
    assertEquals(await bits({ blockTerms: 32, together: true }), apart);
    assertEquals(await bits({ blockTerms: 8, together: true }), apart);
    // The control: steps that do not divide a part's terms cut the sum elsewhere.
    assertNotEquals(await bits({ blockTerms: 40, together: true }), apart);
  },
);

gpuTest("rows taken as they lie have the bits of those that are packed", async (device) => {
  const cases: readonly Case[] = [
    { M: 37, N: 50, K: 128, bias: true, options: { mode: "split", chunk: 64 } },
    { M: 20, N: 33, K: 64, batch: [2], bias: true, options: { mode: "f16", rows: 2, down: 2, across: 1, columns: 2 } },
    {
      M: 5,
      N: 16,
      K: 64,
      types: ["f16", "f32", "f32"],
      options: { mode: "split", accumulate: true, transposeB: true },
    },
  ];
  for (const of of cases) {
    const bits = async (unpacked: boolean) => {
      const options = {
        rows: 1,
        columns: 1,
        down: 1,
        across: 2,
        ...of.options,
        unpacked,
        invariant: true,
        hardware: false,
      };
      const { plan, entries } = await run(device, { ...of, options });
      assertEquals(plan.variant.includes("rows as they lie"), unpacked);
      // B's packing, the rows, and the sum of parts.
      if (unpacked) assertEquals(plan.dispatches.length, plan.parts === 1 ? 2 : 3);
      return entries.map(({ got }) => got);
    };
    assertEquals(await bits(true), await bits(false), JSON.stringify(of));
  }
  const across = {
    M: 5,
    N: 6,
    K: 64,
    options: { mode: "split", hardware: false, unpacked: true, transposeA: true },
  } as const;
  await assertRejects(() => run(device, across), InputError, "A must lie along the sum");
  const broken = { M: 5, N: 6, K: 60, options: { ...across.options, transposeA: false, chunk: 32 } };
  await assertRejects(() => run(device, broken), InputError, "got 60 terms in chunks of 32");
});

gpuTest("products of one matrix can share what is packed of it; control: of another they would", async (device) => {
  const [K, N] = [40, 36];
  const tensor = (name: string, shape: readonly number[]): Tensor =>
    Tensor.from(device, numbers(name, shape, "f32"), shape);
  const [b, other] = [tensor("b", [K, N]), tensor("other", [K, N])];
  const packs = new Map<string, readonly GPUBuffer[]>();
  const shared: Shared = (key, wanted) => {
    const found = packs.get(key);
    if (found !== undefined) return { buffers: found, filled: true };
    packs.set(key, wanted.map(({ bytes, label }) => device.createBuffer({ bytes, label })));
    return { buffers: packs.get(key)!, filled: false };
  };
  const product = async (M: number, of: Tensor, options: MatmulOptions) => {
    const tensors = { a: tensor(`a${M}`, [M, K]), b: of, c: Tensor.empty(device, [M, N]) };
    const plan = await planMatmul(device, tensors, { mode: "split", hardware: false, invariant: true, ...options });
    await runPlans(device, "matmul", [plan]);
    const result = { c: await tensors.c.read(), dispatches: plan.dispatches.length };
    plan.release();
    tensors.a.destroy();
    tensors.c.destroy();
    return result;
  };
  const own = [await product(20, b, {}), await product(7, b, {})];
  const together = [await product(20, b, { shared: { b: shared } }), await product(7, b, { shared: { b: shared } })];
  assertEquals(together.map(({ c }) => c), own.map(({ c }) => c));
  assertEquals(together.map(({ dispatches }) => dispatches), [own[0]!.dispatches, own[1]!.dispatches - 1]);
  assertEquals(packs.size, 1);
  // Another order, or other chunks, are packed anew.
  await product(7, b, { shared: { b: shared }, chunk: 16 });
  assertEquals(packs.size, 2);
  assertEquals((await product(7, other, { shared: { b: shared } })).c, own[1]!.c);
  packs.forEach((buffers) => buffers.forEach((buffer) => buffer.destroy()));
  [b, other].forEach((tensor) => tensor.destroy());
});

test("products by tiles, on matrix units, are within the bound of f64", { skip: !hardware }, () => {
  return judge(gpu!, casesOf("hardware"));
});

gpuTest("an empty sum is zero, the bias, or leaves what was there; an empty result runs nothing", async (device) => {
  for (const accumulate of [false, true]) {
    const { entries } = await run(device, { M: 3, N: 5, K: 0, options: { accumulate } });
    assert(entries.every(({ got, truth }) => got === truth));
  }
  const { entries } = await run(device, { M: 3, N: 5, K: 0, bias: true });
  assert(entries.every(({ got, bias }) => got === bias[0]));
  const { plan } = await run(device, { M: 0, N: 5, K: 3 });
  assertEquals(plan.dispatches.length, 0);
});

gpuTest("buffers of a plan are freed, also when it is refused", async (device) => {
  const before = device.bytes.live;
  await run(device, { M: 40, N: 3, K: 20, options: { mode: "split", parts: 2, chunk: 16 } });
  assertEquals(device.bytes.live, before);
});

gpuTest("shapes and options that do not fit are refused", async (device) => {
  const tensor = (...shape: number[]): Tensor => Tensor.empty(device, shape);
  const [a, b, c, row] = [tensor(2, 3, 4), tensor(2, 4, 5), tensor(2, 3, 5), tensor(5)];
  const halves = Tensor.empty(device, [5], { dtype: "f16" });
  const refused = (
    tensors: Parameters<typeof planMatmul>[1],
    options: MatmulOptions,
    words: string,
  ): Promise<unknown> => assertRejects(() => planMatmul(device, tensors, options), InputError, words);
  await refused({ a, b, c }, { transposeA: true }, "b must be");
  await refused({ a, b: c, c: b }, {}, "b must be");
  await refused({ a, b, c: a }, {}, "c must be");
  await refused({ a, b, c, bias: row }, { accumulate: true }, "a bias must");
  await refused({ a, b, c, bias: tensor(4) }, {}, "bias must be");
  await refused({ a, b, c, bias: halves }, {}, "bias must be f32");
  await refused({ a: tensor(3), b, c }, {}, "at least 2 axes");
  await refused({ a, b, c }, { parts: 0 }, "parts must be");
  await refused({ a, b, c }, { blockRows: 13 }, "blockRows must be");
  await refused({ a, b, c }, { mode: "split", chunk: 8 }, "chunk must be");
  await refused({ a, b, c }, { mode: "split", rows: 0.5 }, "rows must be");
  await refused({ a, b, c }, { blockRows: 4096, blockColumns: 4096 }, "the device allows");
  [a, b, c, row, halves].forEach((tensor) => tensor.destroy());
});

/** A device with matrix units that takes down the kernels it is given. */
function recorder(): { readonly device: Gpu; readonly codes: string[] } {
  const codes: string[] = [];
  const device = {
    features: new Set(["subgroups", "shader-f16", "chromium-experimental-subgroup-matrix"]),
    subgroups: { min: 32, max: 32 },
    limits: { maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 1024 },
    adapter: { software: false },
    createBuffer: ({ bytes }: { bytes: number }) => ({ size: bytes, destroy() {} }),
    upload: ({ byteLength }: Uint32Array) => ({ size: byteLength, destroy() {} }),
    compile: ({ code }: { code: string }) => Promise.resolve(codes.push(code)),
  };
  return { device: device as unknown as Gpu, codes };
}

function planned(
  device: Gpu,
  { batch = [], M, N, K, shared = false, bias = false, types = floats, options = {} }: Case,
): Promise<MatmulPlan> {
  const of = (shape: readonly number[], dtype: DType): Tensor => Tensor.empty(device, shape, { dtype });
  return planMatmul(device, {
    a: of([...batch, ...(options.transposeA ? [K, M] : [M, K])], types[0]),
    b: of([...(shared ? [] : batch), ...(options.transposeB ? [N, K] : [K, N])], types[1]),
    c: of([...batch, M, N], types[2]),
    ...(bias && { bias: of([N], "f32") }),
  }, options);
}

test("small products are plain f32 unless a mode is given; where rows must not depend on each other their number has no say", async () => {
  const chosen = async (M: number, K: number, N: number, options: MatmulOptions = {}, batch: number[] = []) => {
    const { mode, hardware, parts, dispatches } = await planned(recorder().device, { M, K, N, batch, options });
    assertEquals(hardware, mode !== "f32");
    return `${mode}, ${parts}, ${dispatches.length}`;
  };
  assertEquals(await chosen(64, 256, 256), "f32, 1, 1");
  assertEquals(await chosen(64, 256, 256, { mode: "split" }), "split, 1, 3");
  assertEquals(await chosen(64, 256, 256, { hardware: true }), "split, 1, 3");
  assertEquals(await chosen(512, 256, 256, {}, [64]), "split, 1, 3");
  // What was the faster on an H200.
  assertEquals(await chosen(8192, 256, 1024), "split, 1, 3");
  assertEquals(await chosen(8192, 1024, 256, { transposeB: true }), "split, 4, 4");
  assertEquals(await chosen(256, 8192, 1024, { transposeA: true }), "split, 32, 4");
  assertEquals(await chosen(256, 8192, 256, { transposeA: true }), "split, 32, 4");
  assertEquals(await chosen(8192, 256, 256), "f32, 1, 1");
  assertEquals(await chosen(1024, 256, 1024), "f32, 1, 1");
  const invariant = true;
  for (const M of [1, 64, 65536]) {
    assertEquals(await chosen(M, 256, 256, { invariant }), "f32, 1, 1", `${M} rows`);
    // Few rows are not packed.
    assertEquals(await chosen(M, 4096, 64, { invariant }), M > 1024 ? "split, 16, 4" : "split, 16, 3", `${M} rows`);
    assertEquals(
      await chosen(M, 4096, 64, { invariant, mode: "f16" }),
      M > 1024 ? "f16, 1, 4" : "f16, 1, 2",
      `${M} rows`,
    );
  }
  // Where they may depend on each other, sums are cut.
  assertEquals(await chosen(1, 4096, 64), "f32, 8, 2");
  assertEquals(await chosen(64, 65536, 64, { mode: "split" }), "split, 256, 4");
  assertEquals(await chosen(64, 65536, 64, { mode: "f16" }), "f16, 64, 4");
  // Blocks that would be mostly empty.
  assertEquals(await chosen(65536, 4096, 8), "f32, 1, 1");
  assertEquals(await chosen(65536, 4096, 8, { invariant }), "f32, 4, 2");
  assertEquals(await chosen(8, 4096, 65536), "f32, 1, 1");
  // More partial sums than scratch memory should hold are added up in turns.
  assertEquals(await chosen(8192, 4096, 8192), "split, 16, 34");
});

test("sums are cut, and the next tiles read ahead, where workgroups are few; where told to, they are not", async () => {
  const words = async (M: number, K: number, N: number, options: MatmulOptions = {}): Promise<string> => {
    const { variant } = await planned(recorder().device, {
      M,
      K,
      N,
      options: { mode: "split", chunk: 1024, ...options },
    });
    return variant.slice(variant.indexOf(", ") + 2);
  };
  const [large, small] = ["128x128x16 by 2x2", "64x64x32 by 2x2"];
  assertEquals(await words(1024, 256, 1024), `${small}, read ahead, chunk 256, 1 part`);
  assertEquals(await words(1024, 256, 1024, { ahead: false }), `${small}, chunk 256, 1 part`);
  assertEquals(await words(768, 512, 768, { transposeA: true }), `${large}, chunk 128, 4 parts`);
  assertEquals(await words(512, 768, 3072), `${large}, chunk 384, 2 parts`);
  assertEquals(await words(512, 768, 3072, { parts: 1, ahead: true }), `${large}, read ahead, chunk 768, 1 part`);
  assertEquals(await words(4096, 1024, 4096), `${large}, chunk 1024, 1 part`);
  for (const M of [1, 64, 512, 8192]) {
    const { parts } = await planned(recorder().device, {
      M,
      K: 768,
      N: 768,
      options: { chunk: 1024, invariant: true },
    });
    assertEquals(parts, 1);
  }
});

test("few rows are taken as they lie, in the chunks of those that are packed", async () => {
  for (const [K, chunk] of [[768, 1024], [3072, 1024], [1088, 1024], [192, 64], [272, 256]] as const) {
    const plans = await Promise.all(
      [1, 16, 17, 256, 257, 8192].map((M) =>
        planned(recorder().device, { M, K, N: 1024, options: { mode: "split", chunk, invariant: true } })
      ),
    );
    const whole = K % 64 === 0 && Math.ceil(K / Math.ceil(K / chunk) / 32) % 2 === 0;
    assertEquals(
      plans.map(({ variant }) => variant.includes("as they lie")),
      [whole, whole, whole, whole, false, false],
      `${K}`,
    );
    for (const { chunk, parts, scaled } of plans) {
      assertEquals([chunk, parts, scaled], [plans[0]!.chunk, plans[0]!.parts, { a: 1, b: 16 }]);
    }
  }
  // Partial sums beyond what scratch memory should hold are added up in turns, which takes packed rows.
  const many = { M: 256, K: 65536, N: 16384, options: { mode: "split", chunk: 64, invariant: true } } as const;
  assert(!(await planned(recorder().device, many)).variant.includes("as they lie"));
});

test("plain products fit a device of 16 KB of workgroup memory, in the parts that they have elsewhere", async () => {
  const { device } = recorder();
  const little = { ...device, limits: { ...device.limits, maxComputeWorkgroupStorageSize: 16384 } } as Gpu;
  for (const invariant of [false, true]) {
    const of = { M: 64, K: 768, N: 768, options: { mode: "f32", invariant } } as const;
    const [here, there] = [await planned(device, of), await planned(little, of)];
    assert(!there.variant.includes("together"), there.variant);
    if (invariant) assertEquals(there.parts, here.parts);
  }
});

test("where rows must not depend on each other their number does not say where sums are cut", async () => {
  const cut = async (M: number, K: number, options: MatmulOptions): Promise<string> => {
    const { mode, chunk, parts } = await planned(recorder().device, { M, K, N: 1024, options });
    return `${mode}, ${parts} of ${chunk}`;
  };
  let depends = 0;
  for (const [K, chunk] of [[272, 256], [352, 256], [1056, 1024], [1100, 1024], [3000, 1024], [5000, 1024]] as const) {
    for (const mode of ["split", "f16"] as const) {
      const options = { mode, chunk, invariant: true } as const;
      const few = await cut(1, K, options);
      for (const M of [40, 200, 4096]) assertEquals(await cut(M, K, options), few, `${K}`);
      const free = { ...options, invariant: false };
      if (await cut(1, K, free) !== await cut(4096, K, free)) depends++;
    }
  }
  assert(depends > 0, "the control: else their number may");
});

gpuTest("partial sums in turns have the bits of all at once, and halves are rounded once", async (device) => {
  const tiling = {
    mode: "split",
    hardware: false,
    chunk: 32,
    rows: 1,
    columns: 2,
    down: 1,
    across: 1,
    unroll: 2,
  } as const;
  const size = { M: 20, N: 40, K: 160 };
  const bits = async (of: Case): Promise<number[]> => (await run(device, of)).entries.map(({ got }) => got);
  for (const more of [{ bias: true }, { options: { invariant: true } }] as const) {
    const of: Case = { ...size, ...more, options: { ...tiling, ..."options" in more ? more.options : {} } };
    const turns = { ...of, options: { ...of.options, partialBytes: 2 ** 14 } };
    const { plan } = await run(device, turns);
    // Two packed operands, then products and sums by turns.
    assert(plan.parts === 5 && plan.dispatches.length > 4, plan.variant);
    assertEquals(await bits(turns), await bits(of));
  }
  const options = { ...tiling, partialBytes: 2 ** 14 };
  const added: Case = { ...size, options: { ...options, accumulate: true } };
  const rounded: Case = { ...size, types: ["f16", "f16", "f16"], options: { ...options, transposeB: true } };
  await judge(device, [added, rounded]);
});

test("products of other sizes are computed by the same texts", async () => {
  const sizes = [
    { M: 256, N: 192, K: 512 },
    { M: 320, N: 448, K: 384, batch: [2], shared: true },
    { M: 64, N: 1088, K: 320, batch: [3] },
  ];
  const halves: Case["types"] = ["f16", "f16", "f32"];
  const variants: readonly Pick<Case, "options" | "types" | "bias">[] = [
    ...[{}, { transposeA: true, accumulate: true }, { transposeB: true, parts: 2 }].flatMap((more) => [
      ...[{ together: false }, { together: true, parts: 3 }].map((summing) => ({
        options: {
          ...{ parts: 1, ...more, mode: "f32" as const, ...summing },
          ...{ each: 4, blockRows: 16, blockColumns: 16, blockTerms: 8 },
        },
      })),
      ...(["split", "f16"] as const).map((mode) => ({
        options: { ...more, mode, rows: 2, columns: 2, down: 1, across: 1, unroll: 2, chunk: 32 },
      })),
    ]),
    ...[{}, { ahead: true }].map((reading) => {
      const tiling = { rows: 1, columns: 1, down: 1, across: 1, unroll: 2, parts: 1, ahead: false, ...reading };
      return { options: { ...tiling, mode: "f16" as const }, types: halves };
    }),
    ...(["f32", "split"] as const).map((mode) => ({
      options: { mode, ...(mode === "f32" && { parts: 1 }) },
      bias: true,
    })),
  ];
  const textsOf = async (
    variant: Pick<Case, "options" | "types" | "bias">,
    size: typeof sizes[number],
  ): Promise<Set<string>> => {
    const { device, codes } = recorder();
    await planned(device, { ...size, ...variant });
    return new Set(codes);
  };
  const all = new Set<string>();
  for (const variant of variants) {
    const [first, ...others] = await Promise.all(sizes.map((size) => textsOf(variant, size)));
    for (const other of others) assertEquals([...other].sort(), [...first!].sort(), JSON.stringify(variant));
    first!.forEach((text) => all.add(text));
    // A width of whole vectors and another are not.
    const other = await textsOf(variant, { M: 255, N: 193, K: 511 });
    assert([...other].some((text) => !first!.has(text)), JSON.stringify(variant));
  }
  assert(all.size > variants.length);
});

test("the compiler accepts products by matrix units", { skip: validator === null }, async () => {
  const { device, codes } = recorder();
  const plans: MatmulPlan[] = [];
  for (const of of casesOf("hardware")) plans.push(await planned(device, of));
  assert(plans.every(({ hardware }) => hardware));
  for (const code of codes) assertEquals(await validator!.error(code), undefined, code);
});
