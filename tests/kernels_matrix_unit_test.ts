/** Products of tiles against f64, entry by entry within the derived bound; planted faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { fromHalfBits, toHalfBits } from "../kernels/half.ts";
import { matrixError, type MatrixMode, type MatrixUnit, matrixUnit, productBound } from "../kernels/matrix_unit.ts";
import { hardwareUnit, withoutHardware } from "../kernels/_matrix_hardware.ts";
import type { Dispatch, Gpu } from "../kernels/gpu.ts";
import { InputError } from "../models/error.ts";
import { seeded } from "../models/random.ts";
import { POISON32 } from "../oracle/ulp.ts";
import { gpuForTests } from "./gpu.ts";
import { wgslValidator } from "./wgsl_validator.ts";

const gpu = await gpuForTests("products of tiles against f64");
const validator = await wgslValidator("the compiler on the WGSL of matrix units");
after(async () => {
  validator?.close();
  await gpu?.close();
});

function gpuTest(name: string, body: (device: NonNullable<typeof gpu>) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

const hardware = gpu !== null && withoutHardware(gpu) === undefined;
const units = (): MatrixUnit[] => {
  const modes: readonly MatrixMode[] = ["f32", "f16", "split"];
  const all = modes.map((mode) => matrixUnit(gpu!, { mode, hardware: false }));
  return hardware ? [...all, ...(["f16", "split"] as const).map((mode) => matrixUnit(gpu!, { mode }))] : all;
};

interface Case {
  readonly rows: number;
  readonly columns: number;
  readonly inner: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly transposeC: boolean;
}

const cases: readonly Case[] = [
  { rows: 1, columns: 1, inner: 1, transposeA: false, transposeB: false, transposeC: false },
  { rows: 2, columns: 1, inner: 3, transposeA: true, transposeB: false, transposeC: false },
  { rows: 1, columns: 3, inner: 2, transposeA: false, transposeB: true, transposeC: true },
  { rows: 2, columns: 2, inner: 4, transposeA: true, transposeB: true, transposeC: false },
];

/** Beyond what hardware writes out: a loop. Such blocks take software adapters seconds to compile. */
const large: readonly Case[] = [
  { rows: 3, columns: 4, inner: 3, transposeA: false, transposeB: false, transposeC: true },
  { rows: 3, columns: 4, inner: 3, transposeA: true, transposeB: true, transposeC: false },
];

/** Loops treat transposes alike in every mode. */
function casesOf(unit: MatrixUnit): readonly Case[] {
  if (unit.hardware) return [...cases, ...large];
  return unit.mode === "f32" ? cases : cases.slice(1, 3);
}

/** Groups of a workgroup, each with tiles of A of its own: two where workgroup memory allows. */
const groupsOf = ({ rows, columns }: Case): number => rows * columns <= 3 ? 2 : 1;

/** C += A·B in storage, D = A·B by way of workgroup memory; padded rows and offset starts. */
function kernel(unit: MatrixUnit, shape: Case): string {
  const { rows, columns, inner, transposeA, transposeB, transposeC } = shape;
  const [M, N, K] = [16 * rows, 16 * columns, 16 * inner];
  const strideA = (transposeA ? M : K) + 8, strideB = (transposeB ? K : N) + 8;
  const countA = (transposeA ? K : M) * strideA, countB = (transposeB ? N : K) * strideB;
  const a = { name: "a", at: `group * ${countA}u`, stride: strideA, transposed: transposeA };
  const b = { name: "b", at: "8u", stride: strideB, transposed: transposeB };
  const c = { array: "C", at: `group * ${M * N}u`, stride: transposeC ? M : N, transposed: transposeC };
  const groups = groupsOf(shape);
  const threads = groups * unit.lanes;
  const staged = groups === 2;
  return /* wgsl */ `${unit.prelude}
@group(0) @binding(0) var<storage, read> A: array<f32>;
@group(0) @binding(1) var<storage, read> B: array<f32>;
@group(0) @binding(2) var<storage, read_write> C: array<f32>;
@group(0) @binding(3) var<storage, read_write> D: array<f32>;
${unit.functions}
${unit.declare("a", groups * countA)}
${unit.declare("b", countB + 8)}
${staged ? `var<workgroup> sums: array<f32, ${groups * M * N}>;` : ""}

@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) lid: u32) {
  let group = lid / ${unit.lanes}u;
  for (var i = lid; i < ${groups * M * K}u; i += ${threads}u) {
    let row = i / ${K}u;
    let to = row / ${M}u * ${countA}u + ${
    transposeA ? `i % ${K}u * ${strideA}u + row % ${M}u` : `row % ${M}u * ${strideA}u + i % ${K}u`
  };
    ${unit.put("a", "to", "A[i]")}
  }
  for (var i = lid; i < ${K * N}u; i += ${threads}u) {
    ${
    unit.put(
      "b",
      `8u + ${transposeB ? `i % ${N}u * ${strideB}u + i / ${N}u` : `i / ${N}u * ${strideB}u + i % ${N}u`}`,
      "B[i]",
    )
  }
  }
  workgroupBarrier();
  ${unit.accumulators("c", rows, columns)}
  ${unit.load("c", rows, columns, c)}
  ${unit.product({ into: "c", rows, columns, inner, a, b })}
  ${unit.store("c", rows, columns, c)}
  ${unit.accumulators("d", rows, columns)}
  ${unit.product({ into: "d", rows, columns, inner, a, b })}
  ${unit.store("d", rows, columns, { ...c, array: staged ? "sums" : "D" })}
  workgroupBarrier();
  ${staged ? `for (var i = lid; i < ${groups * M * N}u; i += ${threads}u) { D[i] = sums[i]; }` : ""}
}
`;
}

const spread = (words: string, count: number): Float32Array => {
  const random = seeded("tiles", words);
  // Magnitudes from 2^−24 up to 2^15: down to where both halves end.
  return Float32Array.from({ length: count }, () => (random() < 0.5 ? -1 : 1) * 2 ** (15 - 6 * random() ** 4 * 6.5));
};

interface Entry {
  readonly got: number;
  readonly truth: number;
  readonly bound: number;
}

async function run(
  device: NonNullable<typeof gpu>,
  unit: MatrixUnit,
  shape: Case,
): Promise<{ bad: string | undefined; entries: Entry[] }> {
  const [M, N, K] = [16 * shape.rows, 16 * shape.columns, 16 * shape.inner];
  const groups = groupsOf(shape);
  const name = JSON.stringify(shape);
  const [a, b, c] = [spread(`a${name}`, groups * M * K), spread(`b${name}`, K * N), spread(`c${name}`, groups * M * N)];
  const pipeline = await device.compile({ label: unit.key, code: kernel(unit, shape) });
  const buffers = [a, b, c, new Float32Array(groups * M * N).fill(POISON32)].map((data) => device.upload(data));
  const dispatch: Dispatch = { pipeline, buffers, workgroups: 1 };
  await device.run(unit.key, [dispatch]);
  const [gotC, gotD] = await Promise.all([
    device.read(buffers[2]!, Float32Array),
    device.read(buffers[3]!, Float32Array),
  ]);
  buffers.forEach((buffer) => buffer.destroy());
  const error = matrixError(unit.mode, unit.hardware);
  const entries: Entry[] = [];
  let bad: string | undefined;
  for (let row = 0; row < groups * M; row++) {
    const group = Math.floor(row / M);
    const x = a.subarray(row * K, (row + 1) * K);
    for (let j = 0; j < N; j++) {
      const y = Float64Array.from({ length: K }, (_, k) => b[k * N + j]!);
      const sum = x.reduce((sum, value, k) => sum + value * y[k]!, 0);
      const at = group * M * N + (shape.transposeC ? j * M + row % M : row % M * N + j);
      for (const [got, initial] of [[gotC[at]!, c[at]!], [gotD[at]!, 0]] as const) {
        const truth = initial + sum;
        const bound = productBound(error, x, y, { initial });
        entries.push({ got, truth, bound });
        if (!(Math.abs(got - truth) <= bound)) {
          bad ??= `${unit.key} ${name} (${row}, ${j}): got ${got}, truth ${truth}, bound ${bound}`;
        }
      }
    }
  }
  return { bad, entries };
}

gpuTest("products of tiles are within the derived bound of f64 in every mode, transposed or not", async (device) => {
  for (const unit of units()) {
    for (const shape of casesOf(unit)) {
      const { bad, entries } = await run(device, unit, shape);
      assertEquals(bad, undefined);
      // A fault of 2^−10 would be seen in some entry, unless the mode's own error is as large.
      const seen = entries.some(({ got, truth, bound }) => Math.abs(got * (1 + 2 ** -10) - truth) > bound);
      assert(seen || unit.mode === "f16", `${unit.key} ${JSON.stringify(shape)}: a relative fault is not seen`);
      assert(entries.some(({ got, truth, bound }) => Math.abs(got * (1 + 2 ** -7) - truth) > bound));
    }
  }
});

gpuTest("a split product is closer than one of halves by 2^8", async (device) => {
  const worst = async (unit: MatrixUnit): Promise<number> => {
    const { entries } = await run(device, unit, cases[1]!);
    return Math.max(...entries.map(({ got, truth }) => Math.abs(got - truth)));
  };
  for (const on of hardware ? [false, true] : [false]) {
    const [half, split] = [
      await worst(matrixUnit(device, { mode: "f16", hardware: on })),
      await worst(matrixUnit(device, { mode: "split", hardware: on })),
    ];
    assert(half > 2 ** 8 * split, `${half} and ${split}`);
  }
});

gpuTest("operands are kept as the nearest halves, ties to even, and as two halves", async (device) => {
  // Every finite half of either sign, what lies midway to the next, and numbers beside.
  const values: number[] = [];
  for (let bits = 0; bits < 0x7bff; bits++) {
    const [low, high] = [fromHalfBits(bits), fromHalfBits(bits + 1)];
    const middle = (low + high) / 2;
    values.push(
      low,
      -low,
      middle,
      -middle,
      Math.fround(middle * (1 + 2 ** -22)),
      Math.fround(low + (high - low) * 0.3),
    );
  }
  const x = Float32Array.from(values);
  for (const unit of units().filter(({ mode }) => mode !== "f32")) {
    const code = /* wgsl */ `${unit.prelude}
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
${unit.functions}
${unit.declare("t", 64)}
@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lid: u32, @builtin(workgroup_id) id: vec3u) {
  let i = id.x * 64u + lid;
  if (i < ${x.length}u) { ${unit.put("t", "lid", "X[i]")} }
  workgroupBarrier();
  // A neighbour's: a compiler may hand on what an invocation stored itself, without its rounding.
  let other = lid ^ 1u;
  if ((i ^ 1u) < ${x.length}u) { Y[i ^ 1u] = ${unit.get("t", "other")}; }
}
`;
    const pipeline = await device.compile({ label: unit.key, code });
    const buffers = [device.upload(x), device.upload(new Float32Array(x.length).fill(POISON32))];
    await device.run(unit.key, [{ pipeline, buffers, workgroups: [Math.ceil(x.length / 64)] }]);
    const y = await device.read(buffers[1]!, Float32Array);
    buffers.forEach((buffer) => buffer.destroy());
    const { operand, floor } = matrixError(unit.mode, unit.hardware);
    for (let i = 0; i < x.length; i++) {
      const half = fromHalfBits(toHalfBits(x[i]!));
      const rest = Math.fround(x[i]! - half);
      const expected = unit.mode === "f16" ? half : half + fromHalfBits(toHalfBits(rest));
      // On hardware the two halves may be split otherwise, ties away from zero.
      const exact = unit.mode === "f16" || !unit.hardware;
      if (exact) assert(y[i] === expected, `${unit.key}: ${x[i]} is kept as ${y[i]}, expected ${expected}`);
      assert(Math.abs(y[i]! - x[i]!) <= Math.max(operand * Math.abs(x[i]!), floor), `${unit.key}: ${x[i]}`);
    }
  }
});

const lanesOf = (lanes: number): Gpu => ({ subgroups: { min: lanes, max: lanes } }) as unknown as Gpu;

test("the compiler accepts the WGSL of matrix units", { skip: validator === null }, async () => {
  for (const mode of ["f16", "split"] as const) {
    const unit = hardwareUnit(lanesOf(32), mode);
    for (const shape of [...cases, ...large]) {
      const code = kernel(unit, shape);
      assertEquals(await validator!.error(code), undefined);
      // With the operands' places exchanged it is not accepted.
      assert(await validator!.error(code.replaceAll("<MatrixLeft,", "<MatrixRight,")) !== undefined);
    }
  }
});

test("matrix units load every fragment once a step and add the smallest products first", () => {
  const product = hardwareUnit(lanesOf(32), "split").product({
    into: "c",
    rows: 2,
    columns: 3,
    inner: 1,
    a: { name: "a", at: "0u", stride: 16 },
    b: { name: "b", at: "0u", stride: 48 },
  });
  const loads = product.match(/let \w+/g) ?? [];
  assertEquals(loads.length, 2 * (2 + 3));
  assertEquals(new Set(loads).size, loads.length);
  const sums = product.matchAll(/Accumulate\(mu_a_(\w\w)_\d, mu_b_(\w\w)_\d, c_\d_\d\)/g);
  const each = (pair: string): string[] => Array.from({ length: 6 }, () => pair);
  assertEquals([...sums].map(([, a, b]) => `${a} ${b}`), [...each("lo hi"), ...each("hi lo"), ...each("hi hi")]);
});

gpuTest(
  "the device decides unless told; matrix units are refused where there are none, and for f32",
  async (device) => {
    const unit = matrixUnit(device);
    assertEquals([unit.mode, unit.hardware], hardware ? ["split", true] : ["f32", false]);
    assertEquals(matrixUnit(device, { mode: "f32" }).hardware, false);
    assertEquals(matrixUnit(device, { mode: "split" }).hardware, hardware);
    assertThrows(() => matrixUnit(device, { mode: "f32", hardware: true }), InputError, "mode must be f16 or split");
    if (!hardware) assertThrows(() => matrixUnit(device, { hardware: true }), InputError, "matrix units: ");
    await device.done();
  },
);
