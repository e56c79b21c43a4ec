/** Operations of a network on the GPU and their gradients, within the roundings that the reference's text counts. */
import { after, test } from "node:test";
import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import type { Gpu } from "../kernels/gpu.ts";
import { SLAB } from "../kernels/nn/column_sums.ts";
import { GpuOps } from "../kernels/nn/gpu_ops.ts";
import { Ids } from "../kernels/nn/ids.ts";
import { Program } from "../kernels/nn/program.ts";
import type { Slot } from "../kernels/nn/slot.ts";
import { Value } from "../kernels/nn/value.ts";
import { lengthOf } from "../kernels/tensor.ts";
import { normal } from "../models/domain.ts";
import { InputError } from "../models/error.ts";
import { linearRecurrence } from "../models/linear_recurrence.ts";
import type { Activation, TensorOps } from "../models/networks/ops.ts";
import { seeded } from "../models/random.ts";
import { arrayOps } from "../oracle/array_ops.ts";
import { type Dual, dual, gradient, variable } from "../oracle/dual.ts";
import type { NdArray } from "../oracle/nd_array.ts";
import { allowance, type Counted, counted, exactly } from "./counted.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("operations of a network on the GPU");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

interface Case {
  readonly name: string;
  readonly shapes: readonly (readonly number[])[];
  readonly ids?: readonly number[];
  /** Cotangents without signs, where a long sum's terms would cancel and no fault show. */
  readonly positive?: boolean;
  /** One for every id. */
  readonly weights?: readonly number[];
  readonly body: <T, I>(ops: TensorOps<T, I>, values: readonly T[], ids: I, weights: T) => T;
}

const activations: readonly Activation[] = [
  "exp",
  "gelu",
  "log-sigmoid",
  "relu",
  "sigmoid",
  "silu",
  "softplus",
  "tanh",
];

const cases: readonly Case[] = [
  // Weights used twice: their second gradient is added to the first.
  {
    name: "linear",
    shapes: [[3, 2, 5], [5, 4], [4]],
    body: (o, [x, w, b]) => o.add(o.linear(x!, w!, b), o.linear(o.affine(x!, 2), w!)),
  },
  // Sizes such that a product is the gradient of another: each kernel takes a second to compile.
  { name: "matmul", shapes: [[2, 3, 5], [2, 5, 4]], body: (o, [a, b]) => o.matmul(a!, b!) },
  {
    name: "matmul transposed",
    shapes: [[2, 3, 4], [2, 5, 4]],
    body: (o, [a, b]) => o.matmul(a!, b!, { transposeB: true }),
  },
  { name: "add", shapes: [[2, 3, 4], [3, 4]], body: (o, [a, b]) => o.add(a!, b!) },
  // More rows than one slab has.
  { name: "add a row", shapes: [[SLAB + 76, 3], [3]], positive: true, body: (o, [a, b]) => o.add(a!, b!) },
  { name: "mul", shapes: [[2, 3, 4], [4]], body: (o, [a, b]) => o.mul(a!, b!) },
  {
    name: "one value used often",
    shapes: [[2, 3]],
    body: (o, [a]) => o.mul(o.add(a!, a!), o.add(o.add(o.affine(a!, 2, 1), a!), o.mul(a!, a!))),
  },
  ...activations.map((activation): Case => ({
    name: activation,
    shapes: [[9]],
    body: (o, [a]) => o.map(activation, o.affine(a!, 4)),
  })),
  // Of more than 64 numbers a row has 256 invocations, most of which have none here.
  { name: "layerNorm", shapes: [[3, 70], [70], [70]], body: (o, [x, g, b]) => o.layerNorm(x!, g!, b) },
  // More numbers than the invocations of a row.
  { name: "rmsNorm of wide rows", shapes: [[2, 300], [300]], body: (o, [x, g]) => o.rmsNorm(x!, g!) },
  { name: "layerNorm without bias", shapes: [[2, 5], [5]], body: (o, [x, g]) => o.layerNorm(x!, g!) },
  { name: "rmsNorm", shapes: [[3, 7], [7]], body: (o, [x, g]) => o.rmsNorm(x!, g!) },
  { name: "unitNorm", shapes: [[3, 7]], body: (o, [x]) => o.unitNorm(x!) },
  {
    name: "embedding",
    shapes: [[6, 5]],
    ids: [1, 3, 1, 1, 5, 0, 1, 3],
    body: (o, [t], i) => o.embedding(t!, i),
  },
  // More than a tile either way; its gradient is added to another.
  {
    name: "transpose",
    shapes: [[34, 35]],
    body: (o, [x]) => o.add(o.transpose(x!), o.reshape(x!, [35, 34])),
  },
  {
    name: "slice",
    shapes: [[2, 5, 3]],
    body: (o, [x]) => o.add(o.slice(x!, 1, 1, 3), o.slice(x!, -2, 0, 2)),
  },
  {
    name: "concat",
    shapes: [[2, 2, 3], [2, 1, 3]],
    body: (o, [x, y]) => o.reshape(o.concat([x!, y!, x!], 1), [10, 3]),
  },
  {
    name: "slices of a concatenation, a part and across",
    shapes: [[2, 2, 3], [2, 1, 3]],
    body: (o, [x, y]) => {
      const both = o.concat([x!, y!], 1);
      return o.mul(o.slice(both, 1, 0, 2), o.slice(both, -2, 1, 3));
    },
  },
  // Straight from what rows were taken of: two arrays, a row of one twice, and a part that was not taken.
  {
    name: "concat of rows taken",
    shapes: [[3, 2, 4], [2, 2, 4], [4, 4]],
    body: (o, [x, y, z]) => {
      const taken = [
        o.take([x!, y!], [{ source: 0, from: 1, count: 1 }, { source: 1, from: 0, count: 1 }]),
        o.take([x!], [{ source: 0, from: 1, count: 2 }]),
      ].map((part) => o.reshape(part, [4, 4]));
      const halves = (part: typeof z): typeof z => o.reshape(part!, [4, 2, 2]);
      return o.add(
        o.concat([...taken, z!].map((part) => halves(part)!), 1),
        o.reshape(o.concat([z!, taken[0]!, z!], -1), [4, 6, 2]),
      );
    },
  },
  {
    name: "take",
    shapes: [[4, 3], [2, 3]],
    body: (o, [x, y]) =>
      o.take([x!, y!], [{ source: 0, from: 1, count: 2 }, { source: 1, from: 0, count: 2 }, {
        source: 0,
        from: 0,
        count: 3,
      }]),
  },
  // Keys that are also queries and have a gradient already; then all three have one.
  {
    name: "attention over one's own",
    shapes: [[2, 3, 4], [2, 3, 4]],
    body: (o, [x, v]) => o.add(o.attention(x!, x!, v!, { heads: 2, mask: "causal" }), o.affine(x!, 2)),
  },
  {
    name: "attention",
    shapes: [[2, 3, 4], [2, 3, 4], [2, 3, 4]],
    body: (o, [q, k, v]) => {
      const y = o.attention(q!, k!, v!, { heads: 2, mask: "bidirectional" });
      return o.add(o.add(o.add(y, o.affine(q!, 2)), o.affine(k!, 2)), o.affine(v!, 2));
    },
  },
  // Gates in (0, 1), then a linear recurrence; one of its inputs twice.
  {
    name: "scan",
    shapes: [[2, 3, 1, 4]],
    body: (o, [x]) => {
      const a = o.map("sigmoid", x!);
      return o.add(o.scan(linearRecurrence, { a, b: a }), o.scan(linearRecurrence, { a, b: x! }));
    },
  },
  {
    name: "cross-entropy",
    shapes: [[3, 2], [2, 3]],
    ids: [2, 0, 1],
    weights: [1, 0.5, 0],
    body: (o, [x, head], targets, weights) => o.affine(o.crossEntropy(x!, head!, targets, weights), 3),
  },
  { name: "repeat", shapes: [[2, 3]], body: (o, [x]) => o.repeat(x!, 3) },
];

type Number = Dual<Counted>;
const algebra = dual(counted, ({ value }) => Math.sign(value));
const reference = arrayOps(algebra);

interface Truth {
  readonly outputs: readonly Counted[];
  readonly gradients: readonly (readonly Counted[])[];
}

/** Values, and derivatives of `Σ weights · outputs`, with their counts. */
function truthOf(
  { shapes, ids = [], weights: given = [], body }: Case,
  data: readonly Float32Array[],
  weights: Float32Array,
): Truth {
  let index = 0;
  const values = shapes.map((shape, i): NdArray<Number> => ({
    shape,
    data: Array.from(data[i]!, (x) => variable(counted, exactly(x), index++)),
  }));
  const extra = { shape: [given.length], data: given.map((x) => algebra.of(x)) };
  const y = body(reference, values, { shape: [ids.length], data: ids }, extra);
  const sum = algebra.sum(
    y.data.length,
    (i) => algebra.mul(algebra.of(weights[i as number]!), y.data[i as number]!),
  );
  const all = gradient(counted, sum, index);
  let from = 0;
  return {
    outputs: y.data.map(({ value }) => value),
    gradients: data.map(({ length }) => all.slice(from, from += length)),
  };
}

/** The largest error in units of what is allowed, and what a relative fault of 2^−10 in the largest entry would be. */
function judge(got: ArrayLike<number>, truth: readonly Counted[], factor: number): { worst: number; fault: number } {
  assertEquals(got.length, truth.length);
  let worst = 0;
  let largest = 0;
  truth.forEach((wanted, i) => {
    const error = Math.abs(got[i]! - wanted.value);
    worst = Math.max(worst, error === 0 ? 0 : error / (factor * allowance(wanted)));
    assert(!Number.isNaN(error), `entry ${i} is not a number`);
    if (Math.abs(wanted.value) > Math.abs(truth[largest]!.value)) largest = i;
  });
  const { value } = truth[largest]!;
  return { worst, fault: 2 ** -10 * Math.abs(value) / (factor * allowance(truth[largest]!)) };
}

interface Recorded {
  readonly outputs: Slot;
  readonly gradients: readonly Slot[];
  readonly data: readonly Float32Array[];
  readonly weights: Float32Array;
}

function drawn(seed: string, shape: readonly number[]): Float32Array {
  const random = seeded(11, seed);
  return Float32Array.from({ length: lengthOf(shape) }, () => normal(random));
}

/** All cases in one program. */
function record(device: Gpu, program: Program): Recorded[] {
  return cases.map((each) => {
    const ops = new GpuOps(program, { training: true });
    const data = each.shapes.map((shape, i) => drawn(`${each.name} ${i}`, shape));
    const values = data.map((numbers, i) => Value.from(device, numbers, each.shapes[i]!, true));
    const { ids = [], weights: given = [] } = each;
    const extra = Value.from(device, given, [given.length]);
    const y = each.body<Value, Ids>(ops, values, Ids.from(device, ids, [ids.length]), extra);
    const signed = drawn(`${each.name} weights`, y.shape);
    const weights = each.positive ? signed.map(Math.abs) : signed;
    program.keep(y.slot);
    ops.backward(y, Value.from(device, weights, y.shape));
    const gradients = values.map((value) => ops.gradient(value)!);
    gradients.forEach((slot) => program.keep(slot));
    return { outputs: y.slot, gradients, data, weights };
  });
}

gpuTest("every operation and its gradient are within their roundings, and the same at every run", async (device) => {
  const program = new Program(device, "operations");
  const recorded = record(device, program);
  const readAll = async (): Promise<Float32Array[][]> => {
    await program.run();
    const all: Float32Array[][] = [];
    for (const { outputs, gradients } of recorded) {
      const arrays: Float32Array[] = [];
      for (const slot of [outputs, ...gradients]) arrays.push(await program.tensor(slot).read());
      all.push(arrays);
    }
    return all;
  };
  const first = await readAll();
  for (const [i, each] of cases.entries()) {
    const { data, weights } = recorded[i]!;
    const truth = truthOf(each, data, weights);
    const [outputs, ...gradients] = first[i]!;
    // Backward adds where a value is used, forward mode where terms meet: no more than twice the roundings it counts.
    const arrays = [[outputs!, truth.outputs, 1], ...gradients.map((g, j) => [g, truth.gradients[j]!, 2])] as const;
    for (const [j, [got, wanted, factor]] of arrays.entries()) {
      const what = j === 0 ? `${each.name}` : `gradient ${j - 1} of ${each.name}`;
      const { worst, fault } = judge(got as Float32Array, wanted as Counted[], factor as number);
      assert(worst <= 1, `${what}: error is ${worst} of what is allowed`);
      assertGreater(fault, 1, `${what}: a relative fault of 2^-10 would pass`);
    }
  }
  assertEquals(await readAll(), first);
  program.close();
});

gpuTest("shapes that do not fit are refused in one line", (device) => {
  const program = new Program(device, "refused");
  const ops = new GpuOps(program);
  const [x, w] = [Value.from(device, [1, 2], [1, 2]), Value.from(device, [1, 2, 3], [3, 1])];
  const refused = [
    () => ops.linear(x, w),
    () => ops.add(x, w),
    () => ops.matmul(x, w),
    () => ops.reshape(x, [3]),
    () => ops.transpose(ops.reshape(x, [2])),
    () => ops.slice(x, 1, 1, 3),
    () => ops.slice(x, 2, 0, 1),
    () => ops.concat([x, w], 0),
    () => ops.take([x], [{ source: 0, from: 0, count: 2 }]),
    () => ops.layerNorm(x, w),
    () => ops.dropout(x, 1),
    () => ops.backward(x),
  ];
  for (const call of refused) {
    assertThrows(call, InputError);
  }
  program.close();
  return Promise.resolve();
});
