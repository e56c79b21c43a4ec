/** Programs replay, reuse memory, and say what they cannot do; dropout's mask is its formula. */
import { after, test } from "node:test";
import { assert, assertEquals, assertLess, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import type { Gpu } from "../kernels/gpu.ts";
import { BufferPool } from "../kernels/nn/buffer_pool.ts";
import { keeps } from "../kernels/nn/dropout.ts";
import { GpuEvaluator } from "../kernels/nn/evaluator.ts";
import { GpuOps } from "../kernels/nn/gpu_ops.ts";
import { type OpenOperand, Operands } from "../kernels/nn/_operands.ts";
import { type Placement, Program } from "../kernels/nn/program.ts";
import { Slot } from "../kernels/nn/slot.ts";
import { Value } from "../kernels/nn/value.ts";
import { planMatmul } from "../kernels/matmul.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { normal } from "../models/domain.ts";
import { InputError } from "../models/error.ts";
import { seeded } from "../models/random.ts";
import { gpuForTests } from "./gpu.ts";
import { withMatrixLoops } from "./matrix_loops.ts";

const gpu = await gpuForTests("programs of recorded operations");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

const drawn = (seed: string, length: number): Float32Array => {
  const random = seeded(5, seed);
  return Float32Array.from({ length }, () => normal(random));
};

gpuTest("a program computes anew from what its inputs hold at each run", async (device) => {
  const x = Value.from(device, [1, 2, 3], [3]);
  const program = new Program(device, "replay");
  const ops = new GpuOps(program);
  const y = ops.add(ops.affine(x, 2), x);
  program.keep(y.slot);
  await program.run();
  const { shape } = y;
  assertEquals(shape, [3]);
  assertEquals([...await program.tensor(y.slot).read()], [3, 6, 9]);
  x.slot.storage.fixed!.write([10, 20, 30]);
  await program.run();
  assertEquals([...await program.tensor(y.slot).read()], [30, 60, 90]);
  assertThrows(() => ops.affine(x, 1), Error, "it is ready to run");
  assertEquals(program.steps, [{ name: "affine", dispatches: 1 }, { name: "add", dispatches: 1 }]);
  if (device.features.has("timestamp-query")) {
    const times = await program.profile();
    assertEquals(times.map(({ name }) => name), ["affine", "add"]);
    assert(times.every(({ milliseconds }) => milliseconds >= 0));
    assertEquals([...await program.tensor(y.slot).read()], [30, 60, 90]);
  }
  program.close();
});

gpuTest("a long program goes off in pieces, its copies before the first and after the last", async (device) => {
  const input = Tensor.from(device, [1], [1]);
  const x = Value.of(Tensor.empty(device, [1]));
  const results: number[] = [];
  for (const links of [0, 1, 7]) {
    const program = new Program(device, "pieces", { piece: 3 });
    const ops = new GpuOps(program);
    let y = x;
    for (let i = 0; i < links; i++) y = ops.affine(y, 2, 1);
    program.keep(y.slot);
    await program.ready();
    const output = Tensor.empty(device, [1]);
    const to = x.slot.storage.fixed!.buffer;
    const before = [{ from: input.buffer, to, bytes: 4 }];
    await program.run({ before, after: [{ from: program.tensor(y.slot).buffer, to: output.buffer, bytes: 4 }] });
    results.push((await output.read())[0]!);
    program.close();
  }
  assertEquals(results, [1, 3, 255]);
});

gpuTest("what nobody reads any more makes room, within a program and between those of a pool", async (device) => {
  const length = 1024;
  const pool = new BufferPool(device);
  const chain = async (links: number): Promise<Program> => {
    const program = new Program(device, "chain", { pool });
    const ops = new GpuOps(program);
    let x = Value.from(device, new Float32Array(length).fill(1), [length]);
    for (let i = 0; i < links; i++) x = ops.affine(x, 1, 1);
    program.keep(x.slot);
    await program.run();
    assertEquals((await program.tensor(x.slot).read())[length - 1], links + 1);
    return program;
  };
  const programs = [await chain(20), await chain(9)];
  assertEquals(pool.bytes, 2 * 4 * length);
  const before = device.bytes.live;
  programs.forEach((program) => program.close());
  pool.destroy();
  assertLess(device.bytes.live, before - 4 * 4 * length + 1);
});

gpuTest("rows that are only joined are not laid out first; those that are read otherwise are", async (device) => {
  const x = Value.from(device, [1, 2, 3, 4, 5, 6], [3, 2]);
  for (const kept of [false, true]) {
    const program = new Program(device, "joined");
    const ops = new GpuOps(program);
    const rows = ops.take([x], [{ source: 0, from: 2, count: 1 }, { source: 0, from: 0, count: 1 }]);
    const y = ops.concat([rows, ops.take([x], [{ source: 0, from: 1, count: 2 }])], 1);
    program.keep(y.slot);
    if (kept) program.keep(rows.slot);
    await program.run();
    assertEquals(program.steps.map(({ name }) => name), kept ? ["take", "concat"] : ["concat"]);
    assertEquals([...await program.tensor(y.slot).read()], [5, 6, 3, 4, 1, 2, 5, 6]);
    if (kept) assertEquals([...await program.tensor(rows.slot).read()], [5, 6, 1, 2]);
    program.close();
  }
  // And what was joined is there by itself.
  const program = new Program(device, "parted");
  const ops = new GpuOps(program);
  const both = ops.concat([x, x], 1);
  assertEquals([[0, 2], [2, 4], [1, 3]].map(([from, to]) => ops.slice(both, 1, from!, to!) === x), [true, true, false]);
  program.close();
});

gpuTest("a plan's error rejects ready and run", async (device) => {
  const program = new Program(device, "broken");
  const y = program.slot([2]);
  program.step("broken", [], [y], () => Promise.reject(new InputError("Cannot plan: broken")));
  await assertRejects(() => program.run(), InputError, "Cannot plan: broken");
  program.close();
});

gpuTest(
  "dropout keeps what its hash says, at every step anew, and scales it; its gradient has the same mask",
  async (device) => {
    const length = 4096;
    const rate = 0.25;
    const x = Value.from(device, new Float32Array(length).fill(1), [length], true);
    const program = new Program(device, "dropout");
    const ops = new GpuOps(program, { training: true });
    const once = ops.dropout(x, rate);
    const y = ops.dropout(once, rate);
    program.keep(once.slot);
    program.keep(y.slot);
    ops.backward(y, Value.from(device, new Float32Array(length).fill(1), [length]));
    program.keep(ops.gradient(x)!);
    const kept = (step: number, site: number): boolean[] =>
      Array.from({ length }, (_, index) => keeps({ seed: 7, step, site, index, rate }));
    const factor = Math.fround(1 / (1 - rate));
    for (const step of [0, 1]) {
      program.setKnobs({ step, seed: 7, rate: 0 });
      await program.run();
      const [first, second] = [kept(step, 0), kept(step, 1)];
      assertEquals([...await program.tensor(once.slot).read()], first.map((is) => is ? factor : 0));
      const both = first.map((is, i) => is && second[i] ? Math.fround(factor * factor) : 0);
      assertEquals([...await program.tensor(y.slot).read()], both);
      assertEquals([...await program.tensor(ops.gradient(x)!).read()], both);
      // Binomial: six standard deviations, and so of the product of two sites.
      const within = (count: number, p: number): void => {
        assertLess(Math.abs(count - length * p), 6 * Math.sqrt(length * p * (1 - p)));
      };
      within(first.filter(Boolean).length, 1 - rate);
      within(both.filter((value) => value > 0).length, (1 - rate) ** 2);
      const other = kept(1 - step, 0);
      within(first.filter((is, i) => is === other[i]).length, rate ** 2 + (1 - rate) ** 2);
    }
    assertEquals(new GpuOps(new Program(device, "predict")).dropout(x, rate), x);
    program.close();
  },
);

/** The device, but that it is told from hardware by nothing. */
function asHardware(device: Gpu): Gpu {
  return new Proxy(device, {
    get(target, key) {
      if (key === "adapter") return { ...target.adapter, software: false };
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

gpuTest("several entries of an invocation, as on hardware, are those of one alone, bit for bit", async (device) => {
  for (const length of [1, 63, 64, 65, 257, 1000]) {
    const results: number[][] = [];
    for (const gpu of [device, asHardware(device)]) {
      const program = new Program(gpu, "entries");
      const ops = new GpuOps(program, { training: true });
      const x = Value.from(device, drawn("x", length), [length], true);
      const y = Value.from(device, drawn("y", length), [length], true);
      const sum = ops.add(ops.map("gelu", ops.mul(x, y)), ops.dropout(x, 0.25));
      ops.backward(sum, Value.from(device, drawn("g", length), [length]));
      const kept = [sum.slot, ops.gradient(x)!, ops.gradient(y)!];
      kept.forEach((slot) => program.keep(slot));
      program.setKnobs({ step: 1, seed: 7, rate: 0 });
      await program.run();
      const all: number[] = [];
      for (const slot of kept) all.push(...await program.tensor(slot).read());
      results.push(all);
      program.close();
    }
    const [one, several] = results as [number[], number[]];
    assertEquals(several, one, `${length}`);
    assert(length === 1 || new Set(one).size > length, `${length}: no entry is 0 or another's by mistake`);
  }
});

/** Rows 0 … count − 1 of each result, for products of some modes and tilings, and a small network. */
gpuTest("a row has the same bits whatever the other rows are, and however many", async (device) => {
  const [K, N, most] = [70, 36, 33];
  // Of sizes so far apart that one that takes its neighbours' scale loses bits.
  const rows = drawn("rows", most * K).map((x, i) => x * 2 ** (Math.floor(i / K) % 5 * 9 - 18));
  const weights = Tensor.from(device, drawn("weights", K * N), [K, N]);
  const small = { each: 4, blockRows: 16, blockColumns: 8, blockTerms: 4 } as const;
  // Imitations of matrix units take seconds to compile: the smallest tiling, two numbers of rows.
  const unit = { hardware: false, rows: 1, columns: 1, down: 1, across: 1, unroll: 1 } as const;
  const variants = [
    { mode: "f32", counts: [1, 2, most] },
    { mode: "f32", counts: [most], ...small },
    { mode: "split", counts: [1, most], invariant: true, ...unit },
    { mode: "f16", counts: [1, most], invariant: true, ...unit },
    // The control: rows that share scales.
    { mode: "f16", counts: [1, most], invariant: false, ...unit },
  ] as const;
  const results = new Map<string, Float32Array>();
  for (const M of [1, 2, most]) {
    const a = Tensor.from(device, rows.subarray(0, M * K), [M, K]);
    const here = variants.filter(({ counts }) => (counts as readonly number[]).includes(M));
    const outputs = here.map(() => Tensor.empty(device, [M, N]));
    const plans = await Promise.all(
      here.map(({ counts: _, ...variant }, i) =>
        planMatmul(device, { a, b: weights, c: outputs[i]! }, { ...variant, parts: 1 })
      ),
    );
    await runPlans(device, "products", plans);
    for (const [i, variant] of here.entries()) {
      // Tilings of plain f32 agree with each other as well.
      const alike = !("invariant" in variant) || variant.invariant;
      const key = `${variant.mode}${alike ? "" : ", together"}`;
      const got = await outputs[i]!.read();
      const known = results.get(key);
      if (known === undefined) results.set(key, got.slice(0, N));
      else if (alike) assertEquals([...got.subarray(0, N)], [...known], `${key}, ${M} rows`);
      else assertNotEquals([...got.subarray(0, N)], [...known]);
    }
    plans.forEach((plan) => plan.release());
  }
});

gpuTest("an evaluator's row has the same bits alone and among others; it replays, copies and frees", async (device) => {
  const d = 12;
  const evaluator = new GpuEvaluator(device);
  const w = evaluator.values(drawn("w", d * d), [d, d]);
  const gain = evaluator.values(drawn("gain", d), [d]);
  const rows = drawn("x", 33 * d);
  const run = async (x: Value): Promise<Value> => {
    const [y] = await evaluator.call(`block ${x.shape}`, [x], [], (ops, [x]) => [
      ops.layerNorm(ops.add(ops.map("gelu", ops.linear(x!, w)), x!), gain, gain),
    ]);
    return y!;
  };
  const all = evaluator.values(rows, [33, d]);
  const [many] = [await evaluator.read(await run(all))];
  for (const row of [0, 7]) {
    const x = evaluator.values(rows.subarray(row * d, row * d + d), [1, d]);
    const live = evaluator.liveBytes;
    const y = await run(x);
    assertEquals([...await evaluator.read(y)], [...many!.subarray(row * d, row * d + d)]);
    assertEquals([...await evaluator.read(x)], [...rows.subarray(row * d, row * d + d)]);
    evaluator.free(y);
    assertEquals(evaluator.liveBytes, live);
    assertThrows(() => evaluator.free(y), InputError);
  }
  await assertRejects(() => evaluator.call("block 33,12", [w], [], () => []), InputError, "it was recorded for");
  const before = device.bytes.live;
  evaluator.close();
  assert(device.bytes.live < before);
});

gpuTest("a lasting buffer is nobody else's until it is released", async (device) => {
  const program = new Program(device, "lasting");
  const buffers: GPUBuffer[] = [];
  const slots = Array.from({ length: 4 }, () => program.slot([1]));
  const step = (n: number, prepare: (at: Placement) => GPUBuffer): void =>
    program.step(`step ${n}`, [], [slots[n]!], (at) => {
      buffers.push(prepare(at));
      return { dispatches: [] };
    });
  step(0, (at) => at.lasting(4096));
  step(1, (at) => at.scratch(4096));
  step(2, (at) => {
    at.release(buffers[0]!);
    return at.scratch(4096);
  });
  step(3, (at) => at.scratch(4096));
  slots.forEach((slot) => program.keep(slot));
  await program.ready();
  const [lasting, between, releasing, behind] = buffers;
  assert(lasting !== between && lasting !== releasing);
  assertEquals(behind, lasting);
  program.close();
});

test("operands are packed by the first product that reads them, and kept to the last", () => {
  const operands = new Operands();
  const [array, alone] = [
    new Slot({ length: 4, fixed: undefined }, [4]),
    new Slot({ length: 4, fixed: undefined }, [4]),
  ];
  const log: string[] = [];
  const at = {
    lasting: (bytes: number) => {
      log.push(`lasting ${bytes}`);
      return { bytes };
    },
    release: ({ bytes }: { readonly bytes: number }) => log.push(`release ${bytes}`),
  } as unknown as Placement;
  const opens = ["b", "b", "b"].map((layout) => operands.announce(array.storage, layout));
  const other = operands.announce(alone.storage, "b");
  const product = (open: (at: Placement) => OpenOperand, key: string, bytes: number): boolean | undefined => {
    const { shared, close } = open(at);
    const filled = shared?.(key, [{ bytes, label: "operand" }]).filled;
    close();
    return filled;
  };
  assertEquals(product(opens[0]!, "64 wide", 1), false);
  assertEquals(product(opens[1]!, "128 wide", 2), false);
  assertEquals(product(other, "64 wide", 3), undefined);
  assertEquals(log, ["lasting 1", "lasting 2"]);
  assertEquals(product(opens[2]!, "64 wide", 1), true);
  assertEquals(log.slice(2), ["release 1", "release 2"]);
});

gpuTest("linear maps by one matrix on matrix units pack it once, with the bits of each alone", async (device) => {
  if (!device.features.has("shader-f16")) return;
  const looped = withMatrixLoops(device);
  const [K, N] = [272, 256];
  const w = Value.from(device, drawn("w", K * N), [K, N]);
  const xs = [16, 32].map((rows) => Value.from(device, drawn(`x${rows}`, rows * K), [rows, K]));
  const run = async (some: readonly Value[]) => {
    const program = new Program(looped, "linear");
    const ops = new GpuOps(program, { mode: "f16" });
    const results = some.map((x) => ops.linear(x, w));
    results.forEach(({ slot }) => program.keep(slot));
    await program.run();
    const bits = await Promise.all(results.map(({ slot }) => program.tensor(slot).read()));
    const { dispatches } = program;
    program.close();
    return { bits, dispatches };
  };
  const together = await run(xs);
  const apart = [await run(xs.slice(0, 1)), await run(xs.slice(1))];
  assertEquals(together.bits, apart.map(({ bits }) => bits[0]!));
  assertEquals(together.dispatches, apart[0]!.dispatches + apart[1]!.dispatches - 1);
});

gpuTest(
  "a weight's gradient over several batches of few rows, of none among them, is that of each added up",
  async (device) => {
    const batches: readonly (readonly number[])[] = [[5, 0], [0, 5], [0, 0], [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]];
    // Rows of single numbers, and of whole vectors.
    const cases = ([[6, 5], [8, 4]] as const).flatMap(([K, N]) => batches.map((counts) => ({ K, N, counts })));
    for (const { K, N, counts } of cases) {
      const [w, bias] = [
        Value.from(device, drawn("w", K * N), [K, N], true),
        Value.from(device, drawn("b", N), [N], true),
      ];
      const data = counts.map((rows, i) => drawn(`x${i}`, rows * K));
      const program = new Program(device, "batches");
      const ops = new GpuOps(program, { training: true });
      const ys = counts.map((rows, i) => ops.linear(Value.from(device, data[i]!, [rows, K]), w, bias));
      ops.backward(
        ops.concat(ys, 0),
        Value.from(device, drawn("g", N * counts.reduce((a, b) => a + b)), [
          counts.reduce((a, b) => a + b),
          N,
        ]),
      );
      const [dw, db] = [ops.gradient(w)!, ops.gradient(bias)!];
      [dw, db].forEach((slot) => program.keep(slot));
      await program.run();
      const x = Float64Array.from(data.flatMap((rows) => [...rows]));
      const g = drawn("g", x.length / K * N);
      const [expectedW, expectedB] = [new Float64Array(K * N), new Float64Array(N)];
      for (let row = 0; row < x.length / K; row++) {
        for (let j = 0; j < N; j++) {
          expectedB[j]! += g[row * N + j]!;
          for (let k = 0; k < K; k++) expectedW[k * N + j]! += x[row * K + k]! * g[row * N + j]!;
        }
      }
      const near = (got: Float32Array, expected: Float64Array): void =>
        expected.forEach((value, i) =>
          assert(Math.abs(got[i]! - value) <= 1e-4, `${counts}: ${got[i]}, expected ${value}`)
        );
      near(await program.tensor(dw).read(), expectedW);
      near(await program.tensor(db).read(), expectedB);
      // Those that have rows are one product, and one sum.
      const some = counts.filter((rows) => rows > 0).length;
      if (some > 1) assertEquals(program.steps.filter(({ name }) => name === "product").length, counts.length + 1);
      // The control: without the last batch's last row the gradient is another.
      if (counts.at(-1)! > 0) {
        const without = expectedB.map((value, j) => value - g[(x.length / K - 1) * N + j]!);
        const got = await program.tensor(db).read();
        assert(without.some((value, j) => Math.abs(got[j]! - value) > 1e-4), `${counts}`);
      }
      program.close();
    }
  },
);

gpuTest("rows from more arrays than a dispatch binds, and their gradients", async (device) => {
  const width = 3;
  const sources = Array.from({ length: 9 }, (_, i) => Value.from(device, drawn(`s${i}`, 2 * width), [2, width], true));
  const program = new Program(device, "take");
  const ops = new GpuOps(program, { training: true });
  // Row 1 of each, then row 0 of the first twice.
  const rows = [
    ...sources.map((_, source) => ({ source, from: 1, count: 1 })),
    ...[0, 0].map((source) => ({
      source,
      from: 0,
      count: 1,
    })),
  ];
  const y = ops.take(sources, rows);
  const g = drawn("g", rows.length * width);
  ops.backward(y, Value.from(device, g, [rows.length, width]));
  const gradients = sources.map((source) => ops.gradient(source)!);
  [y.slot, ...gradients].forEach((slot) => program.keep(slot));
  await program.run();
  const given = sources.map((_, i) => drawn(`s${i}`, 2 * width));
  const expected = rows.flatMap(({ source, from }) => [...given[source]!.subarray(from * width, from * width + width)]);
  assertEquals([...await program.tensor(y.slot).read()], expected);
  for (const [i, gradient] of gradients.entries()) {
    const first = i > 0 ? [0, 0, 0] : [0, 1, 2].map((c) => Math.fround(g[9 * width + c]! + g[10 * width + c]!));
    assertEquals([...await program.tensor(gradient).read()], [...first, ...g.subarray(i * width, i * width + width)]);
  }
  const taking = program.steps.filter(({ name }) => name === "take");
  assertEquals(
    taking.length,
    Math.ceil(9 / Math.min(6, Math.floor((device.limits.maxStorageBuffersPerShaderStage - 1) / 2))),
  );
  program.close();
});
