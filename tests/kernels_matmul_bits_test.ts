/** Ways to compute a matrix product that must give the same bits, with controls that do not. */
import { after, test } from "node:test";
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import type { Gpu } from "../kernels/gpu.ts";
import { type MatmulOptions, planMatmul, type Shared } from "../kernels/matmul.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { InputError } from "../models/error.ts";
import { gpuForTests } from "./gpu.ts";
import { block, type Case, judge, looped, loopedTiling, numbers, run } from "./matmul_cases.ts";
import { withMatrixLoops } from "./matrix_loops.ts";

const gpu = await gpuForTests("bits of matrix products");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

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
    // The largest number of a row is looked for in three turns of several steps, the last of fewer.
    { M: 5, N: 16, K: 704, options: { mode: "f16" } },
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
