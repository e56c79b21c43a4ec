/**
 * Language models around every layer: within the domains of their models, causal, and streamed as they are computed whole.
 */
import { test } from "node:test";
import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { affineModel, type AnyAffineModel } from "../models/affine.ts";
import { type DomainMap, real } from "../models/domain.ts";
import { beforeDomain, intoDomain } from "../models/networks/domain_map.ts";
import { InputError } from "../models/error.ts";
import { inputEntries } from "../models/inputs.ts";
import { languageModel, type LanguageModelOptions } from "../models/networks/language_model.ts";
import { layerNames, sequenceLayer } from "../models/networks/layer_presets.ts";
import { f64 } from "../models/number.ts";
import type { TensorOps } from "../models/networks/ops.ts";
import { initialParameters } from "../models/networks/parameters.ts";
import { seeded } from "../models/random.ts";
import type { ResumableNetwork } from "../models/networks/resumable.ts";
import { resumableDecoder } from "../models/networks/resumable_decoder.ts";
import { s4dParameters } from "../models/networks/s4d_parameters.ts";
import { shortConvolution } from "../models/networks/short_convolution.ts";
import { arrayEvaluator } from "../oracle/array_evaluator.ts";
import { arrayOps } from "../oracle/array_ops.ts";
import { networkLoss, networkSlopes } from "../oracle/network_gradient.ts";
import { arrayOf, type IdArray, type NdArray } from "../oracle/nd_array.ts";

const ops = arrayOps(f64);
const V = 7;
const n = 9;

/** The reference operations, which also hold every input of a scan to its domain. */
const checking: TensorOps<NdArray<number>, IdArray> = {
  ...ops,
  scan(model, inputs) {
    for (const [name, { domain, axes }] of inputEntries(model)) {
      const given = inputs[name]!;
      const width = given.shape.slice(given.shape.length - axes.length).reduce((product, size) => product * size, 1);
      for (const x of given.data) {
        assert(domain.contains(x), `${model.name}.${name}: ${x} is not ${domain.description}`);
      }
      for (let row = 0; row < given.data.length; row += width) {
        assert(domain.containsVector?.(given.data.slice(row, row + width)) ?? true, `${model.name}.${name}: a row`);
      }
    }
    return ops.scan(model, inputs);
  },
};

function tiny(layer: LanguageModelOptions["layer"], changes: Partial<LanguageModelOptions> = {}): ResumableNetwork {
  return languageModel({ vocabulary: V, d: 4, heads: 2, layers: 2, stateSize: 3, hidden: 5, layer, ...changes });
}

/** Parameters larger than they begin, so that gates are far from their middle and every matrix matters. */
function drawn({ parameters }: ResumableNetwork): { readonly [name: string]: Float32Array } {
  return Object.fromEntries(
    Object.entries(initialParameters(parameters, 1)).map(([name, array]) => {
      const random = seeded(1, "shift", name);
      return [name, array.map((x) => x + 2 * random() - 1)];
    }),
  );
}

function arrays(network: ResumableNetwork): { [name: string]: NdArray<number> } {
  return Object.fromEntries(
    Object.entries(drawn(network)).map(([name, data]) => [name, arrayOf(data, network.parameters[name]!.shape)]),
  );
}

const rows = [0, 1].map((row) => {
  const random = seeded(5, "tokens", row);
  return Array.from({ length: n }, () => Math.floor(V * random()));
});

// log_linear_attention_test.ts has the layer whose stream rounds otherwise.
for (const name of layerNames.filter((layer) => layer !== "log-linear-attention")) {
  test(`${name} stays within its domains, is causal, and streams as it is computed whole`, async () => {
    const network = tiny(name);
    const p = arrays(network);
    const hidden = network.hidden(checking, p, arrayOf(rows.flat(), [2, n]));
    assertEquals(hidden.shape, [2, n, 4]);
    assert(hidden.data.every(Number.isFinite));
    // The last token changes what follows it, and nothing before.
    const changed = rows.map((row) => row.with(n - 1, (row[n - 1]! + 1) % V));
    const other = network.hidden(ops, p, arrayOf(changed.flat(), [2, n]));
    const before = (x: NdArray<number>): NdArray<number> => ops.slice(x, 1, 0, n - 1);
    assertEquals(before(other), before(hidden));
    assert(other.data.some((x, i) => x !== hidden.data[i]));
    // The first token is remembered to the end.
    const early = network.hidden(ops, p, arrayOf(rows.map((row) => row.with(0, (row[0]! + 1) % V)).flat(), [2, n]));
    assert(ops.slice(early, 1, n - 1, n).data.some((x, i) => x !== ops.slice(hidden, 1, n - 1, n).data[i]));

    const logits = ops.linear(hidden, p["head"]!);
    const evaluator = arrayEvaluator();
    const held = Object.fromEntries(Object.entries(p).map(([key, x]) => [key, evaluator.values(x.data, x.shape)]));
    const own = evaluator.live;
    let stream = resumableDecoder(network, evaluator, held, { batch: 2 });
    for (let t = 0; t < n; t++) {
      const got = [...(await stream.push(rows.map((row) => row[t]!)))];
      assertEquals(got, ops.slice(logits, 1, t, t + 1).data as number[], `token ${t}`);
      if (t !== 3) continue;
      const saved = JSON.parse(JSON.stringify(await stream.save())) as Awaited<ReturnType<typeof stream.save>>;
      stream.close();
      stream = resumableDecoder(network, evaluator, held, { batch: 2 });
      await stream.restore(saved);
    }
    stream.close();
    assertEquals(evaluator.live, own);
    // With nothing before it, and behind a state.
    assertEquals(evaluator.calls.size, 2);
    await stream.prefill(rows.flatMap((row) => row.slice(0, 5)));
    const sixth = [...(await stream.push(rows.map((row) => row[5]!)))];
    assertEquals(sixth, ops.slice(logits, 1, 5, 6).data as number[], "after a prefill");

    // Far from where training starts, inputs are in their domains all the same.
    const far = Object.fromEntries(
      Object.entries(p).map(([key, { shape, data }]) => [key, arrayOf(data.map((x) => 30 * x), shape)]),
    );
    network.hidden(checking, far, arrayOf(rows.flat(), [2, n]));
  });
}

const maps: readonly DomainMap[] = [
  { kind: "linear" },
  { kind: "log-sigmoid", divisor: 1 },
  { kind: "log-sigmoid", divisor: 16 },
  { kind: "interval", low: 0, high: 2 },
  { kind: "interval", low: 0, high: 1 },
  { kind: "capped", size: 15 },
  { kind: "positive" },
  { kind: "negative" },
];
for (const map of maps) {
  test(`a parameter brought into ${JSON.stringify(map)} and back is itself`, () => {
    for (const x of [-3, -0.5, 0, 1, 2.5]) {
      const y = intoDomain(ops, map, arrayOf([x], [1])).data[0]!;
      // Both ways are a few roundings; the inverse's slope at these x is below 2^5 · 16.
      assertAlmostEquals(beforeDomain(map, y), x, 2 ** -38);
    }
  });
}

test("S4D's gates stay inside the unit disc, and begin as S4D-Lin's", () => {
  const { parameters } = sequenceLayer("s4d", { d: 3, heads: 1, stateSize: 4 });
  for (const shift of [0, 3]) {
    const values = initialParameters(parameters, 1);
    const random = seeded(1, "shift");
    const p = Object.fromEntries(
      Object.entries(values).map(([name, data]) => [
        name.replace("parameters.", ""),
        arrayOf(data.map((x) => x + shift * (random() - 0.5)), parameters[name]!.shape),
      ]),
    );
    const { aRe, aIm } = s4dParameters({ D: 3, N: 4 }).make(ops, p);
    aRe!.data.forEach((re, i) => {
      const [n, delta] = [Math.floor(i / 3), 0.001 * 100 ** ((i % 3) / 2)];
      assert(Math.hypot(re, aIm!.data[i]!) <= 1);
      if (shift > 0) return;
      // Parameters are f32, and no slope is above 1.
      assertAlmostEquals(re, Math.exp(-delta / 2) * Math.cos(Math.PI * n * delta), 2 ** -20);
      assertAlmostEquals(aIm!.data[i]!, Math.exp(-delta / 2) * Math.sin(Math.PI * n * delta), 2 ** -20);
    });
  }
});

test("parameters begin where their model says", () => {
  const { parameters } = sequenceLayer("retnet", { d: 8, heads: 4 });
  const values = initialParameters(parameters, 1)["parameters.gamma"]!;
  const gamma = intoDomain(ops, { kind: "interval", low: 0, high: 1 }, arrayOf(values, [4])).data;
  // The bias is an f32, off by 2^-24 of at most 6, and σ is flatter than 1/4.
  gamma.forEach((x, head) => assertAlmostEquals(x, 1 - 2 ** (-5 - head), 2 ** -22));
  const mamba = initialParameters(sequenceLayer("mamba", { d: 2, heads: 1, stateSize: 3 }).parameters, 1);
  assertEquals([...mamba["parameters.A"]!], [0, 1, 2].flatMap((i) => Array(4).fill(Math.fround(Math.log(1 + i)))));
});

test("the short convolution is causal, four taps long, and goes on from its last three tokens", () => {
  const x = arrayOf(Array.from({ length: 12 }, (_, i) => i + 1), [1, 6, 2]);
  const p = { taps: arrayOf([1, 1, 10, 10, 100, 100, 1000, 1000], [4, 2]), bias: arrayOf([0, 0.5], [2]) };
  const { y, last } = shortConvolution(ops, p, x);
  assertEquals(y.data.slice(0, 4), [1, 2.5, 13, 24.5]);
  assertEquals(y.data[10], 11 + 90 + 700 + 5000);
  assertEquals(last, ops.slice(x, 1, 3, 6));
  const first = shortConvolution(ops, p, ops.slice(x, 1, 0, 2));
  const second = shortConvolution(ops, p, ops.slice(x, 1, 2, 6), first.last);
  assertEquals(ops.concat([first.y, second.y], 1), y);
});

test("a model of one's own is a layer; unknown names and sizes are refused", () => {
  const own: AnyAffineModel = affineModel({
    name: "sum",
    paper: { title: "", arxiv: "", where: "" },
    action: "identity",
    heads: false,
    state: ["D"],
    inputs: {
      x: { axes: ["D"], domain: { description: real.description, contains: real.contains, sample: real.sample } },
    },
    fields: { x: ["D"] },
    gates: (_, x) => x,
    step: (A, [h], x) => [h!.map((s, i) => A.add(s, x.x[i]!))],
    lift: (A, x, _, i) => ({ a: A.of(1), b: x.x(i) }),
    read: (_A, h, _x, i) => h(0, i),
  });
  const network = tiny(own);
  assertEquals(network.name, "sum");
  assertEquals(network.hidden(checking, arrays(network), arrayOf(rows.flat(), [2, n])).shape, [2, n, 4]);
  assertThrows(() => tiny("none"), InputError, "Cannot define layer none: the layers are mamba, mamba2");
  assertThrows(() => tiny("gla", { heads: 3 }), InputError, "heads must divide d = 4, got 3");
  const { scanFrom: _, ...without } = ops;
  const gla = tiny("gla");
  assertThrows(
    () => gla.resume(without, arrays(gla), arrayOf([1], [1, 1]), arrayOf([0], [1]), []),
    InputError,
    "scanFrom",
  );
});

for (const name of ["mamba", "gla", "mlstm", "gated-delta-net", "s4d", "log-linear-attention"]) {
  test(`duals give the slope of the loss of ${name} in every parameter`, () => {
    const network = tiny(name, { layers: 1, longest: 8 });
    const parameters = Object.fromEntries(
      Object.entries(drawn(network)).map(([key, data]) => [key, Float64Array.from(data)]),
    );
    const ids = Uint32Array.from(rows[0]!.slice(0, 5));
    const batch = { B: 1, n: 5, tokens: ids, targets: ids.toReversed(), weights: new Float32Array(5).fill(1) };
    const names = Object.keys(parameters);
    const directions = names.map((key) => {
      const random = seeded(8, "direction", key);
      return { [key]: parameters[key]!.map(() => 2 * random() - 1) };
    });
    const { slopes } = networkSlopes(network, parameters, directions, batch);
    names.forEach((key, i) => {
      const at = (h: number): number =>
        networkLoss(
          network,
          { ...parameters, [key]: parameters[key]!.map((x, j) => x + h * directions[i]![key]![j]!) },
          batch,
        );
      const pair = (h: number): number => at(h) - at(-h);
      const difference = (8 * pair(2 ** -14) - pair(2 ** -13)) * 2 ** 14 / 12;
      // As in psm_network_test.ts.
      assertAlmostEquals(slopes[i]!, difference, 2 ** -29, key);
    });
    assert(slopes.filter((slope) => Math.abs(slope) > 2 ** -20).length > names.length / 2);
  });
}
