/** Training sessions: a tiny network learns; states come back bit for bit; what is not finite changes nothing. */
import { after, test } from "node:test";
import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertNotEquals,
  assertRejects,
  assertThrows,
} from "@std/assert";
import type { Gpu } from "../kernels/gpu.ts";
import { openTraining } from "../kernels/nn/training_session.ts";
import { InputError } from "../models/error.ts";
import type { Initial, ParameterSpec, TokenNetwork } from "../models/networks/ops.ts";
import { seeded } from "../models/random.ts";
import type { TokenBatch } from "../models/networks/training.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("training sessions");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

const vocabulary = 11;
const d = 16;
const spec = (shape: readonly number[], initial: Initial, decay = true): ParameterSpec => ({ shape, initial, decay });

/** A token's successor from the token alone. */
const network: TokenNetwork = {
  name: "tiny",
  vocabulary,
  parameters: {
    table: spec([vocabulary, d], { kind: "normal", std: 0.5 }, false),
    "mix.w": spec([d, d], { kind: "normal", std: 0.3 }),
    "mix.bias": spec([d], { kind: "zeros" }, false),
    gain: spec([d], { kind: "ones" }, false),
    unused: spec([3], { kind: "values", values: [1, 2] }),
    head: spec([d, vocabulary], { kind: "normal", std: 0.3 }),
  },
  hidden(ops, parameters, tokens) {
    const x = ops.embedding(parameters["table"]!, tokens);
    const y = ops.linear(ops.rmsNorm(x, parameters["gain"]!), parameters["mix.w"]!, parameters["mix.bias"]);
    return ops.add(ops.dropout(ops.map("gelu", y), 0.1), x);
  },
};

function batchOf(seed: number, B = 3, n = 5): TokenBatch {
  const random = seeded(seed, "batch");
  const tokens = Int32Array.from({ length: B * n }, () => Math.floor(random() * vocabulary));
  const targets = tokens.map((id) => (7 * id + 3) % vocabulary);
  const weights = Float32Array.from(tokens, (_, i) => i % 4 === 3 ? 0 : 1);
  return { B, n, tokens, targets: targets.map((id, i) => weights[i] === 0 ? -1 : id), weights };
}

const bits = (array: Float32Array): number[] => [...new Uint32Array(array.buffer, array.byteOffset, array.length)];

gpuTest("a tiny network learns, and predicts what it learnt", async (device) => {
  const live = device.bytes.live;
  const session = openTraining(device, network, { seed: 1, optimiser: { weightDecay: 0 } });
  assertEquals(session.size, vocabulary * d * 2 + d * d + 2 * d + 3);
  const first = await session.step(batchOf(0), 0.01);
  // Untrained, no id is likelier than another by much: log 11 = 2.4.
  assert(first.loss > 1 && first.loss < 5, `the first loss is ${first.loss}`);
  assertGreater(first.gradientNorm, 0);
  for (let i = 1; i < 80; i++) await session.step(batchOf(i), 0.01);
  const batch = batchOf(100);
  const { best, losses, margins } = await session.predict(batch);
  const weighted = [...batch.weights.keys()].filter((i) => batch.weights[i]! > 0);
  assertEquals(weighted.map((i) => best[i]), weighted.map((i) => batch.targets[i]));
  assertLess(weighted.reduce((sum, i) => sum + losses[i]!, 0) / weighted.length, 0.3);
  assert(margins.every((margin) => margin > 0));
  assertEquals(session.steps, 80);
  assert(session.bytes.live > 4 * 3 * session.size && session.bytes.peak >= session.bytes.live);
  session.close();
  assertEquals(device.bytes.live, live);
  await assertRejects(() => session.step(batch, 0.01), InputError, "it was closed");
});

gpuTest("a step without dropout has the loss that is predicted, one with it another", async (device) => {
  const batch = batchOf(0);
  const lossOf = async (dropout: boolean): Promise<{ readonly loss: number; readonly predicted: number }> => {
    const session = openTraining(device, network, { seed: 1 });
    const { losses } = await session.predict(batch);
    const total = batch.weights.reduce((sum, w) => sum + w, 0);
    const predicted = losses.reduce((sum, loss, i) => sum + loss * batch.weights[i]!, 0) / total;
    const { loss } = await session.step(batch, 0.01, { dropout });
    // The same shape, recorded apart.
    await session.step(batch, 0.01, { dropout: !dropout });
    session.close();
    return { loss, predicted };
  };
  const [whole, dropping] = [await lossOf(false), await lossOf(true)];
  assertLess(Math.abs(whole.loss - whole.predicted), 1e-6 * whole.predicted);
  assertEquals(dropping.predicted, whole.predicted);
  assertGreater(Math.abs(dropping.loss - whole.loss), 1e-3);
});

gpuTest("few tokens with something to predict are picked out: the step is that of all of them", async (device) => {
  const { tokens, targets: _, ...shape } = batchOf(0, 5, 4);
  const targets = tokens.map((id) => (7 * id + 3) % vocabulary);
  const weights = Float32Array.from(tokens, (_, i) => i % 7 === 3 ? 1 + i : 0);
  // Weights too small to count, but none is 0.
  const all = weights.map((weight) => weight === 0 ? 1e-30 : weight);
  const after = async (weights: Float32Array) => {
    const session = openTraining(device, network, { seed: 1 });
    const batch = { ...shape, tokens, targets, weights };
    const { losses } = await session.predict(batch);
    const first = await session.step(batch, 0.01, { dropout: false });
    await session.step({ ...batch, weights: batchOf(0, 5, 4).weights }, 0.01, { dropout: false });
    const { arrays } = await session.state();
    session.close();
    return { ...first, losses, numbers: Object.values(arrays).flatMap(({ data }) => [...data]) };
  };
  const [few, many] = [await after(weights), await after(all)];
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const predicted = few.losses.reduce((sum, loss, i) => sum + loss * weights[i]!, 0) / total;
  assertLess(Math.abs(few.loss - predicted), 1e-6 * predicted);
  assertLess(Math.abs(few.gradientNorm - many.gradientNorm), 1e-5 * many.gradientNorm);
  // Adam's first step is of the gradient's sign: it may turn where a gradient is all rounding.
  const far = few.numbers.filter((x, i) => !(Math.abs(x - many.numbers[i]!) <= 1e-5)).length;
  assertLess(far, 0.01 * few.numbers.length);
  // The control: other weights are another step.
  const other = await after(weights.map((weight) => weight === 0 ? 0 : 50 - weight));
  assertGreater(Math.abs(other.gradientNorm - few.gradientNorm), 1e-3 * few.gradientNorm);
});

gpuTest("a session goes on from a saved state bit for bit; another seed is another network", async (device) => {
  const run = async (seed: number, stop?: number): Promise<{ losses: number[]; head: number[]; unused: number[] }> => {
    let session = openTraining(device, network, { seed });
    const losses: number[] = [];
    for (let i = 0; i < 4; i++) {
      if (i === stop) {
        const saved = await session.state();
        session.close();
        session = openTraining(device, network, { seed });
        session.load(saved);
        assertEquals(session.steps, stop);
      }
      // Two shapes, each with a program of its own; as many tokens, so that they share the slow compiler's work.
      losses.push((await session.step(i % 2 === 0 ? batchOf(i) : batchOf(i, 5, 3), 0.01)).loss);
    }
    const { arrays } = await session.state();
    session.close();
    return {
      losses,
      head: bits(arrays["parameter.head"]!.data),
      unused: [...arrays["parameter.unused"]!.data],
    };
  };
  const whole = await run(1);
  assertEquals(await run(1), whole);
  assertEquals(await run(1, 2), whole);
  assertNotEquals((await run(2)).losses, whole.losses);
  // What the loss does not depend on stays.
  assertEquals(whole.unused, [1, 2, 1]);
});

gpuTest("what is not finite leaves parameters and moments as they were", async (device) => {
  const session = openTraining(device, network, { seed: 3 });
  await session.step(batchOf(0), 0.01);
  const { steps, arrays } = await session.state();
  const table = arrays["parameter.table"]!;
  const spoilt = { ...arrays, "parameter.table": { ...table, data: table.data.map(() => 3e38) } };
  session.load({ steps, arrays: spoilt });
  const { loss, gradientNorm } = await session.step(batchOf(1), 0.01);
  assert(!Number.isFinite(loss) || !Number.isFinite(gradientNorm), `the loss is ${loss}, the norm ${gradientNorm}`);
  const kept = (await session.state()).arrays;
  for (const [name, { data }] of Object.entries(spoilt)) assertEquals(bits(kept[name]!.data), bits(data), name);
  // All weights 0: a loss of 0, and nothing to learn from.
  session.load({ steps, arrays });
  const batch = batchOf(2);
  assertEquals(await session.step({ ...batch, weights: batch.weights.map(() => 0) }, 0.01), {
    loss: 0,
    gradientNorm: 0,
  });
  session.close();
});

gpuTest(
  "steps called before those before them resolved are taken in order: the same numbers, bit for bit",
  async (device) => {
    const given = (i: number): TokenBatch => i % 3 === 2 ? batchOf(i, 5, 3) : batchOf(i);
    const count = 8;
    const one = openTraining(device, network, { seed: 1 });
    const results: unknown[] = [];
    for (let i = 0; i < count; i++) {
      results.push(await one.step(given(i), 0.01));
      if (i === 3) results.push(await one.predict(given(9)));
    }
    const many = openTraining(device, network, { seed: 1 });
    const order: number[] = [];
    const called: Promise<unknown>[] = [];
    for (let i = 0; i < count; i++) {
      const result = many.step(given(i), 0.01, { ahead: true });
      called.push(result);
      void result.then(() => order.push(i));
      if (i === 3) called.push(many.predict(given(9)));
    }
    // A save sees what was called before it, not what is called after it.
    const [saved, later] = [many.state(), many.step(given(count), 0.01)];
    assertEquals(await saved, await one.state());
    assertEquals(await Promise.all(called), results);
    assertEquals(order, order.map((_, i) => i));
    assertEquals(await later, await one.step(given(count), 0.01));
    assertEquals(many.steps, count + 1);
    one.close();
    many.close();
  },
);

gpuTest(
  "a step that counts on one that is not finite changes nothing either; one that does not is taken",
  async (device) => {
    const last = vocabulary - 1;
    const session = openTraining(device, network, { seed: 3 });
    const { arrays } = await session.state();
    const table = arrays["parameter.table"]!;
    // One token's vector is too long to be squared: batches with it have no finite gradient, those without it have.
    const data = table.data.map((x, at) => at >= last * d ? 3e38 : x);
    const spoilt = { steps: 0, arrays: { ...arrays, "parameter.table": { ...table, data } } };
    const plain = batchOf(1);
    const good = { ...plain, tokens: plain.tokens.map((id) => id % last) };
    const bad = { ...good, tokens: good.tokens.map(() => last) };
    const bitsNow = async (): Promise<readonly (readonly [string, number[]])[]> =>
      Object.entries((await session.state()).arrays).map(([name, { data }]) => [name, bits(data)] as const);

    session.load(spoilt);
    const before = await bitsNow();
    const alone = await session.step(good, 0.01);
    assert(Number.isFinite(alone.loss) && Number.isFinite(alone.gradientNorm));
    const taken = await bitsNow();
    assertNotEquals(taken, before);

    session.load(spoilt);
    const failed = await Promise.all([bad, good, good].map((batch, i) => session.step(batch, 0.01, { ahead: i > 0 })));
    assert(failed.every(({ gradientNorm }) => !Number.isFinite(gradientNorm)), JSON.stringify(failed));
    assert(failed.slice(1).every(({ loss }) => Number.isFinite(loss)), JSON.stringify(failed));
    assertEquals(session.steps, 0);
    assertEquals(await bitsNow(), before);
    // Whoever has seen that may go on.
    assertEquals(await session.step(good, 0.01), alone);
    assertEquals([session.steps, await bitsNow()], [1, taken]);
    // The control: it is the promise to count on the step before that holds the second one back.
    session.load(spoilt);
    const [first, second] = await Promise.all([session.step(bad, 0.01), session.step(good, 0.01)]);
    assert(!Number.isFinite(first.gradientNorm));
    assert(Number.isFinite(second.gradientNorm));
    assertNotEquals(await bitsNow(), before);
    session.close();
  },
);

gpuTest("a profile names every kernel of a step, and leaves the parameters as they are", async (device) => {
  const session = openTraining(device, network, { seed: 1 });
  const batch = batchOf(0);
  await session.step(batch, 0.01);
  const parameters = async () =>
    Object.entries((await session.state()).arrays).filter(([name]) => name.startsWith("parameter.")).map((
      [, { data }],
    ) => bits(data));
  const before = await parameters();
  if (!device.features.has("timestamp-query")) {
    await assertRejects(() => session.profile!(batch), InputError, "must have timestamp-query");
  } else {
    const { dispatches, hostMilliseconds, kernels } = await session.profile!(batch);
    assertEquals(kernels.reduce((sum, kernel) => sum + kernel.dispatches, 0), dispatches);
    assertGreater(hostMilliseconds, 0);
    const times = kernels.map(({ milliseconds }) => milliseconds);
    assertEquals(times, times.toSorted((a, b) => b - a));
    // Forward, and the gradients of x and of w.
    assertEquals(kernels.find(({ name }) => name === "product")!.uses, 3);
    for (const name of ["embedding", "rms norm", "gelu", "dropout", "update"]) {
      assert(kernels.some((kernel) => kernel.name === name), name);
    }
  }
  assertEquals(await parameters(), before);
  // The control: a step changes them.
  await session.step(batch, 0.01);
  assertNotEquals(await parameters(), before);
  await assertRejects(() => session.profile!({ ...batch, B: 0 }), InputError, "B must be an integer");
  session.close();
});

gpuTest("batches and states that do not fit are refused, and nothing is changed", async (device) => {
  const session = openTraining(device, network);
  const batch = batchOf(0);
  const refused: readonly (readonly [Partial<TokenBatch>, string])[] = [
    [{ B: 0 }, "B must be"],
    [{ n: 4 }, "tokens must be"],
    [{ tokens: batch.tokens.map(() => vocabulary) }, "ids below 11"],
    [{ targets: batch.targets.map(() => -1) }, "ids below 11"],
    [{ weights: batch.weights.map(() => -1) }, "weights must be"],
  ];
  for (const [part, message] of refused) {
    await assertRejects(() => session.step({ ...batch, ...part }, 0.01), InputError, message);
  }
  await assertRejects(() => session.step(batch, NaN), InputError, "learning rate");
  const { steps, arrays } = await session.state();
  const { "parameter.head": head, ...others } = arrays;
  assertThrows(() => session.load({ steps, arrays: others }), InputError, "parameter.head");
  assertThrows(() => session.load({ steps, arrays: { ...arrays, more: head! } }), InputError, "more");
  assertThrows(
    () => session.load({ steps, arrays: { ...arrays, "parameter.head": { ...head!, shape: [1] } } }),
    InputError,
    "[16, 11]",
  );
  assertThrows(() => session.load({ steps: -1, arrays }), InputError, "steps");
  assertEquals(session.steps, 0);
  session.close();
});
