/**
 * Log-linear attention: its static tree, its stream over the counter's roots and its Fenwick mask are one function, exactly;
 * and its layer is that function.
 */
import { test } from "node:test";
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { normal } from "../models/domain.ts";
import { InputError } from "../models/error.ts";
import { languageModel } from "../models/networks/language_model.ts";
import { sequenceLayer } from "../models/networks/layer_presets.ts";
import {
  fenwickLevel,
  fenwickLevels,
  type Forest,
  logLinearAttention,
  logLinearByMask,
  type LogLinearToken,
} from "../models/log_linear_attention.ts";
import { nonAffineModels } from "../models/mod.ts";
import { f64 } from "../models/number.ts";
import { initialParameters } from "../models/networks/parameters.ts";
import { parallel, type Psm, stream } from "../models/psm.ts";
import { seeded } from "../models/random.ts";
import { resumableDecoder } from "../models/networks/resumable_decoder.ts";
import { arrayEvaluator } from "../oracle/array_evaluator.ts";
import { arrayOps } from "../oracle/array_ops.ts";
import { type Dyadic, dyadic, fromNumber, toNumber } from "../oracle/dyadic.ts";
import { arrayOf, filled, type NdArray } from "../oracle/nd_array.ts";
import { checkPsm } from "../oracle/psm.ts";

const LONGEST = 130;
const levels = fenwickLevels(LONGEST);

/** Tokens of small multiples of 1/16, so that exact numbers stay short. */
function tokensOf<N>(of: (x: number) => N, n: number, decays = true): LogLinearToken<N>[] {
  return Array.from({ length: n }, (_, t) => {
    const random = seeded(6, "token", t);
    const vector = (size: number): N[] => Array.from({ length: size }, () => of(Math.round(32 * random() - 16) / 16));
    const a = of(decays ? Math.round(16 * random()) / 16 : 1);
    return { q: vector(2), k: vector(2), v: vector(3), a, lambda: vector(levels) };
  });
}

const numbers = (outputs: readonly (readonly Dyadic[])[]): number[][] => outputs.map((row) => row.map(toNumber));

for (const decays of [true, false]) {
  test(`tree, stream and mask agree exactly at all lengths to ${LONGEST} ${decays ? "with" : "without"} decay`, () => {
    const tokens = tokensOf(fromNumber, LONGEST, decays);
    const model = logLinearAttention(dyadic);
    const want = numbers(logLinearByMask(dyadic, tokens));
    const running = stream(model);
    for (let n = 0; n < LONGEST; n++) {
      const { outputs, state } = parallel(model, tokens.slice(0, n));
      assertEquals(numbers(outputs), want.slice(0, n));
      // The roots of the counter are single blocks, of the sizes that n has in binary.
      const blocks = running.roots().map(({ level, value }) => [level, value.map((root) => root.level)]);
      assertEquals(
        blocks,
        [...n.toString(2)].flatMap((bit, i, { length }) => bit === "1" ? [[length - 1 - i, [length - 1 - i]]] : []),
      );
      assertEquals(running.save().counter.roots, state.counter.roots);
      assertEquals(numbers([running.push(tokens[n]!)]), [want[n]!]);
    }
  });
}

test("levels of the mask are the blocks of the counter", () => {
  for (let t = 0; t < 200; t++) {
    const wanted: number[] = [];
    for (let bit = 7; bit >= 0; bit--) if ((t >> bit) % 2 === 1) wanted.push(...Array<number>(2 ** bit).fill(bit + 1));
    assertEquals(Array.from({ length: t + 1 }, (_, s) => fenwickLevel(t, s)), [...wanted, 0]);
    assert(fenwickLevels(t + 1) > Math.max(0, ...wanted));
  }
  assertEquals([1, 2, 3, 4, 5, 8, 9].map(fenwickLevels), [1, 2, 3, 3, 4, 4, 5]);
});

type Model = Psm<LogLinearToken<number>, Forest<number>, readonly number[]>;

test("the judge passes it, and faults of level, decay and order show against the mask", async () => {
  const model = logLinearAttention(f64);
  const tokens = tokensOf(Number, 40);
  const report = await checkPsm(model, { token: (_, i) => tokens[i]!, lengths: [1, 2, 7, 8, 33] });
  assertEquals(report.rows.filter(({ ok }) => !ok), []);
  const want = logLinearByMask(f64, tokens);
  const faults: readonly Model[] = [
    { ...model, inf: (prefix, chunk) => model.inf(prefix?.map((root) => ({ ...root, level: root.level + 1 })), chunk) },
    { ...model, inf: (prefix, chunk) => model.inf(prefix?.map((root) => ({ ...root, decay: 1 })), chunk) },
    { ...model, inf: (prefix, chunk) => model.inf(prefix && [...prefix].reverse(), chunk) },
    { ...model, agg: (earlier, later) => [...model.agg(earlier, later)].slice(-2) },
  ];
  const off = (faulty: Model): boolean =>
    parallel(faulty, tokens).outputs.some((row, t) => row.some((x, i) => Math.abs(x - want[t]![i]!) > 2 ** -20));
  assert(!off(model));
  for (const faulty of faults) assert(off(faulty));
});

test("a token without a weight for a level is refused in one line", () => {
  const [first, second] = tokensOf(Number, 2);
  const running = stream(logLinearAttention(f64));
  running.push({ ...first!, lambda: [1] });
  assertThrows(() => running.push({ ...second!, lambda: [1] }), InputError, "Cannot read level 1");
});

const ops = arrayOps(f64);

test("the layer is the mask, head by head, at lengths around powers of two", () => {
  const [d, heads, B] = [4, 2, 2];
  const layer = sequenceLayer("log-linear-attention", { d, heads, longest: 40 });
  const p = Object.fromEntries(
    Object.entries(initialParameters(layer.parameters, 2)).map(([name, data]) => {
      const random = seeded(2, "shift", name);
      return [name, arrayOf(data.map((x) => x + 2 * random() - 1), layer.parameters[name]!.shape)];
    }),
  );
  for (const n of [1, 2, 3, 7, 8, 9, 31, 37]) {
    const random = seeded(7, "x", n);
    const x = filled([B, n, d], () => normal(random));
    const input = (key: string): NdArray<number> =>
      ops.reshape(ops.linear(x, p[key]!, p[`${key}Bias`]), [B, n, heads, p[key]!.shape[1]! / heads]);
    const [q, k, v, g, lambda] = ["query", "key", "value", "decay", "level"].map(input) as NdArray<number>[];
    const row = (y: NdArray<number>, b: number, t: number, h: number): readonly number[] => {
      const width = y.shape[3]!;
      const from = ((b * n + t) * heads + h) * width;
      return y.data.slice(from, from + width);
    };
    const read = new Array<number>(B * n * d);
    for (let b = 0; b < B; b++) {
      for (let h = 0; h < heads; h++) {
        const tokens = Array.from({ length: n }, (_, t) => ({
          q: row(q!, b, t, h),
          k: row(k!, b, t, h),
          v: row(v!, b, t, h),
          a: f64.sigmoid(row(g!, b, t, h)[0]!),
          lambda: row(lambda!, b, t, h).map((value) => f64.softplus(value) + 2 ** -20),
        }));
        logLinearByMask(f64, tokens).forEach((out, t) =>
          out.forEach((y, i) => read[((b * n + t) * heads + h) * 2 + i] = y)
        );
      }
    }
    const normed = ops.reshape(ops.rmsNorm(arrayOf(read, [B, n, heads, d / heads]), p["norm"]!), [B, n, d]);
    const want = ops.linear(ops.mul(normed, ops.map("silu", ops.linear(x, p["gate"]!))), p["out"]!);
    const whole = layer.whole(ops, p, x);
    assertEquals(whole.shape, [B, n, d]);
    const split = Math.ceil(n / 3);
    const first = layer.resume!(ops, p, ops.slice(x, 1, 0, split), []);
    const streamed = split === n
      ? first.y
      : ops.concat([first.y, layer.resume!(ops, p, ops.slice(x, 1, split, n), first.state).y], 1);
    // Sums of 37 terms, each of some ten roundings and an exponent below 2^6, of numbers below 2^4.
    want.data.forEach((y, i) => assertAlmostEquals(whole.data[i]!, y, 2 ** -36));
    want.data.forEach((y, i) => assertAlmostEquals(streamed.data[i]!, y, 2 ** -36));
  }
  assertThrows(
    () => layer.whole(ops, p, filled([1, 41, d], () => 0)),
    InputError,
    "it has weights for 40 tokens, got 41",
  );
});

test("a language model of it streams in one text of operations, as it is computed whole", async () => {
  const network = languageModel({
    vocabulary: 7,
    d: 4,
    heads: 2,
    layers: 2,
    layer: "log-linear-attention",
    longest: 20,
  });
  const values = initialParameters(network.parameters, 1);
  const evaluator = arrayEvaluator();
  const p = Object.fromEntries(
    Object.entries(values).map((
      [name, data],
    ) => [name, evaluator.values(data.map((x) => 8 * x), network.parameters[name]!.shape)]),
  );
  const tokens = Array.from({ length: 20 }, (_, t) => (3 * t * t + t) % 7);
  const logits = ops.linear(network.hidden(ops, p, arrayOf(tokens, [1, 20])), p["head"]!);
  const own = evaluator.live;
  let running = resumableDecoder(network, evaluator, p);
  for (let t = 0; t < 20; t++) {
    const got = await running.push([tokens[t]!]);
    got.forEach((x, i) => assertAlmostEquals(x, logits.data[t * 7 + i]!, 2 ** -36));
    if (t !== 11) continue;
    const saved = await running.save();
    running.close();
    running = resumableDecoder(network, evaluator, p);
    await running.restore(saved);
  }
  running.close();
  assertEquals([evaluator.live, evaluator.calls.size], [own, 2]);
});

test("models beyond the affine ones are listed by name, each once", () => {
  const names = nonAffineModels.map(({ name }) => name);
  assertEquals(names, ["t-psm", "log-linear-attention", "gpt2", "sliding-window"]);
});
