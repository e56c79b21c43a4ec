/** How a matrix product is computed where nobody says, and the texts of its kernels. */
import { after, test } from "node:test";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { Gpu } from "../kernels/gpu.ts";
import { type MatmulOptions, type MatmulPlan, planMatmul } from "../kernels/matmul.ts";
import { type DType, Tensor } from "../kernels/tensor.ts";
import { type Case, casesOf, floats } from "./matmul_cases.ts";
import { wgslValidator } from "./wgsl_validator.ts";

const validator = await wgslValidator("the compiler on products by matrix units");
after(() => validator?.close());

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
    const parts = Math.ceil(K / chunk);
    // Of 32 rows, 64 columns and one part each: 512 workgroups at most.
    const most = 1024 / 2 ** Math.ceil(Math.log2(parts));
    const plans = await Promise.all(
      [1, 16, 17, most, 1025, 8192].map((M) =>
        planned(recorder().device, { M, K, N: 1024, options: { mode: "split", chunk, invariant: true } })
      ),
    );
    const whole = K % 64 === 0 && Math.ceil(K / parts / 32) % 2 === 0;
    assertEquals(
      plans.map(({ variant }) => variant.includes("as they lie")),
      [whole, whole, whole, whole, false, false],
      `${K}`,
    );
    for (const plan of plans) {
      assertEquals([plan.chunk, plan.parts, plan.scaled], [plans[0]!.chunk, parts, { a: 1, b: 16 }]);
    }
    // Up to one workgroup a multiprocessor they have 16 rows each.
    const rows = plans.slice(0, 4).map(({ variant }) => /as they lie, (\d+)x64/.exec(variant)?.[1]);
    if (whole) assertEquals(rows, ["16", "16", "16", "32"]);
  }
  const variantOf = async (M: number, N: number, options: MatmulOptions = {}): Promise<string> =>
    (await planned(recorder().device, {
      M,
      K: 768,
      N,
      options: { mode: "split", chunk: 1024, invariant: true, ...options },
    }))
      .variant;
  // Up to 16 rows whatever there is of B, and no rows that are not there.
  for (const M of [1, 16]) assertStringIncludes(await variantOf(M, 50257), "as they lie, 16x64");
  assert(!(await variantOf(17, 50257)).includes("as they lie"));
  // Partial sums beyond what scratch memory should hold are added up in turns, which takes packed rows.
  const parts = { chunk: 64, partialBytes: 2 ** 18 };
  assert(!(await variantOf(16, 1024, parts)).includes("as they lie"));
  assertStringIncludes(await variantOf(16, 1024, { chunk: 64 }), "as they lie");
  // A device that has no room for the tiles of packed rows.
  const { device } = recorder();
  const little = { ...device, limits: { ...device.limits, maxComputeWorkgroupStorageSize: 16384 } } as Gpu;
  const wide = { M: 256, K: 768, N: 8192, options: { mode: "split", chunk: 1024, invariant: true } } as const;
  assertStringIncludes((await planned(little, wide)).variant, "as they lie");
  assert(!(await planned(device, wide)).variant.includes("as they lie"));
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
