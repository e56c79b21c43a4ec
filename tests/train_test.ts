/** The training loop, its schedule, its plan and the safetensors format: laws that need no files. */

import { test } from "node:test";
import { assert, assertAlmostEquals, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../models/error.ts";
import { f64 } from "../models/number.ts";
import { headOf } from "../models/networks/head.ts";
import type { TokenNetwork } from "../models/networks/ops.ts";
import { initialParameters } from "../models/networks/parameters.ts";
import type { NamedArrays, Predictions, StepResult, TokenBatch, TrainingSession } from "../models/networks/training.ts";
import { arrayOps } from "../oracle/array_ops.ts";
import { parameterArrays } from "../oracle/network_psm.ts";
import { corpusText } from "../tasks/corpus.ts";
import { groupWords } from "../tasks/group_words.ts";
import { cyclic, s5 } from "../tasks/groups.ts";
import type { Task } from "../tasks/task.ts";
import { splitTokens, textTask } from "../tasks/text.ts";
import { byteTokeniser, tokenise } from "../tasks/tokenisers.ts";
import { beginning, checkBeginning } from "../tasks/train/beginning.ts";
import { openBigram } from "../tasks/train/bigram.ts";
import { evaluate } from "../tasks/train/evaluate.ts";
import { DivergedError, type TrainingStep, trainingSteps } from "../tasks/train/loop.ts";
import { chunkOf, CONTROL, modelNames, networkOf } from "../tasks/train/networks.ts";
import { advanced, evaluationDue, lengthAt, type Position, start, stepsLeft, totalSteps } from "../tasks/train/plan.ts";
import type { TrainingPlan } from "../tasks/train/plan.ts";
import { runTraining } from "../tasks/train/run.ts";
import { defaultPresets, leastLoss, presets } from "../tasks/train/presets.ts";
import { readSafetensors, safetensors, type StoredArrays } from "../tasks/train/safetensors.ts";
import { rateAt, scheduleKinds } from "../tasks/train/schedule.ts";
import { checkLengths, checkpointShapes, checkShards, longestOf } from "../tasks/train/session.ts";
import { type Setup, taskNames, taskOf } from "../tasks/train/setup.ts";

test("rates: up to the peak in the warm-up, then level or down to the floor, never above the peak", () => {
  for (const kind of scheduleKinds) {
    for (const [warmup, floor] of [[0, 0], [10, 0], [10, 0.1], [100, 0]] as const) {
      const rates = Array.from({ length: 100 }, (_, step) => rateAt({ kind, warmup, floor }, 2, step, 100));
      assert(rates.every((rate) => rate > 0 && rate <= 2), `${kind} ${warmup}`);
      for (let step = 1; step < 100; step++) {
        const rising = rates[step]! > rates[step - 1]!;
        assertEquals(rising, step < warmup, `${kind} ${warmup} ${floor} at ${step}`);
      }
      if (warmup > 0) assertAlmostEquals(rates[warmup - 1]!, 2, 0);
      if (kind !== "constant" && warmup < 100) {
        assertAlmostEquals(rateAt({ kind, warmup, floor }, 2, 100, 100), 2 * floor, 1e-15);
      }
    }
  }
  assertAlmostEquals(rateAt({ kind: "cosine", warmup: 0 }, 2, 50, 100), 1, 1e-15);
  assertAlmostEquals(rateAt({ kind: "linear", warmup: 20 }, 2, 60, 100), 1, 1e-15);
});

const plan: TrainingPlan = {
  batch: 4,
  stages: [{ from: 2, to: 5, steps: 7, stop: 0.5 }, { from: 6, to: 6, batch: 3, steps: 4 }],
  rate: 0.1,
  schedule: { kind: "cosine", warmup: 2 },
  evaluateEvery: 3,
  sequences: 6,
};

test("plan: a stage ends by its loss or its steps, evaluations fall on its own steps, lengths on its range", () => {
  assertEquals([totalSteps(plan), stepsLeft(plan, start, 0), stepsLeft(plan, start, 5)], [11, 11, 6]);
  assertEquals([stepsLeft(plan, { stage: 1, begun: 3 }, 4), stepsLeft(plan, { stage: 2, begun: 7 }, 7)], [3, 0]);
  assertEquals(advanced(plan, start, 3, 0.6), start);
  assertEquals(advanced(plan, start, 3, 0.4), { stage: 1, begun: 3 });
  assertEquals(advanced(plan, start, 7, 0.6), { stage: 1, begun: 7 });
  const second: Position = { stage: 1, begun: 3 };
  assertEquals(advanced(plan, second, 6, 0), second);
  const due = Array.from({ length: 7 }, (_, i) => evaluationDue(plan, start, i + 1));
  assertEquals(due, [false, false, true, false, false, true, true]);
  const lengths = Array.from({ length: 400 }, (_, step) => lengthAt(plan.stages[0]!, 1, step));
  assertEquals([...new Set(lengths)].sort(), [2, 3, 4, 5]);
});

const words = groupWords(cyclic(5));

test("a stage may have a share of the schedule's rate", async () => {
  const stages = [{ from: 2, to: 2, steps: 3 }, { from: 2, to: 2, steps: 3, share: 0.25 }];
  const rates: number[] = [];
  const shared: TrainingPlan = { ...plan, stages, schedule: { kind: "linear", warmup: 0 } };
  for await (const { rate } of trainingSteps(openBigram(5), words, shared, { seed: 1, position: start })) {
    rates.push(rate);
  }
  const whole = [6, 5, 4, 3, 2, 1].map((left) => 0.1 * left / 6);
  rates.forEach((rate, i) => assertAlmostEquals(rate, whole[i]! * (i < 3 ? 1 : 0.25), 1e-15));
  assertEquals(rates.length, 6);
});

async function steps(
  session: TrainingSession,
  position: Position = start,
  most: number = Infinity,
): Promise<readonly TrainingStep[]> {
  const seen: TrainingStep[] = [];
  for await (const step of trainingSteps(session, words, plan, { seed: 3, position })) {
    seen.push(step);
    if (seen.length >= most) break;
  }
  return seen;
}

/** What a step says of the trajectory. */
const known = (step: TrainingStep): object => ({ ...step, seconds: 0, settled: true });

test("a run stopped after any step and gone on from its state is the whole run, bit for bit", async () => {
  const whole = await steps(openBigram(5));
  assertEquals(whole.length, 11);
  assertEquals(whole.map(({ step }) => step), whole.map((_, i) => i + 1));
  assertEquals(whole.filter(({ evaluation }) => evaluation !== undefined).map(({ step }) => step), [3, 6, 7, 10, 11]);
  assertEquals(whole.at(-1)!.position, { stage: 2, begun: 11 });
  // The plan's batches, then the stage's own.
  assertEquals(whole.map(({ tokens, length }) => tokens / length), [4, 4, 4, 4, 4, 4, 4, 3, 3, 3, 3]);
  for (let cut = 1; cut <= whole.length; cut++) {
    const first = openBigram(5);
    const before = await steps(first, start, cut);
    const state = await first.state();
    const second = openBigram(5);
    second.load(state);
    const after = await steps(second, before.at(-1)!.position);
    assertEquals([...before, ...after].map(known), whole.map(known), `cut after ${cut}`);
  }
  // The control: from the saved arrays but another step, rates and data differ.
  const first = openBigram(5);
  const [last] = (await steps(first, start, 4)).slice(-1);
  const other = openBigram(5);
  other.load({ ...(await first.state()), steps: 3 });
  const [next] = await steps(other, last!.position, 1);
  assert(next!.loss !== whole[4]!.loss || next!.gradientNorm !== whole[4]!.gradientNorm);
});

test("a loss that is no number stops the run, and the session is as before", async () => {
  const session = openBigram(5);
  let count = 0;
  const failing: TrainingSession = {
    ...session,
    get steps(): number {
      return session.steps;
    },
    step: (batch, rate) => ++count === 4 ? Promise.resolve({ loss: NaN, gradientNorm: 1 }) : session.step(batch, rate),
  };
  const error = await assertRejects(() => steps(failing), DivergedError);
  assertMatch(
    error.message,
    /^Stopped before step 4: loss and gradient must be finite, got NaN and 1 at rate 0\.0\d+$/,
  );
  assertEquals(session.steps, 3);
  const reference = openBigram(5);
  await steps(reference, start, 3);
  assertEquals(await session.state(), await reference.state());
});

test("a stage says whether dropout drops", async () => {
  const session = openBigram(5);
  const dropped: (boolean | undefined)[] = [];
  const told: TrainingSession = {
    ...session,
    get steps(): number {
      return session.steps;
    },
    step: (batch, rate, options) => {
      dropped.push(options?.dropout);
      return session.step(batch, rate, options);
    },
  };
  const [first] = plan.stages;
  const stages = [{ ...first!, steps: 2, dropout: false }, { ...first!, steps: 1 }];
  for await (const _ of trainingSteps(told, words, { ...plan, stages }, { seed: 3, position: start })) { /* on */ }
  assertEquals(dropped, [false, false, true]);
});

/** A session whose steps resolve late, in order; and how many were on their way at most. */
function late(session: TrainingSession): TrainingSession & { readonly flying: number; readonly most: number } {
  let [flying, most] = [0, 0];
  let last: Promise<unknown> = Promise.resolve();
  return {
    ...session,
    get steps(): number {
      return session.steps;
    },
    get flying(): number {
      return flying;
    },
    get most(): number {
      return most;
    },
    step(batch, rate, options): Promise<StepResult> {
      most = Math.max(most, ++flying);
      const result = session.step(batch, rate, options);
      const ended = last.then(() => new Promise((tick) => setTimeout(tick))).then(() => result).finally(() => flying--);
      last = ended;
      return ended;
    },
  };
}

type State = { readonly steps: number; readonly arrays: NamedArrays };

test("running ahead changes no number, and what asks to save gets a state that a run goes on from", async () => {
  const wholeSession = openBigram(5);
  const whole = await steps(wholeSession);
  const plainStates: State[] = [];
  const plainSession = openBigram(5);
  for await (const _ of trainingSteps(plainSession, words, plan, { seed: 3, position: start })) {
    plainStates.push(await plainSession.state());
  }
  for (const every of [1, 2, 4, 5, 99]) {
    const session = late(openBigram(5));
    const seen: TrainingStep[] = [];
    let unsettled = 0;
    const ahead = (step: number): boolean => step % every !== 0;
    for await (const step of trainingSteps(session, words, plan, { seed: 3, position: start, ahead })) {
      seen.push(step);
      assertEquals(session.flying, step.settled ? 0 : 1);
      assertEquals(step.settled, step.step % every === 0 || step.evaluation !== undefined);
      const state = await session.state();
      if (step.settled) assertEquals(state, plainStates[step.step - 1], `${every}: after ${step.step}`);
      // The control: what is not settled is the state of another step.
      else assertEquals(state.steps, step.step + 1);
      if (!step.settled) unsettled++;
      if (!step.settled) continue;
      const other = openBigram(5);
      other.load(state);
      const after = await steps(other, step.position);
      assertEquals([...seen, ...after].map(known), whole.map(known), `${every}: gone on after ${step.step}`);
    }
    assertEquals([session.most, unsettled > 0], every === 1 ? [1, false] : [2, true]);
    assertEquals(await session.state(), await wholeSession.state());
  }
  // Left in the middle, it waits for what is on its way.
  const session = late(openBigram(5));
  for await (const { step } of trainingSteps(session, words, plan, { seed: 3, position: start, ahead: () => true })) {
    if (step === 1) break;
  }
  assertEquals([session.flying, session.steps], [0, 2]);
});

test("running ahead, the first loss that is no number stops the run; the step behind it changed nothing", async () => {
  // A weight of NaN makes a loss that is no number.
  const failing: Task = {
    ...words,
    batch: (request) => {
      const batch = words.batch(request);
      return request.index === 3 ? { ...batch, weights: batch.weights.map(() => NaN) } : batch;
    },
  };
  const onlyTraining: TrainingPlan = { ...plan, evaluateEvery: 100 };
  const session = late(openBigram(5));
  const seen: number[] = [];
  const error = await assertRejects(async () => {
    for await (
      const { step } of trainingSteps(session, failing, onlyTraining, { seed: 3, position: start, ahead: () => true })
    ) seen.push(step);
  }, DivergedError);
  assertMatch(error.message, /^Stopped before step 4: /);
  assertEquals([seen, session.flying, session.most, session.steps], [[1, 2, 3], 0, 2, 3]);
  const reference = openBigram(5);
  for await (const { step } of trainingSteps(reference, words, onlyTraining, { seed: 3, position: start })) {
    if (step === 3) break;
  }
  assertEquals(await session.state(), await reference.state());
});

test("a run asked to stop in the middle of running ahead stops where it said, and goes on to the same end", async () => {
  const setup = { ...presets[0]!, preset: "any", seed: 3, plan, evaluate: [6] };
  const lines = async (session: TrainingSession, stopAt: number, position = start): Promise<readonly object[]> => {
    const seen: object[] = [];
    let last = session.steps;
    let where = position;
    const { finished, step } = await runTraining(session, words, setup, {
      position,
      stop: () => last >= stopAt,
      onStep: ({ ms: _ms, spent: _spent, tokensPerSecond: _rate, ...line }, position) => {
        assert(line.step === last + 1 && Number.isFinite(_ms) && _ms >= 0);
        [last, where] = [line.step, position];
        seen.push({ ...line, position });
      },
    });
    assertEquals([step, session.steps], [last, last]);
    if (finished) return seen;
    assert(last >= stopAt && last <= stopAt + 1, `${last}`);
    const next = openBigram(5);
    next.load(await session.state());
    return [...seen, ...await lines(late(next), Infinity, where)];
  };
  const whole = await lines(openBigram(5), Infinity);
  assertEquals(whole.length, 11);
  for (let stopAt = 1; stopAt < 11; stopAt++) {
    assertEquals(await lines(late(openBigram(5)), stopAt), whole, `${stopAt}`);
  }
});

test("the control without memory learns the first token of a word and the pairs of a text, no more", async () => {
  const session = openBigram(120);
  const task = groupWords(s5());
  for (let index = 0; index < 40; index++) {
    await session.step(task.batch({ seed: 1, split: "train", index, B: 32, n: 10 }), 0.1);
  }
  // y_1 = x_1; of the others, none can be known better than by chance. Nine in ten, 200 sequences: five deviations.
  const { error } = await evaluate(session, task, { seed: 1, split: "test", length: 10, sequences: 200, batch: 50 });
  assert(error > 0.9 * (1 - 1 / 120) - 5 * Math.sqrt(1 / 120 / 1800) && error <= 0.91, `${error}`);

  const text = textTask(byteTokeniser, splitTokens(tokenise(byteTokeniser, corpusText)));
  const pairs = openBigram(256);
  const options = { seed: 1, split: "test", length: 64, sequences: 16, batch: 8, chunk: 8 } as const;
  const before = await evaluate(pairs, text, options);
  for (let index = 0; index < 60; index++) {
    await pairs.step(text.batch({ seed: 1, split: "train", index, B: 16, n: 64 }), 0.2);
  }
  const after = await evaluate(pairs, text, options);
  assertAlmostEquals(before.loss, Math.log(256), 1e-6);
  assert(after.loss < 3 && after.loss > 1.5, `${after.loss}`);
  assertEquals([after.sequences, after.length], [16, 64]);
});

test("an evaluation weighs what is to be predicted, and tells first tokens of chunks apart", async () => {
  // Two tokens of three are right; the loss of position t is t.
  const predict = ({ tokens, targets }: TokenBatch): Promise<Predictions> =>
    Promise.resolve({
      best: Uint32Array.from(targets, (y, i) => i % 3 === 0 ? (y + 1) % 5 : y),
      losses: Float32Array.from(tokens, (_, i) => i % 12),
      margins: new Float32Array(tokens.length),
    });
  const session = { ...openBigram(5), predict };
  const found = await evaluate(session, words, {
    seed: 1,
    split: "test",
    length: 12,
    sequences: 3,
    batch: 2,
    chunk: 4,
  });
  // Positions 3, 7, 11 predict first tokens of chunks: the others' mean is (66 − 21) / 9.
  assertEquals(found, { length: 12, sequences: 4, loss: 5.5, error: 1 / 3, insideLoss: 5 });
  const text = textTask(byteTokeniser, splitTokens(tokenise(byteTokeniser, "a short text")));
  await assertRejects(
    () => evaluate(openBigram(256), text, { seed: 1, split: "test", length: 9, sequences: 1, batch: 1 }),
    InputError,
    "Cannot evaluate text: windows have from 1 to",
  );
});

const arrays: StoredArrays = {
  "parameter.a": { shape: [2, 3], data: Float32Array.from([1, -0, NaN, Infinity, 1e-45, 3]) },
  steps: { shape: [], data: BigInt64Array.from([-(2n ** 62n)]) },
  "ids é": { shape: [4], data: Uint32Array.from([0, 1, 2 ** 32 - 1, 7]) },
  empty: { shape: [0, 5], data: new Float32Array(0) },
};

function fileOf(some: StoredArrays, metadata: { readonly [key: string]: string } = {}): Uint8Array {
  const parts = safetensors(some, metadata);
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A file with another header in front of the same data. */
function withHeader(header: string, data: Uint8Array): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

test("safetensors: what is written is read, bit for bit; the layout is the format's", () => {
  const metadata = { format: "1", note: 'quotes " and é' };
  const file = fileOf(arrays, metadata);
  assertEquals(readSafetensors(file, "it"), { metadata, arrays });
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  assertEquals(length % 8, 0);
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
  assertEquals(header["ids é"], { dtype: "U32", shape: [4], data_offsets: [32, 48] });
  assertEquals(header["steps"], { dtype: "I64", shape: [], data_offsets: [24, 32] });
  assertEquals(file.length, 8 + length + 48);
  // Read from the middle of a larger buffer.
  const larger = new Uint8Array(file.length + 3);
  larger.set(file, 3);
  assertEquals(readSafetensors(larger.subarray(3), "it").arrays, arrays);
});

test("safetensors: what is not whole is refused in one line", () => {
  const file = fileOf({ x: { shape: [2], data: Float32Array.from([1, 2]) } });
  for (let length = 0; length < file.length; length++) {
    const error = assertThrows(() => readSafetensors(file.subarray(0, length), "it"), InputError, "Cannot read it: ");
    assert(!error.message.includes("\n"));
  }
  const entry = (text: string): Uint8Array => withHeader(text, new Uint8Array(8));
  const refused: [Uint8Array, RegExp][] = [
    [withHeader("[]", new Uint8Array(0)), /its header must be a JSON object/],
    [withHeader("{\xff", new Uint8Array(0)), /its header must be a JSON object/],
    [entry('{"x":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}'), /x must have a dtype of F32, U32, I64/],
    [entry('{"x":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}'), /x must have a dtype .* a shape, offsets/],
    [entry('{"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}'), /x \[3\] takes bytes 0 to 12, got 0 to 8/],
    [entry('{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'), /x \[1\] takes bytes 0 to 4, got 4 to 8/],
    [entry('{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'), /its arrays end at byte 66, the file at 70/],
    [entry('{"__metadata__":{"a":1}}'), /its metadata must be texts by name/],
  ];
  for (const [bytes, pattern] of refused) {
    assertMatch(assertThrows(() => readSafetensors(bytes, "it"), InputError).message, pattern);
  }
});

/** Of a head of its own, or one that is the table of tokens, transposed. */
function headShape(network: TokenNetwork): readonly number[] {
  const { head, ...others } = network.parameters;
  if (head !== undefined) return head.shape;
  const { shape } = others["tokens"] ?? others["enc.tokens"]!;
  const table = { shape, data: Array.from({ length: shape[0]! * shape[1]! }, (_, i) => i) };
  const made = headOf(network, arrayOps(f64), { tokens: table, "enc.tokens": table });
  assertEquals(made.data.slice(0, 2), [0, shape[1]!]);
  return made.shape;
}

test("networks: a tied head is no parameter, and the table of tokens, transposed", () => {
  const sizes = { ...presets[0]!.model.sizes, d: 4, heads: 2, chunk: 2, tied: true };
  for (const name of modelNames.filter((name) => name !== CONTROL)) {
    const network = networkOf({ name, sizes }, { vocabulary: 7, longest: 12 })!;
    assertEquals([network.parameters["head"], headShape(network)], [undefined, [4, 7]], name);
    const own = networkOf({ name, sizes: { ...sizes, tied: false } }, { vocabulary: 7, longest: 12 })!;
    assertEquals([own.head, headShape(own)], [undefined, [4, 7]], name);
  }
});

test("networks: every name has one, for every preset, with a head over its vocabulary", () => {
  const context = { vocabulary: 7, longest: 12 };
  for (const { name: preset, model: { sizes } } of presets) {
    for (const name of modelNames) {
      const network = networkOf({ name, sizes }, context);
      if (name === CONTROL) assertEquals(network, undefined);
      else assertEquals(headShape(network!), [sizes.d, 7], `${preset} ${name}`);
      assertEquals(chunkOf({ name, sizes }), network !== undefined && "agg" in network ? sizes.chunk : undefined, name);
    }
  }
  assertThrows(
    () => networkOf({ name: "rnn", sizes: presets[0]!.model.sizes }, context),
    InputError,
    "Cannot train rnn",
  );
});

test("in chunks of one token a repeated first token is taken for the first: the least loss is above 0", () => {
  const sizes = { d: 4, heads: 1, layers: 1, aggLayers: 1, chunk: 1, dropout: 0 };
  const ops = arrayOps(f64);
  /** The vectors of a word's tokens. */
  const hidden = (name: string, word: readonly number[]): readonly (readonly number[])[] => {
    const network = networkOf({ name, sizes }, { vocabulary: 3, longest: 4 })!;
    const parameters = parameterArrays(network, initialParameters(network.parameters, 1));
    const { data } = network.hidden(ops, parameters, { shape: [1, word.length], data: word });
    return word.map((_, t) => Array.from(data.slice(4 * t, 4 * (t + 1))));
  };
  /** Largest difference; sums in another order may differ by some roundings of numbers around 1. */
  const apart = (a: readonly number[], b: readonly number[]): number =>
    Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));
  const [first, again, third] = hidden("t-psm", [2, 2, 2]);
  assert(apart(first!, again!) < 1e-12);
  assert(apart(first!, third!) > 1e-4);
  assert(apart(hidden("t-psm", [1, 2])[1]!, first!) > 1e-4);
  // The control: with positions they are told apart.
  const [one, two] = hidden("gpt2", [2, 2]);
  assert(apart(one!, two!) > 1e-4);

  // The least loss by its definition: the label of [a] and of [a, a], where a · a ≠ a, are one distribution.
  for (const [order, n] of [[2, 4], [5, 8], [120, 18]] as const) {
    const p = order / (order + 1);
    const least = (1 - 1 / order) * (-Math.log(p) - Math.log(1 - p) / order) / n;
    assertAlmostEquals(leastLoss(order, n), least, 1e-15);
    // No other p does better.
    for (const q of [p - 0.01, p + 0.001]) {
      assert((1 - 1 / order) * (-Math.log(q) - Math.log(1 - q) / order) / n > least);
    }
  }
});

test("a run may begin with another's parameters: longer chunks keep what was drawn for their further places", async () => {
  const setupOf = (name: string): Setup => ({
    ...presets.find((preset) => preset.name === name)!,
    preset: name,
    seed: 1,
  });
  const [short, long] = [setupOf("mqar-c32-l512"), setupOf("mqar-c64-l512")];
  const task = await taskOf(long.task);
  const arraysOf = (setup: Setup, value: number): NamedArrays =>
    Object.fromEntries(
      Object.entries(checkpointShapes(setup, task)).map(([name, shape]) => [
        name,
        { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value) },
      ]),
    );
  const from = { steps: 7, arrays: arraysOf(short, 2), setup: short, task: task.identity, position: start };
  checkBeginning(from, long, task, "run");
  for (const [name, { shape, data }] of Object.entries(beginning(arraysOf(long, 1), from))) {
    const copied = !name.startsWith("parameter.") ? 0 : name === "parameter.enc.places" ? 32 * 128 : data.length;
    assertEquals(shape, checkpointShapes(long, task)[name]);
    assert(data.every((x, i) => x === (i < copied ? 2 : 1)), name);
  }
  const to = { ...from, arrays: arraysOf(long, 2), setup: long };
  assertMatch(
    assertThrows(() => checkBeginning(to, short, task, "run"), InputError).message,
    /^Cannot begin with run: parameter.enc.places of t-psm must be \[32, 128\], got \[64, 128\]$/,
  );
  // Networks may differ where their parameters' shapes do not.
  const heads = { ...long, model: { ...long.model, sizes: { ...long.model.sizes, heads: 2 } } };
  assertMatch(
    assertThrows(() => checkBeginning(from, heads, task, "run"), InputError).message,
    /^Cannot begin with run: its network must be t-psm .*heads=2.*, got t-psm .*heads=1/,
  );
});

test("presets: names differ, every task has one, lengths and shards fit", async () => {
  assertEquals(new Set(presets.map(({ name }) => name)).size, presets.length);
  for (const name of taskNames) {
    assertEquals(presets.find((preset) => preset.name === defaultPresets[name])?.task.name, name);
  }
  const tasks = new Map<string, ReturnType<typeof taskOf>>();
  for (const { name, quality, about, ...preset } of presets) {
    const key = JSON.stringify(preset.task);
    if (!tasks.has(key)) tasks.set(key, taskOf(preset.task));
    const task = await tasks.get(key)!;
    const setup = { ...preset, preset: name, seed: 1 };
    checkLengths(task, setup);
    if (quality !== undefined) assert(setup.evaluate.includes(quality.length));
    assert(about.length > 10 && setup.plan.stages.every(({ from, to, steps }) => from <= to && steps > 0), name);
    const control = { ...setup, model: { ...setup.model, name: "bigram" } };
    assertEquals(networkOf(control.model, { vocabulary: task.vocabulary, longest: longestOf(setup) }), undefined);
    if (task.vocabulary < 1000) checkShards(control, task, 2 ** 20);
  }
});
