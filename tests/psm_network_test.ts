/**
 * Prefix-scannable networks: the batched tree is, bit for bit, the definition one chunk at a time; its cost; its parts.
 */
import { test } from "node:test";
import { assert, assertAlmostEquals, assertEquals, assertLessOrEqual, assertRejects, assertThrows } from "@std/assert";
import { arrayTree } from "../models/networks/_array_tree.ts";
import type { Analytic } from "../models/arith.ts";
import { associators } from "../models/networks/associator.ts";
import { withoutChunkStarts } from "../models/networks/chunk_starts.ts";
import { decayAggregator } from "../models/networks/decay_aggregator.ts";
import { InputError } from "../models/error.ts";
import { gatedMlpAggregator } from "../models/networks/gated_mlp_aggregator.ts";
import { matchedWindow, psmCosts } from "../models/networks/matched_compute.ts";
import { f64 } from "../models/number.ts";
import {
  type AttentionMask,
  type Parameters,
  type TensorOps,
  type TokenNetwork,
  under,
} from "../models/networks/ops.ts";
import { initialParameters } from "../models/networks/parameters.ts";
import { parallel } from "../models/psm.ts";
import { psmNetwork } from "../models/networks/psm_network.ts";
import type { ChunkAggregator, PsmNetwork } from "../models/networks/psm_parts.ts";
import { seeded } from "../models/random.ts";
import type { TokenBatch } from "../models/networks/training.ts";
import { slidingWindow } from "../models/networks/transformer.ts";
import { transformerPsm, type TransformerPsmOptions } from "../models/networks/transformer_psm.ts";
import { arrayEvaluator } from "../oracle/array_evaluator.ts";
import { arrayOps } from "../oracle/array_ops.ts";
import { type Dyadic, dyadic, fromNumber, toNumber } from "../oracle/dyadic.ts";
import { arrayOf, filled, type IdArray, type NdArray } from "../oracle/nd_array.ts";
import { networkLoss, networkSlopes, slopeOf } from "../oracle/network_gradient.ts";
import { networkPsm, parameterArrays } from "../oracle/network_psm.ts";
import { checkPsm } from "../oracle/psm.ts";
import { foldInclusive } from "../scan/sequential.ts";
import { blellochInclusive } from "../scan/blelloch.ts";

const ops = arrayOps(f64);
const V = 7;
const d = 4;

function tiny(changes: Partial<TransformerPsmOptions> = {}): PsmNetwork {
  return transformerPsm({ vocabulary: V, d, heads: 2, chunk: 2, aggLayers: 1, infLayers: 2, ...changes });
}

/** Parameters away from where they begin, so that no term is 0 and every matrix matters. */
function drawn(network: PsmNetwork, seed = 1): Parameters<NdArray<number>> {
  const values = initialParameters(network.parameters, seed);
  return parameterArrays(
    network,
    Object.fromEntries(
      Object.entries(values).map(([name, array]) => {
        const random = seeded(seed, "shift", name);
        return [name, array.map((x) => 8 * x + 0.5 * random())];
      }),
    ),
  );
}

const tokensOf = (n: number, row = 0): number[] => {
  const random = seeded(5, "tokens", row);
  return Array.from({ length: n }, () => Math.floor(V * random()));
};

function hidden(
  network: PsmNetwork,
  p: Parameters<NdArray<number>>,
  rows: readonly (readonly number[])[],
): NdArray<number> {
  return network.hidden(ops, p, arrayOf(rows.flat(), [rows.length, rows[0]!.length]));
}

const aggregators: { readonly [name: string]: TransformerPsmOptions["agg"] } = {
  bidirectional: "bidirectional",
  causal: "causal",
  "gated-mlp": gatedMlpAggregator({ d, hidden: 3 }),
  decay: decayAggregator({ d }),
};

for (const [name, agg] of Object.entries(aggregators)) {
  for (const chunk of [1, 2, 3]) {
    test(`the batched tree with ${name} equals the definition, for every length in chunks of ${chunk}`, () => {
      const network = tiny({ chunk, ...(agg === undefined ? {} : { agg }), infLayers: 1 });
      const p = drawn(network);
      const psm = networkPsm(network, p);
      for (let n = 1; n <= 9 * chunk + 1; n++) {
        const rows = [tokensOf(n), tokensOf(n, 1)];
        const got = hidden(network, p, rows);
        assertEquals(got.shape, [2, n, d]);
        assertEquals(got.data, rows.flatMap((row) => parallel(psm, row).outputs.flat()), `length ${n}`);
      }
    });
  }
}

test("the judge passes the network's parts through both drivers", async () => {
  for (const agg of ["bidirectional", decayAggregator({ d })] as const) {
    const network = tiny({ chunk: 3, agg });
    const report = await checkPsm(networkPsm(network, drawn(network)), {
      token: (random) => Math.floor(V * random()),
      lengths: [1, 3, 8, 25],
    });
    assertEquals(report.rows.filter(({ ok }) => !ok), []);
  }
});

/** The aggregator with its operands exchanged: a fault. */
function exchanged(agg: ChunkAggregator): ChunkAggregator {
  return { ...agg, combine: (o, p, earlier, later) => agg.combine(o, p, later, earlier) };
}

test("operands exchanged in the aggregator show from the third chunk on", () => {
  const network = tiny();
  const faulty = psmNetwork({ ...network, agg: exchanged(network.agg) });
  const p = drawn(network);
  const [got, want] = [faulty, network].map((one) => hidden(one, p, [[0, 1, 2, 3, 4, 5, 6, 0, 1, 2]]).data);
  assertEquals(got!.slice(0, 4 * d), want!.slice(0, 4 * d));
  for (let t = 4; t < 10; t++) assert(got![t * d] !== want![t * d], `token ${t}`);
});

test("a vector depends on its own token and those before, and on every one of them", () => {
  const network = tiny({ chunk: 3 });
  const p = drawn(network);
  const n = 17;
  const row = tokensOf(n);
  const want = hidden(network, p, [row]).data;
  for (let at = 0; at < n; at++) {
    const got = hidden(network, p, [row.with(at, (row[at]! + 1) % V)]).data;
    assertEquals(got.slice(0, at * d), want.slice(0, at * d), `token ${at}`);
    for (let t = at; t < n; t++) {
      assert(got.slice(t * d, (t + 1) * d).some((x, i) => x !== want[t * d + i]), `token ${at} on ${t}`);
    }
  }
});

test("Agg is called once per level: at most 2 log2 r times", () => {
  for (const r of [1, 2, 3, 7, 8, 9, 64, 100, 256, 1000]) {
    for (const rest of [0, 1]) {
      let calls = 0;
      const agg = decayAggregator({ d: 1 });
      const network = psmNetwork({
        ...transformerPsm({ vocabulary: V, d: 1, heads: 1, chunk: 2, aggLayers: 1, infLayers: 1 }),
        agg: { ...agg, combine: (o, p, a, b) => (calls++, agg.combine(o, p, a, b)) },
      });
      hidden(network, drawn(network), [tokensOf(2 * r + rest)]);
      assertLessOrEqual(calls, 2 * Math.ceil(Math.log2(r)), `${r} chunks`);
      assert(r < 4 || calls > Math.log2(r), "calls are counted");
    }
  }
});

test("the tree of the decay aggregator is its fold, exactly", () => {
  const exact = arrayOps(dyadic as unknown as Analytic<Dyadic>);
  const agg = decayAggregator({ d });
  const random = seeded(2, "leaves");
  for (const n of [1, 2, 3, 7, 20, 33]) {
    const leaves = filled([n, 1, 2, 2 * d], () => fromNumber(Math.fround(random())));
    const tree = arrayTree(exact, {}, agg, leaves);
    const nodes = Array.from({ length: n }, (_, i) => tree.leaf(i));
    const [left, right] = [blellochInclusive, foldInclusive].map((all) => tree.gathered(all(tree.op, nodes)));
    assertEquals(left!.data.map(toNumber), right!.data.map(toNumber));
    assertEquals(left, right);
  }
});

test("associators: 0 for the decay, not for attention; relative ones at most 2", async () => {
  const tokens = [...tokensOf(16), ...tokensOf(16, 1)];
  for (const [agg, associative] of [["bidirectional", false], [decayAggregator({ d }), true]] as const) {
    const network = tiny({ agg });
    const evaluator = arrayEvaluator();
    const p = Object.fromEntries(
      Object.entries(drawn(network)).map(([name, { shape, data }]) => [name, evaluator.values(data, shape)]),
    );
    const live = evaluator.live;
    for (const [level, triples] of [[0, 12], [1, 4]] as const) {
      const found = await associators(evaluator, network, p, { tokens, B: 2, level });
      assertEquals(found.length, triples);
      for (const { distance, relative } of found) {
        assert(relative <= 2 && relative >= 0);
        // Three products and two sums, each rounded once, of numbers below 8.
        if (associative) assertLessOrEqual(distance, 2 ** -46);
        else assert(relative > 2 ** -10, `${relative}`);
      }
    }
    assertEquals(evaluator.live, live);
    await assertRejects(
      () => associators(evaluator, network, p, { tokens, B: 2, level: 2 }),
      InputError,
      "2 rows of at least 24, got 32",
    );
  }
});

test("parameters are named by part, begin as GPT-2's do, and decay where they are matrices", () => {
  const { parameters } = tiny({ aggLayers: 2 });
  assertEquals(parameters["agg.1.attention.query"]?.shape, [d, d]);
  assertEquals(parameters["enc.places"], { shape: [2, d], initial: { kind: "normal", std: 0.02 }, decay: false });
  assertEquals(parameters["agg.0.mlp.down"]?.initial, { kind: "normal", std: 0.01 });
  assertEquals(parameters["inf.1.mlp.up"]?.initial, { kind: "normal", std: 0.02 });
  assertEquals(parameters["inf.norm.gain"], { shape: [d], initial: { kind: "ones" }, decay: false });
  assertEquals(parameters["head"]?.shape, [d, V]);
  const values = initialParameters(parameters, 3);
  assertEquals(values, initialParameters(parameters, 3));
  const big = initialParameters({ x: { shape: [100, 100], initial: { kind: "normal", std: 0.02 }, decay: true } }, 1)
    .x!;
  // The deviation of a mean square of 10^4 normal squares is √(2 / 10^4): seven of them.
  assertAlmostEquals(big.reduce((sum, x) => sum + x * x, 0) / 1e4 / 0.02 ** 2, 1, 0.1);
  assertEquals(Object.keys(under(parameters as never, "enc")), ["tokens", "places"]);
});

test("the authors' loss leaves out the first token of every chunk", () => {
  assertEquals([...withoutChunkStarts([1, 1, 1, 1, 2, 2, 2, 2], 4, 2)], [1, 0, 1, 0, 2, 0, 2, 0]);
  assertThrows(() => withoutChunkStarts([1, 1], 2, 1), InputError, "the chunk must be ≥ 2, got 1");
});

test("unusable sizes are refused in one line", () => {
  assertThrows(() => tiny({ chunk: 0 }), InputError, "chunk must be a whole number ≥ 1, got 0");
  assertThrows(() => tiny({ heads: 3 }), InputError, "heads must divide d = 4, got 3");
  assertThrows(() => tiny({ infLayers: 0 }), InputError, "layers must be a whole number ≥ 1, got 0");
  assertThrows(() => tiny().hidden(ops, {}, arrayOf([0], [1, 1])), InputError, "parameter tokens is missing");
});

/** Networks whose slopes are checked: every kind of part, chunks and a chunk begun. */
const graded: readonly PsmNetwork[] = [
  tiny({ infLayers: 1 }),
  tiny({ chunk: 1, agg: "causal", infLayers: 1 }),
  tiny({ agg: gatedMlpAggregator({ d, hidden: 3 }), infLayers: 1 }),
  tiny({ agg: decayAggregator({ d }), infLayers: 1 }),
];
for (const network of graded) {
  test(`duals give the slope of the loss of ${network.name} (${network.agg.name}) in every parameter`, () => {
    const parameters = Object.fromEntries(
      // Embeddings of order 1, whose norms are tame functions of them; and a draw where those further up are too: where a
      // vector is nearly 0 the fifth derivative of its norm is beyond what a difference below allows for.
      Object.entries(drawn(network, 4)).map(([name, { data }]) => [
        name,
        Float64Array.from(data, (x) => name.startsWith("enc.") ? 8 * x : x),
      ]),
    );
    const n = 4 * network.chunk + 1;
    const batch: TokenBatch = {
      B: 2,
      n,
      tokens: Uint32Array.from([...tokensOf(n), ...tokensOf(n, 1)]),
      targets: Uint32Array.from([...tokensOf(n, 2), ...tokensOf(n, 3)]),
      weights: Float32Array.from({ length: 2 * n }, (_, i) => i % 3),
    };
    const names = Object.keys(parameters);
    const directions = names.map((name) => {
      const random = seeded(8, "direction", name);
      return { [name]: parameters[name]!.map(() => 2 * random() - 1) };
    });
    const { loss, slopes } = networkSlopes(network, parameters, directions, batch);
    assertAlmostEquals(loss, networkLoss(network, parameters, batch), 2 ** -44);
    const at = (name: string, step: Float64Array, h: number): number =>
      networkLoss(network, { ...parameters, [name]: parameters[name]!.map((x, i) => x + h * step[i]!) }, batch);
    names.forEach((name, i) => {
      const step = directions[i]![name]!;
      const pair = (h: number): number => at(name, step, h) - at(name, step, -h);
      const difference = (8 * pair(2 ** -14) - pair(2 ** -13)) * 2 ** 14 / 12;
      // With h = 2^-14 off by h⁴ f⁵/30, and by the rounding of some 2^9 terms of order 1, 2^-44, over h: below 2^-29
      // where the fifth derivative is below 2^30.
      assertAlmostEquals(slopes[i]!, difference, 2 ** -29, name);
      assertAlmostEquals(slopeOf({ [name]: step.map((x) => 1 / x) }, { [name]: step }), step.length, 2 ** -40);
    });
    // Keys' biases move all scores of a query alike.
    const still = names.filter((_, i) => Math.abs(slopes[i]!) < 2 ** -30);
    assertEquals(still.filter((name) => !name.endsWith("keyBias")), []);
  });
}

test("a gradient with a fault of 2^-10 in one array does not pass for the slope", () => {
  const network = graded[0]!;
  const parameters = Object.fromEntries(
    Object.entries(drawn(network)).map(([name, { data }]) => [name, Float64Array.from(data)]),
  );
  const one = Uint32Array.of(1, 2, 3, 4, 5, 6);
  const batch = { B: 1, n: 6, tokens: one, targets: one, weights: new Float32Array(6).fill(1) };
  const name = "agg.0.mlp.up";
  const all = parameters[name]!.map(() => 1);
  const units = Array.from(all, (_, i) => ({ [name]: all.map((_, j) => i === j ? 1 : 0) }));
  const { slopes } = networkSlopes(network, parameters, [{ [name]: all }, ...units], batch);
  const gradient = { [name]: Float64Array.from(slopes.slice(1)) };
  assertAlmostEquals(slopeOf(gradient, { [name]: all }), slopes[0]!, 2 ** -46);
  gradient[name]![0]! *= 1 + 2 ** -10;
  assert(Math.abs(slopeOf(gradient, { [name]: all }) - slopes[0]!) > 2 ** -40);
});

/** Multiply-adds of projections and attention, counted from shapes; hidden keys are not counted. */
function counted(network: TokenNetwork, n: number): number {
  let count = 0;
  const seen = (mask: AttentionMask, position: number, m: number): number =>
    mask === "bidirectional" ? m : mask === "causal" ? position + 1 : Math.min(mask.window, position + 1);
  const counting: TensorOps<NdArray<number>, IdArray> = {
    ...ops,
    linear(x, w, bias) {
      count += x.data.length * w.shape[1]!;
      return ops.linear(x, w, bias);
    },
    attention(q, k, v, options) {
      const [N, rows, width] = q.shape as readonly [number, number, number];
      const m = k.shape[1]!;
      for (let i = 0; i < rows; i++) count += 2 * N * width * seen(options.mask, m - rows + i, m);
      return ops.attention(q, k, v, options);
    },
  };
  network.hidden(
    counting,
    parameterArrays(network, initialParameters(network.parameters, 1)),
    arrayOf(tokensOf(n), [1, n]),
  );
  return count;
}

for (const agg of ["bidirectional", "causal"] as const) {
  test(`the cost of a Transformer-PSM (${agg}) is the counted one, and its sliding window costs as much`, () => {
    const options = { vocabulary: V, d: 4, heads: 2, chunk: 4, aggLayers: 2, infLayers: 3, agg };
    const network = transformerPsm(options);
    const costs = psmCosts(options);
    const [r, c] = [16, 4];
    // 2 (r − 1 − log2 r) combines of a power of two of chunks.
    assertEquals(counted(network, r * c), counted(network, c) + (r - 1) * costs.inf + 22 * costs.agg);
    const window = matchedWindow(options);
    assertEquals(window.window, 2 * c);
    const perToken = (counted(slidingWindow(window), 80) - counted(slidingWindow(window), 79)) /
      ((2 * costs.agg + costs.inf) / c);
    // Off by half a layer at most.
    assertAlmostEquals(perToken, 1, 0.5 / (window.layers - 0.5));
  });
}
