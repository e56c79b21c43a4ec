/** Softmax attention against f64, entry by entry within the derived bound; its bits, whatever else is computed; faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertGreater, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { type AttentionKernel, planAttention } from "../kernels/nn/attention.ts";
import { keyGradientShader, queryGradientShader } from "../kernels/nn/_attention_gradient_tile.ts";
import { tileShader } from "../kernels/nn/_attention_tile.ts";
import { GpuOps } from "../kernels/nn/gpu_ops.ts";
import { Ids } from "../kernels/nn/ids.ts";
import { Program } from "../kernels/nn/program.ts";
import { Value } from "../kernels/nn/value.ts";
import { planAttentionBackward } from "../kernels/nn/attention_backward.ts";
import type { Gpu } from "../kernels/gpu.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { InputError } from "../models/error.ts";
import { seeded } from "../models/random.ts";
import {
  type AttentionArrays,
  type AttentionCase,
  attentionGradientTruth,
  attentionTruth,
  excess,
} from "./attention_truth.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("attention against f64");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

// A software adapter takes seconds to compile: two widths, one of an odd number, one of two blocks of 32.
const heads = 2;
const cases: readonly (AttentionCase & { readonly kernels: readonly AttentionKernel[] })[] = [
  { sequences: 5, queries: 1, keys: 2, heads, width: 3, mask: "causal", kernels: ["flat", "step"] },
  { sequences: 70, queries: 2, keys: 2, heads, width: 36, mask: "bidirectional", kernels: ["flat", "tile"] },
  { sequences: 3, queries: 5, keys: 9, heads, width: 3, mask: { window: 3 }, kernels: ["flat", "step"] },
  { sequences: 2, queries: 33, keys: 70, heads, width: 36, mask: "causal", kernels: ["tile"] },
  { sequences: 1, queries: 40, keys: 300, heads, width: 36, mask: "bidirectional", kernels: ["tile", "step"] },
  { sequences: 1, queries: 41, keys: 321, heads, width: 36, mask: { window: 50 }, kernels: ["tile", "step"] },
  { sequences: 1, queries: 3, keys: 523, heads, width: 36, mask: "causal", kernels: ["tile", "step"] },
];

function arraysOf(
  { sequences, queries, keys, heads, width }: AttentionCase,
  seed: number,
): Record<"q" | "k" | "v", Float32Array> {
  const random = seeded(seed);
  const normal = (count: number, size: number): Float32Array =>
    Float32Array.from({ length: count }, () => size * (random() + random() + random() + random() - 2) * Math.sqrt(3));
  const d = heads * width;
  return {
    q: normal(sequences * queries * d, 2),
    k: normal(sequences * keys * d, 2),
    v: normal(sequences * keys * d, 1),
  };
}

interface Outcome {
  readonly o: Float32Array;
  readonly stats: Float32Array;
}

/** Runs one attention on arrays, its results poisoned before. */
async function run(
  device: Gpu,
  of: AttentionCase,
  { q, k, v }: AttentionArrays,
  kernel?: AttentionKernel,
): Promise<Outcome> {
  const d = of.heads * of.width;
  const shape = [of.sequences, of.queries, d];
  const tensors = {
    q: Tensor.from(device, q, shape),
    k: Tensor.from(device, k, [of.sequences, of.keys, d]),
    v: Tensor.from(device, v, [of.sequences, of.keys, d]),
    o: Tensor.from(device, new Float32Array(of.sequences * of.queries * d).fill(NaN), shape),
    stats: Tensor.empty(device, [of.sequences, of.queries, of.heads]),
  };
  const plan = await planAttention(device, tensors, { ...of, ...(kernel === undefined ? {} : { kernel }) });
  await runPlans(device, "attention", [plan]);
  const [o, stats] = await Promise.all([tensors.o.read(), tensors.stats.read()]);
  plan.release();
  for (const tensor of Object.values(tensors)) tensor.destroy();
  return { o, stats };
}

const nameOf = ({ sequences, queries, keys, width, mask }: AttentionCase): string =>
  `${sequences} x ${queries} of ${keys}, width ${width}, ${typeof mask === "object" ? `window ${mask.window}` : mask}`;

for (const [seed, of] of cases.entries()) {
  gpuTest(`attention ${nameOf(of)}: within the bound in every kernel, the same bits, faults seen`, async (device) => {
    const arrays = arraysOf(of, seed + 1);
    const expected = attentionTruth(of, arrays);
    const outcomes: Outcome[] = [];
    for (const kernel of of.kernels) outcomes.push(await run(device, of, arrays, kernel));
    const [first] = outcomes as [Outcome];
    const worst = excess(first.o, expected.o);
    assert(worst <= 1, `o is off by ${worst} bounds`);
    const worstLog = excess(first.stats, expected.stats);
    assert(worstLog <= 1, `stats are off by ${worstLog} bounds`);
    for (const other of outcomes) assertEquals(other, first);
    assertGreater(excess(first.o.map((x) => x * (1 + 2 ** -10)), expected.o), 1);
    for (const fault of ["mask", "block"] as const) {
      if (fault === "block" && (of.keys <= 33 || typeof of.mask === "object")) continue;
      const planted = attentionTruth(of, arrays, fault);
      assertGreater(excess(planted.o.values, expected.o), 1, fault);
    }
  });
}

const gradientCases: readonly (AttentionCase & { readonly kernels: readonly ("flat" | "tile")[] })[] = [
  { sequences: 70, queries: 2, keys: 2, heads, width: 36, mask: "bidirectional", kernels: ["flat", "tile"] },
  { sequences: 3, queries: 5, keys: 9, heads, width: 3, mask: { window: 3 }, kernels: ["flat"] },
  { sequences: 2, queries: 33, keys: 70, heads, width: 36, mask: "causal", kernels: ["tile"] },
  { sequences: 1, queries: 40, keys: 65, heads, width: 36, mask: "bidirectional", kernels: ["tile"] },
  { sequences: 1, queries: 70, keys: 101, heads, width: 36, mask: { window: 20 }, kernels: ["tile"] },
];

/** Gradients of an attention, its forward pass included; added to `before` where it is given. */
async function backward(
  device: Gpu,
  of: AttentionCase,
  { q, k, v, dO }: AttentionArrays & { readonly dO: ArrayLike<number> },
  kernel: "flat" | "tile",
  before?: number,
): Promise<{ readonly dq: Float32Array; readonly dk: Float32Array; readonly dv: Float32Array }> {
  const d = of.heads * of.width;
  const [ofQueries, ofKeys] = [[of.sequences, of.queries, d], [of.sequences, of.keys, d]];
  const filled = (like: ArrayLike<number>): Float32Array => new Float32Array(like.length).fill(before ?? NaN);
  const tensors = {
    q: Tensor.from(device, q, ofQueries),
    k: Tensor.from(device, k, ofKeys),
    v: Tensor.from(device, v, ofKeys),
    o: Tensor.empty(device, ofQueries),
    stats: Tensor.empty(device, [of.sequences, of.queries, of.heads]),
    dO: Tensor.from(device, dO, ofQueries),
    dq: Tensor.from(device, filled(q), ofQueries),
    dk: Tensor.from(device, filled(k), ofKeys),
    dv: Tensor.from(device, filled(k), ofKeys),
  };
  const plans = [
    await planAttention(device, tensors, of),
    await planAttentionBackward(device, tensors, { ...of, kernel, accumulate: before !== undefined }),
  ];
  await runPlans(device, "attention gradients", plans);
  const [dq, dk, dv] = await Promise.all([tensors.dq.read(), tensors.dk.read(), tensors.dv.read()]);
  for (const plan of plans) plan.release();
  for (const tensor of Object.values(tensors)) tensor.destroy();
  return { dq, dk, dv };
}

const gradients = ["dq", "dk", "dv"] as const;

for (const [seed, of] of gradientCases.entries()) {
  gpuTest(`attention gradients ${nameOf(of)}: within the bound in every kernel, faults seen`, async (device) => {
    const arrays = arraysOf(of, seed + 20);
    const dO = arraysOf(of, seed + 120).q.map((x) => x / 2);
    const truth = attentionGradientTruth(of, arrays, dO);
    for (const kernel of of.kernels) {
      const got = await backward(device, of, { ...arrays, dO }, kernel);
      for (const name of gradients) {
        const worst = excess(got[name], truth[name]);
        assert(worst <= 1, `${name} of ${kernel} is off by ${worst} bounds`);
        assertGreater(excess(got[name].map((x) => x * (1 + 2 ** -10)), truth[name]), 1, name);
      }
    }
    for (const fault of ["mask", "block"] as const) {
      if (fault === "block" && (of.keys <= 33 || typeof of.mask === "object")) continue;
      const planted = attentionGradientTruth(of, arrays, dO, fault);
      for (const name of gradients) {
        assertGreater(excess(planted[name].values, truth[name]), 1, `${fault} of ${name}`);
      }
    }
  });
}

gpuTest("attention gradients are added to what there is", async (device) => {
  for (const [of, kernel] of [[gradientCases[0]!, "flat"], [gradientCases[2]!, "tile"]] as const) {
    const arrays = arraysOf(of, 40);
    const given = { ...arrays, dO: arraysOf(of, 41).q };
    const once = await backward(device, of, given, kernel);
    const added = await backward(device, of, given, kernel, 2);
    for (const name of gradients) {
      for (const [at, x] of added[name].entries()) {
        // The sum's rounding, and the product's before it, which may be fused.
        const tolerance = 2 ** -24 * (Math.abs(x) + Math.abs(once[name][at]!));
        assert(
          Math.abs(x - (2 + once[name][at]!)) <= tolerance,
          `${name}[${at}]: ${x} for ${once[name][at]} added to 2`,
        );
      }
    }
  }
});

test("attention's gradients in f64 are the slopes of its outputs", () => {
  for (const mask of ["causal", "bidirectional", { window: 2 }] as const) {
    const of: AttentionCase = { sequences: 1, queries: 3, keys: 5, heads: 1, width: 3, mask };
    const arrays = arraysOf(of, 90);
    const dO = arraysOf(of, 91).q;
    const { dq, dk, dv } = attentionGradientTruth(of, arrays, dO);
    const loss = (name: "q" | "k" | "v", at: number, by: number): number => {
      const moved = Float64Array.from(arrays[name]);
      moved[at]! += by;
      return attentionTruth(of, { ...arrays, [name]: moved }).o.values.reduce((sum, o, i) => sum + o * dO[i]!, 0);
    };
    for (const [name, { values }] of [["q", dq], ["k", dk], ["v", dv]] as const) {
      for (const [at, value] of values.entries()) {
        const slope = (by: number): number => (loss(name, at, by) - loss(name, at, -by)) / (2 * by);
        const [wide, narrow] = [slope(2 ** -10), slope(2 ** -11)];
        // The narrow quotient errs by a third of the difference, to leading order, and by the rounding of the losses.
        const tolerance = Math.abs(wide - narrow) + 2 ** -52 * 2 ** 11 * 100;
        assert(Math.abs(narrow - value) <= tolerance, `d${name}[${at}]: ${value}, slope ${narrow} ± ${tolerance}`);
      }
    }
  }
});

gpuTest(
  "attention has the same bits for any number of queries, keys, sequences, and against a growing cache",
  async (device) => {
    const whole: AttentionCase = { sequences: 2, queries: 300, keys: 300, heads, width: 36, mask: "causal" };
    const d = heads * whole.width;
    for (const mask of ["causal", { window: 70 }] as const) {
      const arrays = arraysOf(whole, 50);
      const all = await run(device, { ...whole, mask }, arrays, "tile");
      const rows = (array: Float32Array, sequence: number, from: number, to: number): Float32Array =>
        array.slice((sequence * 300 + from) * d, (sequence * 300 + to) * d);
      for (const [from, to] of [[0, 1], [0, 2], [0, 7], [3, 31], [20, 100], [250, 258], [7, 300]] as const) {
        const part = { q: rows(arrays.q, 1, from, to), k: rows(arrays.k, 1, 0, to), v: rows(arrays.v, 1, 0, to) };
        const of = { ...whole, sequences: 1, queries: to - from, keys: to, mask };
        const { o } = await run(device, of, part);
        assertEquals(o, rows(all.o, 1, from, to), `queries ${from} … ${to}`);
      }
      // One plan serves every length: only the buffer changes. Keys behind it are there, and not seen.
      const live = device.createBuffer({ bytes: 4, label: "live" });
      const q = Tensor.empty(device, [2, 1, d]), o = Tensor.empty(device, [2, 1, d]);
      const stats = Tensor.empty(device, [2, 1, heads]);
      const [k, v] = [arrays.k, arrays.v].map((data) => Tensor.from(device, data, [2, 300, d])) as [Tensor, Tensor];
      const plan = await planAttention(device, { q, k, v, o, stats }, { heads, mask, live });
      for (const length of [1, 2, 31, 32, 33, 65, 255, 256, 257, 300]) {
        const at = (array: Float32Array): Float32Array =>
          Float32Array.from([...rows(array, 0, length - 1, length), ...rows(array, 1, length - 1, length)]);
        q.write(at(arrays.q));
        device.write(live, Uint32Array.of(length));
        await runPlans(device, "step", [plan]);
        assertEquals(await o.read(), at(all.o), `length ${length}`);
      }
      plan.release();
      for (const { buffer } of [q, k, v, o, stats]) buffer.destroy();
      live.destroy();
    }
  },
);

gpuTest(
  "attention to a ring of a window's keys has the bits of that to all, and a key in another row shows",
  async (device) => {
    const whole: AttentionCase = { sequences: 2, queries: 600, keys: 600, heads, width: 36, mask: "causal" };
    const d = heads * whole.width;
    // Some blocks; more than a span; a ring without room to spare.
    for (const [window, room] of [[70, 128], [300, 301], [31, 31]] as const) {
      const mask = { window };
      const arrays = arraysOf(whole, 51);
      const all = await run(device, { ...whole, mask }, arrays, "tile");
      const live = device.createBuffer({ bytes: 4, label: "live" });
      const [q, o] = [Tensor.empty(device, [2, 1, d]), Tensor.empty(device, [2, 1, d])];
      const [k, v] = [Tensor.empty(device, [2, room, d]), Tensor.empty(device, [2, room, d])];
      const plan = await planAttention(device, { q, k, v, o }, { heads, mask, live, kernel: "step" });
      const token = (array: Float32Array, sequence: number, t: number): Float32Array =>
        array.subarray((sequence * 600 + t) * d, (sequence * 600 + t + 1) * d);
      /** A ring after so many tokens; rows of none are huge, so that one that is read shows. */
      const ring = (array: Float32Array, length: number, late = 0): Float32Array => {
        const rows = new Float32Array(2 * room * d).fill(1e30);
        for (let sequence = 0; sequence < 2; sequence++) {
          for (let t = Math.max(0, length - window); t < length; t++) {
            rows.set(token(array, sequence, t), (sequence * room + (t + late) % room) * d);
          }
        }
        return rows;
      };
      const attend = async (length: number, late = 0): Promise<Float32Array> => {
        q.write([...token(arrays.q, 0, length - 1), ...token(arrays.q, 1, length - 1)]);
        k.write(ring(arrays.k, length, late));
        v.write(ring(arrays.v, length, late));
        device.write(live, Uint32Array.of(length));
        await runPlans(device, "step", [plan]);
        return await o.read();
      };
      for (const length of [1, 31, 32, 70, 71, 127, 128, 129, 256, 257, 300, 301, 302, 512, 513, 555, 600]) {
        const want = Float32Array.from([...token(all.o, 0, length - 1), ...token(all.o, 1, length - 1)]);
        assertEquals(await attend(length), want, `length ${length} in a window of ${window}`);
        if (length === 600) assertNotEquals(await attend(length, 1), want);
      }
      plan.release();
      for (const { buffer } of [q, k, v, o]) buffer.destroy();
      live.destroy();
    }
  },
);

gpuTest("attention's kernels written out, as hardware has them, are valid", async (device) => {
  for (const width of [16, 45, 128]) {
    for (
      const { label, code } of [
        tileShader({ width, rows: 64, stats: true, unrolled: true }),
        queryGradientShader({ width, unrolled: true }),
        keyGradientShader({ width, unrolled: true }),
      ]
    ) {
      await device.checked(`check ${label}`, () => device.device.createShaderModule({ label, code }));
      // The check is one: a name that is not declared is refused.
      const broken = code.replace("let tx =", "let other =");
      await assertRejects(() => device.checked("check", () => device.device.createShaderModule({ code: broken })));
    }
  }
});

gpuTest("attention to caches refuses what does not fit", (device) => {
  const program = new Program(device, "refused");
  const ops = new GpuOps(program);
  const x = new Value(program.slot([1, 3, 8]));
  const count = new Ids(device, [1]);
  for (
    const [room, mask, message] of [[2, "causal", "got room for 2"], [
      8,
      "bidirectional",
      "got both directions",
    ]] as const
  ) {
    const cache = { keys: new Value(program.slot([1, room, 8])), values: new Value(program.slot([1, room, 8])) };
    assertThrows(
      () => ops.attentionNext({ q: x, k: x, v: x }, cache, count, { heads: 2, mask }),
      InputError,
      `Cannot attend to a cache: tokens must see none behind them, with room for 3, ${message}`,
    );
  }
  count.destroy();
  program.close();
  return Promise.resolve();
});

gpuTest("attention refuses what does not fit", async (device) => {
  const tensor = (...shape: number[]): Tensor => Tensor.empty(device, shape);
  const few = { q: tensor(1, 4, 6), k: tensor(1, 3, 6), v: tensor(1, 3, 6), o: tensor(1, 4, 6) };
  await assertRejects(
    () => planAttention(device, few, { heads: 2, mask: "causal" }),
    InputError,
    "keys must be ≥ queries (4), got 3",
  );
  const same = { ...few, k: tensor(1, 4, 6), v: tensor(1, 4, 6) };
  await assertRejects(
    () => planAttention(device, same, { heads: 4, mask: "causal" }),
    InputError,
    "heads must divide d = 6",
  );
  await assertRejects(() => planAttention(device, same, { heads: 2, mask: { window: 0 } }), InputError, "window");
  await assertRejects(
    () => planAttention(device, { ...same, v: few.v }, { heads: 2, mask: "causal" }),
    InputError,
    "v must be",
  );
});
