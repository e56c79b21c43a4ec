/**
 * The reference instance of the tensor operations: against hand-written values, the registry's own executions, and the
 * derivatives of one another.
 */
import { test } from "node:test";
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { InputError } from "../models/error.ts";
import { double } from "../models/execution.ts";
import { inputEntries, sampleInputs } from "../models/inputs.ts";
import { models } from "../models/mod.ts";
import { f64 } from "../models/number.ts";
import type { Activation, TensorOps } from "../models/networks/ops.ts";
import { seeded } from "../models/random.ts";
import { normal } from "../models/domain.ts";
import { arrayEvaluator } from "../oracle/array_evaluator.ts";
import { arrayOps } from "../oracle/array_ops.ts";
import { type Dual, dual } from "../oracle/dual.ts";
import { arrayOf, filled, type IdArray, type NdArray } from "../oracle/nd_array.ts";
import { recurrent } from "../oracle/run.ts";

const ops = arrayOps(f64);
const a = (shape: readonly number[], ...data: number[]): NdArray<number> => arrayOf(data, shape);
type Numbers = NdArray<number>;
const drawn = (name: string, shape: readonly number[]): NdArray<number> => {
  const random = seeded(3, name);
  return filled(shape, () => normal(random));
};
/** Values of magnitude ≤ 8 from a few operations. */
const near = (x: NdArray<number>, shape: readonly number[], ...data: number[]): void => {
  assertEquals(x.shape, shape);
  x.data.forEach((value, i) => assertAlmostEquals(value, data[i]!, 2 ** -46));
};

test("linear, matmul and its transposed form are sums of products", () => {
  near(ops.linear(a([2, 2], 1, 2, 3, 4), a([2, 1], 5, 6), a([1], 1)), [2, 1], 18, 40);
  const x = a([2, 1, 2], 1, 2, 3, 4);
  near(ops.matmul(x, a([2, 2, 1], 1, 10, 2, 20)), [2, 1, 1], 21, 86);
  near(ops.matmul(x, a([2, 1, 2], 1, 10, 2, 20), { transposeB: true }), [2, 1, 1], 21, 86);
  near(ops.matmul(a([1, 2], 1, 2), a([2, 3], 1, 2, 3, 4, 5, 6)), [1, 3], 9, 12, 15);
});

test("entries: the last axes of b are repeated over the others", () => {
  near(ops.add(a([2, 2], 1, 2, 3, 4), a([2], 10, 20)), [2, 2], 11, 22, 13, 24);
  near(ops.mul(a([2, 2], 1, 2, 3, 4), a([2, 2], 1, 2, 3, 4)), [2, 2], 1, 4, 9, 16);
  near(ops.affine(a([2], 1, 2), 3, -1), [2], 2, 5);
  near(ops.dropout(a([1], 7), 0.5), [1], 7);
});

test("attention of the next tokens to caches is that of all, in rings that go round too", () => {
  const [n, d] = [23, 4];
  const [q, k, v] = ["q", "k", "v"].map((name) => drawn(name, [2, n, d])) as [Numbers, Numbers, Numbers];
  for (
    const [mask, room, each] of [["causal", 23, 1], ["causal", 32, 3], [{ window: 5 }, 5, 1], [
      { window: 5 },
      8,
      3,
    ]] as const
  ) {
    const options = { heads: 2, mask };
    const all = ops.attention(q, k, v, options);
    // What no token has written is not read.
    let [keys, values] = [filled([2, room, d], () => NaN), filled([2, room, d], () => NaN)];
    for (let m = each; m <= n; m += each) {
      const last = (x: Numbers): Numbers => ops.slice(x, 1, m - each, m);
      const next = ops.attentionNext!({ q: last(q), k: last(k), v: last(v) }, { keys, values }, a([1], m), options);
      assertEquals(next.y, last(all));
      [keys, values] = [next.keys, next.values];
    }
  }
  const x = drawn("x", [1, 1, d]);
  const cache = { keys: drawn("y", [1, 4, d]), values: drawn("z", [1, 4, d]) };
  for (const [m, mask] of [[5, "causal"], [9, { window: 5 }]] as const) {
    assertThrows(
      () => ops.attentionNext!({ q: x, k: x, v: x }, cache, a([1], m), { heads: 1, mask }),
      InputError,
      "Cannot attend to a cache: it must have room for the 5 tokens seen",
    );
  }
});

const activations: { readonly [P in Activation]: (x: number) => number } = {
  exp: Math.exp,
  gelu: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  "log-sigmoid": (x) => -Math.log1p(Math.exp(-x)),
  relu: (x) => Math.max(x, 0),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  silu: (x) => x / (1 + Math.exp(-x)),
  softplus: (x) => Math.log1p(Math.exp(x)),
  tanh: Math.tanh,
};
for (const [name, f] of Object.entries(activations)) {
  test(`map ${name} is its formula`, () => {
    const xs = [-3, -1, -0.25, 0, 1e-3, 0.5, 2, 4];
    near(ops.map(name as Activation, a([8], ...xs)), [8], ...xs.map(f));
  });
}

test("activations of huge arguments are their limits", () => {
  const limits: { readonly [name: string]: readonly [number, number] } = {
    gelu: [-0, 1e4],
    "log-sigmoid": [-1e4, -0],
    sigmoid: [0, 1],
    silu: [-0, 1e4],
    softplus: [0, 1e4],
    tanh: [-1, 1],
  };
  for (const [name, [low, high]] of Object.entries(limits)) {
    assertEquals(ops.map(name as Activation, a([2], -1e4, 1e4)).data, [low, high], name);
  }
});

test("norms along the last axis", () => {
  near(ops.layerNorm(a([1, 2], 1, 3), a([2], 2, 2), a([2], 1, 1), 3), [1, 2], 0, 2);
  near(ops.rmsNorm(a([2], 1, 7), a([2], 1, 2), 0), [2], 0.2, 2.8);
  near(ops.unitNorm(a([2], 3, 4), 11), [2], 3 / 6, 4 / 6);
  near(ops.unitNorm(a([2, 2], 3e6, 4e6, 0, 0)), [2, 2], 0.6, 0.8, 0, 0);
});

test("attention: scores scaled by the head's width, keys by the mask, queries the last of the keys' positions", () => {
  const q = a([1, 2, 2], 0, 0, 0, 0);
  const v = a([1, 4, 2], 1, 10, 2, 20, 3, 30, 4, 40);
  const k = filled([1, 4, 2], () => 0);
  near(ops.attention(q, k, v, { heads: 1, mask: "causal" }), [1, 2, 2], 2, 20, 2.5, 25);
  near(ops.attention(q, k, v, { heads: 2, mask: { window: 2 } }), [1, 2, 2], 2.5, 25, 3.5, 35);
  near(ops.attention(q, k, v, { heads: 2, mask: "bidirectional" }), [1, 2, 2], 2.5, 25, 2.5, 25);
  // One head sees (1, 0)·(ln 3, 0)·√2 / √2; the other nothing.
  const two = ops.attention(
    a([1, 1, 2], 1, 0),
    a([1, 2, 2], 0, 0, Math.log(3), 0),
    a([1, 2, 2], 0, 0, 4, 4),
    { heads: 2, mask: "causal" },
  );
  near(two, [1, 1, 2], 3, 2);
});

test("moves: slice, concat, take, repeat, transpose and embedding along any axis", () => {
  const x = a([2, 3], 1, 2, 3, 4, 5, 6);
  assertEquals(ops.slice(x, 1, 1, 3), a([2, 2], 2, 3, 5, 6));
  assertEquals(ops.slice(x, -2, 1, 2), a([1, 3], 4, 5, 6));
  assertEquals(ops.concat([x, a([2, 1], 7, 8)], -1), a([2, 4], 1, 2, 3, 7, 4, 5, 6, 8));
  assertEquals(ops.concat([x, x], 0).shape, [4, 3]);
  const rows = [{ source: 1, from: 0, count: 1 }, { source: 0, from: 1, count: 1 }, { source: 0, from: 0, count: 2 }];
  assertEquals(ops.take([x, a([1, 3], 7, 8, 9)], rows), a([4, 3], 7, 8, 9, 4, 5, 6, 1, 2, 3, 4, 5, 6));
  assertEquals(ops.repeat(a([2], 1, 2), 2), a([2, 2], 1, 2, 1, 2));
  assertEquals(ops.embedding(x, a([1, 2], 1, 0)), a([1, 2, 3], 4, 5, 6, 1, 2, 3));
  assertEquals(ops.reshape(x, [3, 2]).shape, [3, 2]);
  assertEquals(ops.transpose(x), a([3, 2], 1, 4, 2, 5, 3, 6));
});

test("cross-entropy: weighted, in nats; a target of weight 0 may be any id, and all weights 0 give 0", () => {
  const head = a([1, 3], 0, Math.log(2), 0);
  const x = a([3, 1], 0, 1, 1);
  const loss = ops.crossEntropy(x, head, a([3], 0, 1, 99), a([3], 1, 3, 0));
  near(loss, [], (Math.log(3) + 3 * Math.log(2)) / 4);
  near(ops.crossEntropy(x, head, a([3], 0, 1, 99), a([3], 0, 0, 0)), [], 0);
  assert(Number.isNaN(ops.crossEntropy(x, head, a([3], 0, 1, 99), a([3], 1, 1, 1)).data[0]));
});

const sizes = { K: 3, V: 2, D: 3, N: 2 };
for (const model of models) {
  test(`scan of ${model.name} is its recurrent execution, whole and from a state`, async () => {
    const dims = { B: 2, T: 5, H: model.heads ? 2 : 1, sizes };
    const n = model.microSteps ?? 1;
    const raw = sampleInputs(model, dims, "random", 7);
    const want = await recurrent(double).run(model, dims, raw);
    const given = (from: number, to: number): { [name: string]: NdArray<number> } =>
      Object.fromEntries(
        inputEntries(model).map(([name, spec]) => {
          const inner = spec.axes.map((axis) => sizes[axis]);
          if (spec.per === "parameter") return [name, arrayOf(Array.from(raw[name]!), [dims.H, ...inner])];
          const every = spec.micro === undefined || spec.micro === "every" ? n : 1;
          const whole = arrayOf(Array.from(raw[name]!), [dims.B, dims.T * every, dims.H, ...inner]);
          return [name, ops.slice(whole, 1, from * every, to * every)];
        }),
      );
    const whole = ops.scanFrom!(model, given(0, 5));
    assertEquals(whole.outputs.data, [...want.outputs]);
    assertEquals(ops.scan(model, given(0, 5)).data, [...want.outputs]);
    const first = ops.scanFrom!(model, given(0, 2));
    const second = ops.scanFrom!(model, given(2, 5), first.state);
    assertEquals(ops.concat([first.outputs, second.outputs], 1), whole.outputs);
    assertEquals(second.state, whole.state);
  });
}

/** Functions of one array to a number, each through one operation. */
type Probe = <N>(ops: TensorOps<NdArray<N>, IdArray>, x: NdArray<N>, other: NdArray<N>) => NdArray<N>;
const probes: { readonly [name: string]: Probe } = {
  linear: (o, x, y) => o.linear(x, o.reshape(y, [4, 4])),
  matmul: (o, x, y) => o.matmul(x, y),
  "matmul transposed": (o, x) => o.matmul(x, x, { transposeB: true }),
  mul: (o, x) => o.mul(x, x),
  layerNorm: (o, x, y) => o.layerNorm(x, o.reshape(o.slice(y, 1, 0, 1), [4])),
  rmsNorm: (o, x, y) => o.rmsNorm(x, o.reshape(o.slice(y, 1, 0, 1), [4])),
  unitNorm: (o, x) => o.unitNorm(x),
  attention: (o, x, y) => o.attention(x, y, x, { heads: 2, mask: "causal" }),
  "windowed attention": (o, x, y) => o.attention(y, x, y, { heads: 1, mask: { window: 2 } }),
  embedding: (o, x) => o.embedding(o.reshape(x, [4, 4]), arrayOf([2, 0, 2], [3])),
  take: (o, x, y) => o.mul(o.take([x, y], [{ source: 0, from: 0, count: 1 }]), x),
  concat: (o, x, y) => o.mul(o.concat([x, y], 2), o.concat([x, x], 2)),
  repeat: (o, x) => o.mul(o.repeat(x, 2), x),
  transpose: (o, x, y) => o.mul(o.transpose(o.reshape(x, [4, 4])), o.reshape(y, [4, 4])),
  "cross-entropy": (o, x, y) =>
    o.crossEntropy(
      x,
      o.reshape(y, [4, 4]),
      arrayOf([0, 1, 2, 3], [1, 4]),
      o.map("exp", o.reshape(o.slice(x, 2, 0, 1), [1, 4])),
    ),
  ...Object.fromEntries(
    Object.keys(activations).map((name) => [`map ${name}`, ((o, x) => o.map(name as Activation, x)) as Probe]),
  ),
};
for (const [name, probe] of Object.entries(probes)) {
  test(`duals give the slope of ${name}`, () => {
    const [x, u, y] = ["x", "u", "y"].map((array) => drawn(array, [1, 4, 4])) as [
      NdArray<number>,
      NdArray<number>,
      NdArray<number>,
    ];
    const at = (h: number): readonly number[] =>
      probe(ops, filled(x.shape, (i) => x.data[i]! + h * u.data[i]!), y).data;
    const along = <M>(array: NdArray<M>, each: (value: M, i: number) => Dual<number>): NdArray<Dual<number>> =>
      filled(array.shape, (i) => each(array.data[i]!, i));
    const D = arrayOps(dual(f64, Math.sign));
    const got = probe(
      D,
      along(x, (value, i) => ({ value, indices: [0], partials: [u.data[i]!] })),
      along(y, (value) => ({ value, indices: [], partials: [] })),
    );
    const [plus, minus] = [at(2 ** -17), at(-(2 ** -17))];
    got.data.forEach(({ value, partials }, i) => {
      assertAlmostEquals(value, at(0)[i]!, 2 ** -46);
      // A central difference with h = 2^-17 is off by h² f‴/6 and by some 2^-53 |f| / h of rounding: below 2^-24 where
      // f‴ < 2^12 and |f| < 2^10.
      const slope = (plus[i]! - minus[i]!) * 2 ** 16;
      assertAlmostEquals(partials[0] ?? 0, slope, 2 ** -24 * (1 + Math.abs(slope)));
    });
  });
}

test("shapes that do not fit are refused in one line", () => {
  const x = a([2, 2], 1, 2, 3, 4);
  const cases: readonly (readonly [() => unknown, string])[] = [
    [() => ops.linear(x, a([3, 1], 1, 2, 3)), "Cannot apply linear: w must be [d, e], x […, d], got [2, 2] and [3, 1]"],
    [() => ops.matmul(x, a([3, 1], 1, 2, 3)), "Cannot multiply"],
    [() => ops.add(x, a([3], 1, 2, 3)), "Cannot add: b must have the last axes of a, got [2, 2] and [3]"],
    [() => ops.layerNorm(x, a([1], 1)), "gain and bias must be [2], got [1]"],
    [() => ops.attention(x, x, x, { heads: 1, mask: "causal" }), "Cannot attend"],
    [() => ops.slice(x, 0, 1, 3), "a range must lie within 0 … 2, got 1 … 3"],
    [() => ops.slice(x, 2, 0, 1), "the axis must be one of the array's, not 2, got [2, 2]"],
    [() => ops.take([x], [{ source: 1, from: 0, count: 1 }]), "there are 1 sources, got number 1"],
    [() => ops.concat([x, a([1], 1)], 0), "Cannot concatenate"],
    [() => ops.reshape(x, [3]), "Cannot reshape"],
    [() => ops.transpose(a([1, 2, 1], 1, 2)), "Cannot transpose: the array must be [n, m], got [1, 2, 1]"],
    [() => ops.embedding(x, a([1], 2)), "ids must be whole and < 2, got 2"],
    [() => ops.scan(models[0]!, {}), "is missing"],
    [() => arrayOf([1], [2]), "shape [2] has 2 entries, got 1"],
  ];
  for (const [body, message] of cases) assertThrows(body, InputError, message);
});

test("the evaluator keeps count of what lives, and refuses a body that changes under its key", async () => {
  const evaluator = arrayEvaluator();
  const x = evaluator.values([1, 2], [2]);
  const ids = evaluator.ids([1], [1]);
  const [y] = await evaluator.call("double", [x], [ids], (o, [v]) => [o.affine(v!, 2)]);
  assertEquals([...(await evaluator.read(y!))], [2, 4]);
  assertEquals(evaluator.live, 3);
  await evaluator.call("double", [y!], [ids], (o, [v]) => [o.affine(v!, 2)]);
  assertEquals(evaluator.calls.get("double"), 2);
  await assertRejects(
    () => evaluator.call("double", [x], [ids], (o, [v]) => [o.affine(v!, 3)]),
    InputError,
    "every call under a key must do the same",
  );
  evaluator.free(x);
  await assertRejects(() => evaluator.read(x), InputError, "Cannot read: the array must be live");
});
