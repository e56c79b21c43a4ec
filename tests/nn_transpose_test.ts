/** Transposes on the GPU move numbers and round none: bit for bit, and so do their gradients, beside what is there. */
import { after, test } from "node:test";
import { assertEquals, assertNotEquals } from "@std/assert";
import { GpuOps } from "../kernels/nn/gpu_ops.ts";
import { Program } from "../kernels/nn/program.ts";
import { transposeShader } from "../kernels/nn/transpose.ts";
import { Value } from "../kernels/nn/value.ts";
import { seeded } from "../models/random.ts";
import { gpuForTests } from "./gpu.ts";
import { raggedArrays } from "./workgroup_layout.ts";

const gpu = await gpuForTests("transposes");
after(() => gpu?.close());

function transposed(x: Float32Array, n: number, m: number): number[] {
  return Array.from({ length: m * n }, (_, i) => x[i % n * m + Math.floor(i / n)]!);
}

const drawn = (name: string, length: number): Float32Array => {
  const random = seeded("transpose", name, length);
  return Float32Array.from({ length }, () => random() - 0.5);
};

for (const [n, m] of [[1, 1], [1, 70], [31, 33], [64, 32], [65, 100]] as const) {
  test(`a transpose of ${n} × ${m} and its gradient are those numbers`, { skip: gpu === null }, async () => {
    const [data, g] = [drawn("x", n * m), drawn("g", n * m)];
    const program = new Program(gpu!, "transpose");
    const ops = new GpuOps(program, { training: true });
    const x = Value.from(gpu!, data, [n, m], true);
    // Twice, so that the second gradient is added to the first: 2 g, exactly.
    const y = ops.add(ops.transpose(x), ops.transpose(x));
    ops.backward(y, Value.from(gpu!, g, [m, n]));
    program.keep(y.slot);
    program.keep(ops.gradient(x)!);
    await program.run();
    const [got, gradient] = [await program.tensor(y.slot).read(), await program.tensor(ops.gradient(x)!).read()];
    assertEquals(y.shape, [m, n]);
    assertEquals([...got], transposed(data, n, m).map((value) => 2 * value));
    assertEquals([...gradient], transposed(g, m, n).map((value) => 2 * value));
    // The control: numbers left where they were.
    if (Math.min(n, m) > 1) assertNotEquals([...got], [...data].map((value) => 2 * value));
    program.close();
  });
}

test("a tile is whole multiples of 16 bytes", () => {
  assertEquals(raggedArrays(transposeShader.code), []);
});
