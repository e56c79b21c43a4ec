/** The delta-rule kernels against the models' steps, step by step within the derived bound; planted faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deltaExecution } from "../kernels/delta/family.ts";
import { forwardTile } from "../kernels/delta/forward.ts";
import { deltaRule, inputLayouts } from "../kernels/delta/rule.ts";
import type { Gpu } from "../kernels/device.ts";
import { stepError } from "../kernels/delta/rounding.ts";
import { chooseTile, type TileOptions } from "../kernels/delta/tile.ts";
import { runDelta } from "../kernels/delta/run.ts";
import type { Tensor } from "../kernels/tensor.ts";
import type { AnyAffineModel } from "../models/affine.ts";
import { deltaNet } from "../models/delta_net.ts";
import { deltaProduct, deltaProductOf } from "../models/delta_product.ts";
import { InputError } from "../models/error.ts";
import { gatedDeltaNet } from "../models/gated_delta_net.ts";
import { type Dims, microSteps, sampleInputs, sliceInputs, stateLength } from "../models/inputs.ts";
import { kda } from "../models/kda.ts";
import { gla } from "../models/gla.ts";
import { seeded } from "../models/random.ts";
import { rwkv7 } from "../models/rwkv7.ts";
import { judgeOf } from "../oracle/allowance.ts";
import { reference } from "../oracle/reference.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("the delta-rule kernels against the models' steps");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

const family = [deltaNet, gatedDeltaNet, kda, deltaProduct, rwkv7];
const extent = (T: number, K: number, V: number): Dims => ({ B: 2, T, H: 2, sizes: { K, V } });

function someState(model: AnyAffineModel, dims: Dims): Float32Array {
  const random = seeded("delta state", model.name);
  return Float32Array.from({ length: stateLength(model, dims) }, () => 2 * random() - 1);
}

/** A group of several invocations, by shuffles and through workgroup memory, and of one. */
const tiles: readonly TileOptions[] = [
  { rows: 4, block: 8, subgroups: false },
  { rows: 16, block: 4, columns: 1, subgroups: false },
  ...(gpu?.subgroups === undefined ? [] : [{ rows: 4, block: 8, subgroups: true }]),
];

for (const model of family) {
  // Software adapters take a second to compile one: every tile for one model, the first for all.
  for (const tile of model === gatedDeltaNet ? tiles : tiles.slice(0, 1)) {
    const words = `${tile.rows} rows, ${tile.subgroups ? "subgroups" : "shared memory"}`;
    gpuTest(`${model.name} is within its bound of step at every length (${words})`, async (device) => {
      const execution = deltaExecution(device, tile);
      const dims = extent(33, 16, 8);
      const initialState = someState(model, dims);
      for (const kind of ["random", "long-memory", "adversarial"] as const) {
        const inputs = sampleInputs(model, dims, kind, 5);
        const judge = judgeOf(reference(model, dims, inputs, initialState), execution.rounding);
        for (const T of kind === "random" ? [0, 1, 7, 8, 9, 16, 33] : [33]) {
          const part = sliceInputs(model, dims, inputs, 0, T);
          const result = await execution.run(model, { ...dims, T }, part, { initialState, states: true });
          const verdict = judge.judge(result, T);
          assert(verdict.ok, `${kind}, T = ${T}: ${JSON.stringify(verdict.first)}`);
          if (T === 33) assertEquals(verdict.planted, "seen", kind);
        }
        if (kind !== "random" || tile !== tiles[0] || model !== gatedDeltaNet) continue;
        for (const fault of ["relative", "dropped-carry"] as const) {
          const faulty = await execution.planted!(fault).run(model, dims, inputs, { initialState, states: true });
          assert(!judge.judge(faulty, dims.T).ok, `${kind}: ${fault} passes`);
        }
      }
    });
  }
}

gpuTest("states of any K and V: odd ones, one row, one column", async (device) => {
  const execution = deltaExecution(device);
  for (const [K, V] of [[1, 1], [3, 5]] as const) {
    for (const model of K === 3 ? [rwkv7] : [gatedDeltaNet]) {
      const dims = extent(9, K, V);
      const inputs = sampleInputs(model, dims, "random", 2);
      const judge = judgeOf(reference(model, dims, inputs), execution.rounding);
      const verdict = judge.judge(await execution.run(model, dims, inputs, { states: true }), dims.T);
      assert(verdict.ok, `${model.name}, ${K} × ${V}: ${JSON.stringify(verdict.first)}`);
    }
  }
});

gpuTest("a run resumed from the returned state equals the run as a whole", async (device) => {
  for (const model of [kda, deltaProduct]) {
    const dims = extent(21, 4, 3);
    const inputs = sampleInputs(model, dims, "long-memory", 9);
    const whole = await runDelta(device, model, dims, inputs, { block: 4 });
    for (const split of [0, 1, 4, 10, 21]) {
      const first = await runDelta(
        device,
        model,
        { ...dims, T: split },
        sliceInputs(model, dims, inputs, 0, split),
        { block: 4 },
      );
      const rest = { ...dims, T: dims.T - split };
      const second = await runDelta(device, model, rest, sliceInputs(model, dims, inputs, split, dims.T), {
        block: 4,
        initialState: first.finalState,
      });
      assertEquals(second.finalState, whole.finalState, `${model.name} split at ${split}`);
      const row = dims.H * 3;
      for (let b = 0; b < dims.B; b++) {
        const joined = [
          ...first.outputs.subarray(b * split * row, (b + 1) * split * row),
          ...second.outputs.subarray(b * rest.T * row, (b + 1) * rest.T * row),
        ];
        assertEquals(joined, [...whole.outputs.subarray(b * dims.T * row, (b + 1) * dims.T * row)]);
      }
    }
  }
});

gpuTest("states before chunks are the states after the steps before them", async (device) => {
  for (const model of [gatedDeltaNet, deltaProduct]) {
    const dims = extent(19, 4, 3);
    const inputs = sampleInputs(model, dims, "random", 4);
    const initialState = someState(model, dims);
    const options = { initialState, states: true, chunkStates: true, chunk: 8 };
    const { states, chunkStates, finalState } = await runDelta(device, model, dims, inputs, options);
    const n = microSteps(model);
    const numbers = dims.H * 12;
    for (let b = 0; b < dims.B; b++) {
      for (let chunk = 0; chunk < 3; chunk++) {
        const got = chunkStates!.subarray((b * 3 + chunk) * numbers, (b * 3 + chunk + 1) * numbers);
        const step = (b * dims.T + chunk * 8) * n - 1;
        const want = chunk === 0
          ? initialState.subarray(b * numbers, (b + 1) * numbers)
          : states!.subarray(step * numbers, (step + 1) * numbers);
        assertEquals(got, want, `${model.name}, chunk ${chunk}`);
      }
      const last = ((b + 1) * dims.T * n - 1) * numbers;
      assertEquals(finalState.subarray(b * numbers, (b + 1) * numbers), states!.subarray(last, last + numbers));
    }
  }
});

gpuTest("reflections by one key, gates shut and open, keys of zero", async (device) => {
  const execution = deltaExecution(device);
  const dims = extent(24, 4, 3);
  const steps = dims.B * dims.T * dims.H;
  const same = Float32Array.from({ length: steps * 4 }, () => 0.5);
  const initialState = someState(kda, dims);
  for (const beta of [0, 1, 2]) {
    for (const gate of [0, -104, -Infinity]) {
      for (const key of [same, new Float32Array(steps * 4)]) {
        const inputs = {
          ...sampleInputs(kda, dims, "random", 1),
          k: key,
          beta: new Float32Array(steps).fill(beta),
          g: new Float32Array(steps * 4).fill(gate),
        };
        const judge = judgeOf(reference(kda, dims, inputs, initialState), execution.rounding);
        const result = await execution.run(kda, dims, inputs, { initialState, states: true });
        const verdict = judge.judge(result, dims.T);
        assert(verdict.ok, `β = ${beta}, g = ${gate}: ${JSON.stringify(verdict.first)}`);
        // Two reflections are none: 1 − βkkᵀ twice, with β v added and taken away.
        if (beta === 2 && gate === 0 && key === same) {
          const zero = await runDelta(device, kda, dims, { ...inputs, v: new Float32Array(steps * 3) }, {
            initialState,
          });
          // Every step errs by some roundings of a column, of norm < 2: see stepError.
          const allowed = 24 * stepError(4, { state: 2, removed: 2, written: 0, gate: 0 });
          zero.finalState.forEach((x, n) => assert(Math.abs(x - initialState[n]!) <= allowed, `24 reflections: ${x}`));
        }
      }
    }
  }
});

gpuTest("delta-product of three micro-steps", async (device) => {
  const model = deltaProductOf(3);
  const execution = deltaExecution(device, { block: 4 });
  const dims = extent(10, 4, 3);
  const inputs = sampleInputs(model, dims, "random", 8);
  const judge = judgeOf(reference(model, dims, inputs), execution.rounding);
  const verdict = judge.judge(await execution.run(model, dims, inputs, { states: true }), dims.T);
  assert(verdict.ok, JSON.stringify(verdict.first));
});

// Eleven tokens end with a block that is cut; twelve have none, and where a token takes one step no text for one.
for (const [model, T] of [[deltaProduct, 11], [deltaProduct, 12], [gatedDeltaNet, 12]] as const) {
  gpuTest(
    `${model.name}: some of a group's tokens added up together, whole blocks without looking, ${T} tokens`,
    async (device) => {
      if (device.subgroups === undefined) return;
      const execution = deltaExecution(device, { rows: 4, columns: 2, block: 4, unroll: 2, unchecked: true });
      const dims = extent(T, 16, 4);
      const inputs = sampleInputs(model, dims, "random", 8);
      const judge = judgeOf(reference(model, dims, inputs), execution.rounding);
      const verdict = judge.judge(await execution.run(model, dims, inputs, { states: true }), dims.T);
      assert(verdict.ok, JSON.stringify(verdict.first));
    },
  );
}

const purpose = "plan a delta rule" as const;

test("a loop's body has eight steps of the state, however many a token takes, and four of RWKV-7", () => {
  const limits = {
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupSizeX: 1024,
    maxComputeWorkgroupStorageSize: 49152,
  };
  const large = { subgroups: { min: 32, max: 32 }, limits, adapter: { software: false } } as unknown as Gpu;
  const tile = (microSteps: number): string => {
    const staged = { K: 1 + microSteps, V: microSteps, none: 1 + microSteps };
    const demand = {
      purpose,
      sequences: 128,
      tokens: 64,
      K: 64,
      V: 64,
      staged,
      microSteps,
      blockLimit: 64,
      leastColumns: 1,
    };
    const { unroll, block } = chooseTile(large, demand);
    return `${unroll} of ${block}`;
  };
  assertEquals([1, 2, 3].map(tile), ["8 of 16", "4 of 16", "2 of 8"]);
  const tensor = (...width: readonly number[]): Tensor =>
    ({ shape: [8, 64, 16, ...width], dtype: "f32" }) as unknown as Tensor;
  const tensors = (model: AnyAffineModel): Parameters<typeof forwardTile>[2] => ({
    inputs: Object.fromEntries(
      Object.entries(inputLayouts(deltaRule(model))).map(([name, { axis }]) => [
        name,
        axis === "none" ? tensor() : tensor(64),
      ]),
    ),
    outputs: tensor(64),
  });
  assertEquals([kda, rwkv7].map((model) => forwardTile(large, model, tensors(model)).unroll), [8, 4]);
});

test("a block is shorter where what is exchanged beside its columns would not fit", () => {
  const limits = {
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupSizeX: 1024,
    // Eight tokens of 2 · 64 + 64 numbers twice, and 64 invocations' four columns: not a number more.
    maxComputeWorkgroupStorageSize: 2 * 4 * 8 * (2 * 64 + 64) + 4 * 64 * 4,
  };
  const small = { limits, adapter: { software: false } } as unknown as Gpu;
  const demand = {
    purpose,
    sequences: 128,
    tokens: 64,
    K: 64,
    V: 64,
    staged: { K: 2, V: 1, none: 0 },
    blockLimit: 64,
    leastColumns: 1,
  };
  assertEquals([0, 1].map((beside) => chooseTile(small, { ...demand, beside }).block), [8, 4]);
});

gpuTest("what the kernels cannot run is refused in one line", async (device) => {
  const dims = extent(2, 4, 3);
  const inputs = sampleInputs(gatedDeltaNet, dims, "random", 1);
  const run = (options: object, model: AnyAffineModel = gatedDeltaNet): Promise<unknown> =>
    runDelta(device, model, dims, inputs, options);
  await assertRejects(() => run({ columns: 3 }), InputError, "columns must be 1, 2 or 4");
  await assertRejects(() => run({ rows: 6 }), InputError, "rows must be a multiple of 4");
  await assertRejects(() => run({ block: 3 }), InputError, "block must be a power of two, got 3");
  await assertRejects(() => run({ chunk: 3, chunkStates: true }), InputError, "chunk must be a power of two, got 3");
  await assertRejects(() => run({ dtype: "f16" }), InputError, "f16 outputs need an even V, got 3");
  await assertRejects(() => run({}, gla), InputError, "got gla");
  const large = { ...dims, sizes: { K: 257, V: 1 } };
  await assertRejects(
    () => runDelta(device, deltaNet, large, sampleInputs(deltaNet, large, "random", 1)),
    InputError,
    "K must be in 1 … 256, got 257",
  );
});

gpuTest("a call frees what it made", async (device) => {
  const before = device.bytes.live;
  const dims = extent(9, 4, 3);
  await runDelta(device, kda, dims, sampleInputs(kda, dims, "random", 1), { states: true, chunkStates: true });
  assertEquals(device.bytes.live, before);
});
