/** The generic kernel against `step`: derived bounds in f32, bit for bit over finite rings, and planted faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { type Fault, gpuExecution, openStream, runModular, runOnGpu, scanRounding } from "../kernels/scan.ts";
import { scanWgsl, type WgslOperator } from "../kernels/wgsl_operator.ts";
import { affineModel, type AnyAffineModel, type Fields } from "../models/affine.ts";
import { InputError } from "../models/error.ts";
import { type Dims, microSteps, sampleInputs, sliceInputs, stateLength } from "../models/inputs.ts";
import { modular, wrap32 } from "../models/modular.ts";
import { models } from "../models/mod.ts";
import { gla } from "../models/gla.ts";
import { mlstm } from "../models/mlstm.ts";
import { deltaNet } from "../models/delta_net.ts";
import { deltaProduct } from "../models/delta_product.ts";
import { linearAttentionNormalised } from "../models/linear_attention_normalised.ts";
import { rwkv6 } from "../models/rwkv6.ts";
import { s4d } from "../models/s4d.ts";
import { real } from "../models/domain.ts";
import { outer, plus } from "../models/linalg.ts";
import { seeded } from "../models/random.ts";
import { fieldShape, type FieldValues } from "../models/token.ts";
import { type Judge, judgeOf } from "../oracle/allowance.ts";
import { reference } from "../oracle/reference.ts";
import { stepLanes } from "../oracle/run.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("the generic kernel against the models' steps");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: NonNullable<typeof gpu>) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

const variants: readonly { readonly subgroups: boolean }[] = gpu?.subgroups === undefined
  ? [{ subgroups: false }]
  : [{ subgroups: false }, { subgroups: true }];
const words = ({ subgroups }: { readonly subgroups: boolean }): string => subgroups ? "subgroups" : "shared memory";

const lengths = [0, 1, 2, 63, 64, 65, 129, 1000];
const sizes = { K: 4, V: 3, D: 5, N: 3 };
const extent = (model: AnyAffineModel, T: number): Dims => ({ B: 2, T, H: model.heads ? 2 : 1, sizes });
const numbers = (n: number, seed: number): Float32Array => {
  const random = seeded("state", seed);
  return Float32Array.from({ length: n }, () => random() - 0.5);
};
/** A state inside the contract: the exponent of a scaled one is whole, not negative, and shared by all its entries. */
function someState(model: AnyAffineModel, dims: Dims): Float32Array {
  const state = numbers(stateLength(model, dims), 1);
  if (model.action === "scaled") { for (let i = 1; i < state.length; i += 2) state[i] = 3; }
  return state;
}

for (const model of [gla, linearAttentionNormalised, mlstm, s4d, rwkv6, deltaNet, deltaProduct]) {
  gpuTest(`${model.name} on the GPU is within its bound of step at every length`, async (device) => {
    const longest = Math.max(...lengths);
    const dims = extent(model, longest);
    const inputs = sampleInputs(model, dims, "long-memory", 7);
    const initialState = someState(model, dims);
    const truth = reference(model, dims, inputs, initialState);
    const judge = judgeOf(truth, scanRounding());
    for (const variant of variants) {
      for (const T of lengths) {
        const result = await runOnGpu(device, model, { ...dims, T }, sliceInputs(model, dims, inputs, 0, T), {
          ...variant,
          initialState,
          states: true,
        });
        const verdict = judge.judge(result, T);
        assert(verdict.ok, `T = ${T}, ${words(variant)}: ${JSON.stringify(verdict.first)}`);
        if (T === longest) assertEquals(verdict.planted, "seen", `T = ${T}`);
      }
    }
  });
}

for (const kind of ["random", "adversarial"] as const) {
  gpuTest(`every model on the GPU is within its bound of step on ${kind} inputs`, async (device) => {
    let judged = 0;
    for (const model of models) {
      const dims = extent(model, 80);
      const inputs = sampleInputs(model, dims, kind, 3);
      let judge: Judge;
      try {
        judge = judgeOf(reference(model, dims, inputs), scanRounding({ chunk: 16 }));
      } catch (error) {
        // The bound predicts an overflow on these inputs: nothing is claimed of them.
        if (kind === "adversarial" && error instanceof InputError) continue;
        throw error;
      }
      judged++;
      const result = await runOnGpu(device, model, dims, inputs, { chunk: 16, states: true });
      const verdict = judge.judge(result, dims.T);
      assert(verdict.ok, `${model.name}: ${JSON.stringify(verdict.first)}`);
    }
    assert(judged >= models.length - 2, `${judged} of ${models.length} judged`);
  });
}

gpuTest("a sequence run in slabs equals the one run whole", async (device) => {
  for (const model of [gla, mlstm, deltaNet, deltaProduct]) {
    const dims = extent(model, 200);
    const inputs = sampleInputs(model, dims, "long-memory", 5);
    const options = { states: true, chunk: 16, initialState: someState(model, dims) };
    const judge = judgeOf(reference(model, dims, inputs, options.initialState), scanRounding(options));
    // 32 steps of the states at a time.
    const slabBytes = 4 * 32 * stateLength(model, dims);
    const sliced = await runOnGpu(device, model, dims, inputs, { ...options, slabBytes });
    const verdict = judge.judge(sliced, dims.T);
    assert(verdict.ok, `${model.name}: ${JSON.stringify(verdict.first)}`);
  }
});

gpuTest("a run resumed from the saved state at any split is within the bound of the whole", async (device) => {
  for (const model of [gla, mlstm, rwkv6, deltaNet]) {
    const dims = extent(model, 130);
    const inputs = sampleInputs(model, dims, "long-memory", 9);
    const judge = judgeOf(reference(model, dims, inputs), scanRounding());
    for (const split of [0, 1, 64, 100, 130]) {
      const first = await runOnGpu(device, model, { ...dims, T: split }, sliceInputs(model, dims, inputs, 0, split), {
        states: true,
      });
      const rest = sliceInputs(model, dims, inputs, split, dims.T);
      const second = await runOnGpu(device, model, { ...dims, T: dims.T - split }, rest, {
        states: true,
        initialState: first.finalState,
      });
      const join = (a: Float32Array, b: Float32Array): Float32Array => {
        const whole = new Float32Array(a.length + b.length);
        for (let row = 0; row < dims.B; row++) {
          const at = row * whole.length / dims.B;
          whole.set(a.subarray(row * a.length / dims.B, (row + 1) * a.length / dims.B), at);
          whole.set(b.subarray(row * b.length / dims.B, (row + 1) * b.length / dims.B), at + a.length / dims.B);
        }
        return whole;
      };
      if (model.action === "matrix") {
        // Held to its defect, which knows where the chunks start: at the split.
        const part = { ...dims, T: dims.T - split };
        const own = judgeOf(reference(model, part, rest, first.finalState), scanRounding());
        assert(own.judge(second, part.T).ok, `${model.name} at ${split}`);
        continue;
      }
      const verdict = judge.judge({
        outputs: join(first.outputs, second.outputs),
        states: join(first.states!, second.states!),
        finalState: second.finalState,
      }, dims.T);
      assert(verdict.ok, `${model.name} at ${split}: ${JSON.stringify(verdict.first)}`);
    }
  }
});

gpuTest("a stream equals the whole run, in constant bytes", async (device) => {
  const dims = extent(gla, 300);
  const inputs = sampleInputs(gla, dims, "long-memory", 2);
  const whole = await runOnGpu(device, gla, dims, inputs, { chunk: 1000 });
  const stream = await openStream(device, gla, dims, { tokens: 16, chunk: 1000 });
  try {
    let live: number | undefined;
    let at = 0;
    for (const tokens of [1, 7, 16, 100, 176]) {
      const outputs = await stream.push(sliceInputs(gla, dims, inputs, at, at + tokens), tokens);
      const row = dims.H * sizes.V;
      for (let b = 0; b < dims.B; b++) {
        assertEquals(
          outputs.subarray(b * tokens * row, (b + 1) * tokens * row),
          whole.outputs.subarray((b * dims.T + at) * row, (b * dims.T + at + tokens) * row),
        );
      }
      at += tokens;
      live ??= device.bytes.live;
      assertEquals(device.bytes.live, live, `bytes after ${at} tokens`);
    }
    assertEquals(await stream.state(), whole.finalState);
  } finally {
    stream.close();
  }
});

gpuTest("a stream in parallel chunks is within the bound", async (device) => {
  const dims = extent(gla, 100);
  const inputs = sampleInputs(gla, dims, "long-memory", 2);
  const judge = judgeOf(
    reference(gla, { ...dims, B: 1 }, sliceInputs(gla, { ...dims, B: 1 }, inputs, 0, 100)),
    scanRounding({ chunk: 4 }),
  );
  const stream = await openStream(device, gla, { ...dims, B: 1 }, { tokens: 32, chunk: 4 });
  try {
    const whole = sliceInputs(gla, { ...dims, B: 1 }, inputs, 0, 100);
    const outputs = await stream.push(whole, 100);
    const verdict = judge.judge({ outputs, finalState: await stream.state() }, 100);
    assert(verdict.ok, JSON.stringify(verdict.first));
  } finally {
    stream.close();
  }
});

gpuTest("the buffers of a run are freed, also when it fails", async (device) => {
  const before = device.bytes.live;
  const dims = extent(gla, 70);
  await runOnGpu(device, gla, dims, sampleInputs(gla, dims, "random", 1));
  assertEquals(device.bytes.live, before);
});

gpuTest("an overflow is an error, not an infinity", async (device) => {
  const sum = affineModel({
    name: "sum",
    paper: gla.paper,
    action: "identity",
    heads: true,
    state: ["K", "V"],
    inputs: { k: { axes: ["K"], domain: real }, v: { axes: ["V"], domain: real } },
    fields: { k: ["K"], v: ["V"] },
    gates: (_, x) => x,
    step: (A, S, x) => plus(A, S, outer(A, x.k, x.v)),
    lift: (A, x, k, v) => ({ a: A.of(1), b: A.mul(x.k(k), x.v(v)) }),
    read: (_, S, __, v) => S(0, v),
  });
  const dims = { B: 1, T: 4, H: 1, sizes: { K: 1, V: 1 } };
  const before = device.bytes.live;
  await assertRejects(
    () => runOnGpu(device, sum, dims, { k: new Float32Array(4).fill(2e38), v: new Float32Array(4).fill(1) }),
    Error,
    "must stay finite",
  );
  assertEquals(device.bytes.live, before);
});

gpuTest("bad input, a bad state and an oversized token are refused before any work", async (device) => {
  const dims = extent(gla, 3);
  const inputs = sampleInputs(gla, dims, "random", 1);
  await assertRejects(() => runOnGpu(device, gla, dims, { ...inputs, g: new Float32Array(1) }), InputError, "input g");
  await assertRejects(() => runOnGpu(device, gla, dims, inputs, { initialState: [1] }), InputError, "initial state");
  const huge = new Float64Array(stateLength(gla, dims)).fill(1e39);
  await assertRejects(() => runOnGpu(device, gla, dims, inputs, { initialState: huge }), InputError, "fit f32");
  await assertRejects(() => runOnGpu(device, gla, dims, inputs, { chunk: 0 }), InputError, "chunk must be");
  const V = device.limits.maxStorageBufferBindingSize / 2 ** 14;
  const wide = { B: 1, H: 1, sizes: { K: 2 ** 13, V } };
  await assertRejects(() => openStream(device, gla, wide), InputError, "the states of one token");
  const tall = { B: 1, H: 1, sizes: { K: 1001, V: 1 } };
  await assertRejects(() => openStream(device, deltaNet, tall), InputError, "rows");
});

const faults: readonly Fault[] = ["dropped-carry", "swapped-operands", { relative: 2 ** -10 }];
for (const model of [gla, mlstm, s4d, deltaNet]) {
  for (const fault of faults) {
    const name = typeof fault === "string" ? fault : `a relative fault of ${fault.relative}`;
    gpuTest(`the bound of ${model.name} sees ${name}`, async (device) => {
      const dims = extent(model, 300);
      const inputs = sampleInputs(model, dims, "long-memory", 4);
      const judge = judgeOf(reference(model, dims, inputs), scanRounding());
      for (const variant of variants) {
        const result = await runOnGpu(device, model, dims, inputs, { ...variant, fault, states: true });
        assert(!judge.judge(result, dims.T).ok, words(variant));
      }
    });
  }
}

const rings = [
  { ring: "F_65521" as const, A: modular(65521), draw: (r: () => number) => Math.floor(r() * 65521) },
  { ring: "Z/2^32" as const, A: wrap32, draw: (r: () => number) => Math.floor(r() * 2 ** 32) },
];

/** Activated fields over a ring: exponents 0, and over Z/2^32 every number odd so that no product dies out. */
function ringFields(model: AnyAffineModel, dims: Dims, ring: string, draw: (r: () => number) => number) {
  const steps = dims.T * microSteps(model);
  const random = seeded(ring, model.name);
  return Object.fromEntries(
    Object.entries(model.fields as Fields).map(([name, axes]) => {
      const width = fieldShape(axes, dims.sizes).reduce((a, b) => a * b, 1);
      const zero = model.exponents?.includes(name) === true;
      const odd = ring === "Z/2^32" ? 1 : 0;
      const values = Uint32Array.from({ length: dims.B * steps * dims.H * width }, () => zero ? 0 : draw(random) | odd);
      return [name, values];
    }),
  );
}

for (const { ring, A, draw } of rings) {
  gpuTest(`every model over ${ring} equals step bit for bit`, async (device) => {
    for (const model of models) {
      const dims = extent(model, 70);
      const steps = dims.T * microSteps(model);
      const fields = ringFields(model, dims, ring, draw);
      const options = { ring, states: true, chunk: 7 };
      const results = await Promise.all(
        variants.map((v) => runModular(device, model, dims, fields, { ...options, ...v })),
      );
      const width = stateLength(model, { ...dims, B: 1, H: 1 });
      for (let b = 0; b < dims.B; b++) {
        for (let h = 0; h < dims.H; h++) {
          const lanes = width / (model.action === "complex" || model.action === "scaled" ? 2 : 1);
          let state: readonly (readonly number[])[] = Array.from(
            { length: lanes },
            () => Array.from({ length: width / lanes }, () => 0),
          );
          for (let s = 0; s < steps; s++) {
            const token: FieldValues<number> = Object.fromEntries(
              Object.entries(model.fields as Fields).map(([name, axes]) => {
                const n = fieldShape(axes, sizes).reduce((x, y) => x * y, 1);
                const at = ((b * steps + s) * dims.H + h) * n;
                return [name, [...fields[name]!.subarray(at, at + n)]];
              }),
            );
            state = stepLanes(A as never, model, sizes, token, state);
            const want = Uint32Array.from(
              state.flatMap((lane) => model.action === "scaled" ? [lane[0]!, 0] : [...lane]),
            );
            const at = ((b * steps + s) * dims.H + h) * width;
            for (const { states } of results) {
              assertEquals(states!.subarray(at, at + width), want, `${model.name}, step ${s}`);
            }
          }
        }
      }
    }
  });
}

const affine: WgslOperator = {
  name: "affine",
  type: "u32",
  elementWidth: 2,
  inputs: ["a", "b"],
  identity: "return Element(1u, 0u);",
  combine: "return Element(later[0] * earlier[0], later[0] * earlier[1] + later[1]);",
  lift: "return Element(a[t * lanes + lane], b[t * lanes + lane]);",
  read: "return prefix[1];",
};
const affineModulo: WgslOperator = {
  ...affine,
  name: "affine modulo 65521",
  combine: /* wgsl */ `
    return Element(later[0] * earlier[0] % 65521u, (later[0] * earlier[1] % 65521u + later[1]) % 65521u);`,
};

for (const { ring, A, draw } of rings) {
  for (const variant of variants) {
    gpuTest(`a hand-written affine scan over ${ring} is exact to 2^22 steps (${words(variant)})`, async (device) => {
      const operator = ring === "F_65521" ? affineModulo : affine;
      const random = seeded("affine", ring);
      for (const [lanes, steps] of [[1, 0], [1, 1], [3, 64], [2, 65], [3, 4097], [1, 2 ** 22]] as const) {
        const a = Uint32Array.from({ length: lanes * steps }, () => draw(random) | 1);
        const b = Uint32Array.from({ length: lanes * steps }, () => draw(random));
        if (ring === "F_65521") { for (let i = 0; i < a.length; i++) a[i]! %= 65521; }
        const { outputs, final } = await scanWgsl(device, operator, { lanes, steps, inputs: { a, b }, ...variant });
        const state = new Uint32Array(lanes);
        let wrong = 0;
        for (let i = 0; i < lanes * steps; i++) {
          state[i % lanes] = A.add(A.mul(a[i]!, state[i % lanes]!), b[i]!);
          if (outputs[i] !== state[i % lanes]) wrong++;
        }
        assertEquals(wrong, 0, `${lanes} × ${steps}`);
        for (let lane = 0; lane < lanes; lane++) assertEquals(final[2 * lane + 1], state[lane]!);
      }
    });

    gpuTest(`planted faults change an affine scan over ${ring} (${words(variant)})`, async (device) => {
      const operator = ring === "F_65521" ? affineModulo : affine;
      const random = seeded("faults", ring);
      const steps = 300;
      const a = Uint32Array.from({ length: steps }, () => (draw(random) | 1) % 65521 | 1);
      const b = Uint32Array.from({ length: steps }, () => draw(random));
      const run = (fault?: Fault) =>
        scanWgsl(device, operator, { lanes: 1, steps, inputs: { a, b }, ...variant, ...(fault && { fault }) });
      const right = await run();
      assertNotEquals((await run("dropped-carry")).outputs, right.outputs);
      assertNotEquals((await run("swapped-operands")).outputs, right.outputs);
    });
  }
}

gpuTest("a hand-written scan refuses wrong extents and arrays", async (device) => {
  const inputs = { a: new Uint32Array(4), b: new Uint32Array(4) };
  await assertRejects(() => scanWgsl(device, affine, { lanes: 0, steps: 4, inputs }), InputError, "lanes");
  await assertRejects(() => scanWgsl(device, affine, { lanes: 1, steps: -1, inputs }), InputError, "steps");
  await assertRejects(
    () => scanWgsl(device, affine, { lanes: 1, steps: 4, inputs: { a: inputs.a } }),
    InputError,
    "input b",
  );
  await assertRejects(
    () => scanWgsl(device, { ...affine, combine: "return earlier + later;" }, { lanes: 1, steps: 4, inputs }),
    Error,
    "compile",
  );
});

gpuTest("gpuExecution runs as an execution and publishes its rounding", async (device) => {
  const execution = gpuExecution(device, { chunk: 32 });
  const dims = extent(gla, 40);
  const inputs = sampleInputs(gla, dims, "random", 6);
  const verdict = judgeOf(reference(gla, dims, inputs), execution.rounding).judge(
    await execution.run(gla, dims, inputs),
    dims.T,
  );
  assert(verdict.ok, JSON.stringify(verdict.first));
  assertEquals(execution.rounding.denseChunk(deltaNet, dims), 32);
  assertEquals(execution.rounding.denseChunk(deltaNet, { ...dims, sizes: { K: 17, V: 1 } }), 1);
});
