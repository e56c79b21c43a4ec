/** The gradient of a table by ids: every row the sum of what its tokens got, in the order of the tokens, over several blocks of them. */
import { after, test } from "node:test";
import { assertEquals, assertNotEquals } from "@std/assert";
import { GpuOps } from "../kernels/nn/gpu_ops.ts";
import { Ids } from "../kernels/nn/ids.ts";
import { Program } from "../kernels/nn/program.ts";
import { Value } from "../kernels/nn/value.ts";
import { seeded } from "../models/random.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("the gradient of a table");
after(() => gpu?.close());

const [rows, width] = [7, 3];

/** As the kernel adds: four sums, of every fourth token of a row each, then those. */
function expected(ids: readonly number[], g: Float32Array, ordered: (tokens: number[]) => number[]): number[] {
  return Array.from({ length: rows * width }, (_, at) => {
    const [row, column] = [Math.floor(at / width), at % width];
    const tokens = ordered(ids.flatMap((id, token) => id === row ? [token] : []));
    const parts = [0, 1, 2, 3].map((lane) =>
      tokens.filter((_, n) => n % 4 === lane).reduce((sum, token) => Math.fround(sum + g[token * width + column]!), 0)
    );
    return Math.fround(Math.fround(parts[0]! + parts[1]!) + Math.fround(parts[2]! + parts[3]!));
  });
}

for (const count of [1, 255, 256, 257, 700]) {
  test(`a table's gradient adds ${count} tokens in their order, bit for bit`, { skip: gpu === null }, async () => {
    const random = seeded("embedding", count);
    // Few ids, so that equal ones lie in all blocks; one row has none.
    const ids = Array.from({ length: count }, () => Math.floor(random() * (rows - 1)));
    const g = Float32Array.from({ length: count * width }, () => random() - 0.5);
    const table = Value.from(gpu!, new Float32Array(rows * width), [rows, width], true);
    const program = new Program(gpu!, "embedding");
    const ops = new GpuOps(program, { training: true });
    const y = ops.embedding(table, Ids.from(gpu!, ids, [count]));
    ops.backward(y, Value.from(gpu!, g, [count, width]));
    program.keep(ops.gradient(table)!);
    await program.run();
    const got = [...await program.tensor(ops.gradient(table)!).read()];
    assertEquals(got, expected(ids, g, (tokens) => tokens));
    if (count > 256) assertNotEquals(got, expected(ids, g, (tokens) => tokens.toReversed()));
    program.close();
  });
}
