/** The fused cross-entropy against f64, row by row within the derived bound, and its gradients; faults seen. */
import { after, test } from "node:test";
import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import type { Gpu } from "../kernels/gpu.ts";
import { rowAdditions } from "../kernels/nn/_cross_entropy_rows.ts";
import { planCrossEntropy } from "../kernels/nn/cross_entropy.ts";
import { planCrossEntropyBackward } from "../kernels/nn/cross_entropy_backward.ts";
import { runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { wgslAccuracy } from "../models/accuracy.ts";
import { InputError } from "../models/error.ts";
import { seeded } from "../models/random.ts";
import { excess, type Expected } from "./attention_truth.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("the cross-entropy against f64");
after(() => gpu?.close());

function gpuTest(name: string, body: (device: Gpu) => Promise<void>): void {
  test(name, { skip: gpu === null }, () => body(gpu!));
}

interface Problem {
  readonly rows: number;
  readonly width: number;
  readonly vocabulary: number;
  readonly x: Float32Array;
  readonly head: Float32Array;
  readonly targets: Uint32Array;
  readonly weights: Float32Array;
}

/** Two columns of the head are the same, and large: their logits tie, often for the first place. */
function problemOf(rows: number, width: number, vocabulary: number): Problem {
  const random = seeded("cross-entropy", rows, vocabulary);
  const numbers = (length: number, size: number): Float32Array =>
    Float32Array.from({ length }, () => size * (2 * random() - 1));
  const x = numbers(rows * width, 2), head = numbers(width * vocabulary, 2);
  for (let c = 0; c < width; c++) {
    if (vocabulary < 4) break;
    head[c * vocabulary + vocabulary - 1] = 2 * head[c * vocabulary + 2]!;
    head[c * vocabulary + 2] = head[c * vocabulary + vocabulary - 1]!;
  }
  const weights = Float32Array.from({ length: rows }, (_, row) => row % 3 === 1 ? 0 : row % 5 === 0 ? 0.5 : 1);
  const targets = Uint32Array.from(weights, (weight) => weight === 0 ? 0xffffffff : Math.floor(random() * vocabulary));
  return { rows, width, vocabulary, x, head, targets, weights };
}

type Fault = "target" | "weight" | "last";

interface Truth {
  readonly stats: Expected;
  readonly losses: Expected;
  readonly margins: Expected;
  readonly best: Uint32Array;
  readonly loss: Expected;
  readonly dx: Expected;
  readonly dHead: Expected;
}

const { unit: u, exp, div } = wgslAccuracy;

const empty = (length: number): Expected => ({ values: new Float64Array(length), bounds: new Float64Array(length) });

/** All in f64, with bounds for plain f32 products; `cotangent` is an f32. A fault: a target or weight missed, the last id left out. */
function truthOf(
  { rows, width, vocabulary, x, head, targets, weights }: Problem,
  cotangent: number,
  fault?: Fault,
): Truth {
  const truth: Truth = {
    stats: empty(rows),
    losses: empty(rows),
    margins: empty(rows),
    best: new Uint32Array(rows),
    loss: empty(1),
    dx: empty(rows * width),
    dHead: empty(width * vocabulary),
  };
  const used = weights.map((weight, row) => fault === "weight" && row === 0 ? 1 : weight);
  const total = used.reduce((sum, weight) => sum + weight, 0);
  const ids = fault === "last" ? vocabulary - 1 : vocabulary;
  const put = ({ values, bounds }: Expected, at: number, value: number, bound: number): void => {
    values[at] = value;
    // Second order.
    bounds[at] = 1.01 * bound + 2 ** -120;
  };
  let sum = 0, sumError = 0;
  for (let row = 0; row < rows; row++) {
    const logits = new Float64Array(ids), errors = new Float64Array(ids);
    for (let id = 0; id < ids; id++) {
      for (let c = 0; c < width; c++) {
        const term = x[row * width + c]! * head[c * vocabulary + id]!;
        logits[id]! += term;
        // Products and additions, not fused at worst.
        errors[id]! += (width + 1) * u * Math.abs(term);
      }
    }
    const order = Array.from(logits, (_, id) => id).sort((a, b) => logits[b]! - logits[a]! || a - b);
    const [first, second] = order as [number, number];
    const most = logits[first]!;
    const parts = logits.map((logit) => Math.exp(logit - most));
    const all = parts.reduce((sum, part) => sum + part, 0);
    const log = most + Math.log(all);
    const shares = parts.map((part) => part / all);
    // Of e^(logit − most): the difference's rounding, the exponential's; then the additions, by invocations and in a tree.
    const ofSum = shares.reduce(
      (sum, share, id) => sum + share * (errors[id]! + u * ((1 + exp.perArgument) * (most - logits[id]!) + exp.units)),
      u * (Math.ceil(vocabulary / 64) + 8),
    );
    const logError = ofSum + u * (16 * Math.log(vocabulary) + Math.abs(log));
    put(truth.stats, row, log, logError);
    truth.best[row] = first;
    put(truth.margins, row, most - logits[second]!, 2 * Math.max(...errors) + u * (most - logits[second]!));
    const target = Math.min(vocabulary - 1, targets[row]! + (fault === "target" ? 1 : 0));
    const loss = log - (logits[target] ?? 0);
    const lossError = logError + (errors[target] ?? 0) + u * loss;
    put(truth.losses, row, loss, lossError);
    const weight = used[row]!;
    sum += weight * loss;
    sumError += weight * lossError + (1 + rowAdditions(rows)) * u * weight * loss;
    const factor = total === 0 ? 0 : weight / total * cotangent;
    for (let id = 0; id < ids; id++) {
      const share = shares[id]!;
      const share_ = share - (id === target ? 1 : 0);
      const shareError = share *
        (errors[id]! + logError + u * ((1 + exp.perArgument) * Math.abs(logits[id]! - log) + exp.units));
      const slope = factor * share_;
      // The difference, the factor's quotient of a sum, and its two products.
      const slopeError = Math.abs(factor) * shareError + u * Math.abs(slope) * (3 + div.units + rowAdditions(rows));
      for (let c = 0; c < width; c++) {
        const [a, b] = [head[c * vocabulary + id]!, x[row * width + c]!];
        truth.dx.values[row * width + c]! += slope * a;
        // Products and additions in any order, those of blocks of rows and of what was there included.
        truth.dx.bounds[row * width + c]! += slopeError * Math.abs(a) + (vocabulary + 2) * u * Math.abs(slope * a);
        truth.dHead.values[c * vocabulary + id]! += slope * b;
        truth.dHead.bounds[c * vocabulary + id]! += slopeError * Math.abs(b) + (rows + 5) * u * Math.abs(slope * b);
      }
    }
  }
  if (total > 0) {
    put(truth.loss, 0, sum / total, (sumError + (div.units + rowAdditions(rows)) * u * sum) / total);
  }
  for (const { bounds } of [truth.dx, truth.dHead]) {
    for (let at = 0; at < bounds.length; at++) bounds[at] = 1.01 * bounds[at]! + 2 ** -120;
  }
  return truth;
}

interface Outcome {
  readonly stats: Float32Array;
  readonly losses: Float32Array;
  readonly margins: Float32Array;
  readonly best: Uint32Array;
  readonly loss: Float32Array;
  readonly dx: Float32Array;
  readonly dHead: Float32Array;
  readonly dispatches: readonly [number, number];
}

interface RunOptions {
  readonly cotangent?: number;
  readonly logitsBytes?: number;
  /** What the gradients are added to. */
  readonly before?: number;
  readonly backward?: boolean;
}

async function run(
  device: Gpu,
  { rows, width, vocabulary, ...arrays }: Problem,
  { cotangent, logitsBytes, before, backward = true }: RunOptions = {},
): Promise<Outcome> {
  const poisoned = (...shape: number[]): Tensor =>
    Tensor.from(device, new Float32Array(shape.reduce((a, b) => a * b)).fill(before ?? NaN), shape);
  const tensors = {
    x: Tensor.from(device, arrays.x, [rows, width]),
    head: Tensor.from(device, arrays.head, [width, vocabulary]),
    weights: Tensor.from(device, arrays.weights, [rows]),
    ...{ stats: poisoned(rows), losses: poisoned(rows), margins: poisoned(rows), loss: poisoned(1) },
    ...{ dx: poisoned(rows, width), dHead: poisoned(width, vocabulary) },
    ...(cotangent === undefined ? {} : { cotangent: Tensor.from(device, [cotangent], [1]) }),
  };
  const targets = device.upload(arrays.targets), best = device.createBuffer({ bytes: 4 * rows });
  const size = logitsBytes === undefined ? {} : { logitsBytes };
  const plans = [
    await planCrossEntropy(device, { ...tensors, targets, best }, size),
    ...(backward
      ? [await planCrossEntropyBackward(device, { ...tensors, targets }, { ...size, accumulate: before !== undefined })]
      : []),
  ];
  await runPlans(device, "cross-entropy", plans);
  const { stats, losses, margins, loss, dx, dHead } = tensors;
  const read = await Promise.all([stats, losses, margins, loss, dx, dHead].map((tensor) => tensor.read()));
  const outcome = {
    ...{ stats: read[0]!, losses: read[1]!, margins: read[2]!, loss: read[3]!, dx: read[4]!, dHead: read[5]! },
    best: await device.read(best, Uint32Array, { length: rows }),
    dispatches: [plans[0]!.dispatches.length, plans[1]?.dispatches.length ?? 0] as const,
  };
  for (const plan of plans) plan.release();
  for (const buffer of [targets, best, ...Object.values(tensors).map(({ buffer }) => buffer)]) buffer.destroy();
  return outcome;
}

const names = ["stats", "losses", "margins", "loss", "dx", "dHead"] as const;
// A software adapter takes a second for each product it compiles: few sizes, met again below.
const small = { rows: 5, width: 3, vocabulary: 2 };
/** Two blocks of rows, the last one of 6. */
const large = { rows: 70, width: 17, vocabulary: 121 };
const logitsBytes = 64 * large.vocabulary * 4;
const cases = [small, { ...large, cotangent: -0.75, logitsBytes }];

for (const { rows, width, vocabulary, ...options } of cases as readonly (typeof small & RunOptions)[]) {
  gpuTest(`cross-entropy of ${rows} rows over ${vocabulary} ids: within the bound, faults seen`, async (device) => {
    const problem = problemOf(rows, width, vocabulary);
    const { cotangent = 1 } = options;
    const truth = truthOf(problem, cotangent);
    const got = await run(device, problem, options);
    for (const name of names) {
      const counted = name === "losses" ? got[name].map((x, row) => problem.weights[row] === 0 ? 0 : x) : got[name];
      const expected = name !== "losses" ? truth[name] : {
        ...truth[name],
        values: truth[name].values.map((x, row) => problem.weights[row] === 0 ? 0 : x),
      };
      const worst = excess(counted, expected);
      assert(worst <= 1, `${name} is off by ${worst} bounds`);
      assertGreater(excess(counted.map((x) => x * (1 + 2 ** -10)), expected), 1, name);
      for (const fault of ["target", "weight", "last"] as const) {
        if (name === "stats" && fault !== "last" || name === "margins" || name === "losses" && fault === "weight") {
          continue;
        }
        if (vocabulary === 2 && fault !== "weight") continue;
        assertGreater(excess(truthOf(problem, cotangent, fault)[name].values, truth[name]), 1, `${fault} in ${name}`);
      }
    }
    for (const [row, id] of got.best.entries()) {
      // Whichever it is where the bound cannot tell, but the lower of the two that are equal.
      if (truth.margins.values[row]! > truth.margins.bounds[row]!) assertEquals(id, truth.best[row], `row ${row}`);
      assert(vocabulary < 4 || id !== vocabulary - 1, `row ${row} takes the higher of equal ids`);
    }
    if (options.logitsBytes === undefined) {
      assert(got.dispatches[0] <= 4 && got.dispatches[1] <= 5, `${got.dispatches}`);
    } else assertEquals(got.dispatches, [5, 9]);
  });
}

gpuTest("a row's cross-entropy has the same bits whatever other rows there are", async (device) => {
  const { rows, width, vocabulary } = large;
  const problem = problemOf(rows, width, vocabulary);
  const all = await run(device, problem, { logitsBytes, backward: false });
  const [from, to] = [31, 37];
  const few = {
    ...problem,
    rows: to - from,
    x: problem.x.slice(width * from, width * to),
    targets: problem.targets.slice(from, to),
    weights: problem.weights.slice(from, to),
  };
  const part = await run(device, few, { backward: false });
  for (const name of ["stats", "losses", "margins", "best"] as const) {
    assertEquals(part[name], all[name].slice(from, to), name);
  }
});

gpuTest("a cross-entropy without weights is 0; gradients are added to what there is", async (device) => {
  const problem = problemOf(small.rows, small.width, small.vocabulary);
  const none = await run(device, { ...problem, weights: new Float32Array(small.rows) });
  assertEquals(none.loss, Float32Array.of(0));
  assert([...none.dx, ...none.dHead].every((x) => x === 0));
  const truth = truthOf(problem, 1);
  const got = await run(device, problem, { before: 2 });
  for (const name of ["dx", "dHead"] as const) {
    const { values, bounds } = truth[name];
    const added = {
      values: values.map((x) => x + 2),
      bounds: bounds.map((x, at) => x + u * (2 + Math.abs(values[at]!))),
    };
    const worst = excess(got[name], added);
    assert(worst <= 1, `${name} is off by ${worst} bounds`);
  }
});

test("gradients of the cross-entropy in f64 are the slopes of its loss", () => {
  const problem = problemOf(4, 3, 5);
  const truth = truthOf(problem, 1);
  for (const [name, { values }] of [["x", truth.dx], ["head", truth.dHead]] as const) {
    for (const [at, value] of values.entries()) {
      const loss = (by: number): number => {
        const moved = Float64Array.from(problem[name]);
        moved[at]! += by;
        return truthOf({ ...problem, [name]: moved }, 1).loss.values[0]!;
      };
      const slope = (by: number): number => (loss(by) - loss(-by)) / (2 * by);
      const [wide, narrow] = [slope(2 ** -10), slope(2 ** -11)];
      // The narrow quotient errs by a third of the difference, to leading order, and by the rounding of the losses.
      const tolerance = Math.abs(wide - narrow) + 2 ** -52 * 2 ** 11 * 100;
      assert(Math.abs(narrow - value) <= tolerance, `d${name}[${at}]: ${value}, slope ${narrow} ± ${tolerance}`);
    }
  }
});

gpuTest("a cross-entropy refuses what does not fit", async (device) => {
  const tensor = (...shape: number[]): Tensor => Tensor.empty(device, shape);
  const fits = {
    ...{ x: tensor(3, 2), head: tensor(2, 5), weights: tensor(3), stats: tensor(3), loss: tensor(1) },
    targets: device.createBuffer({ bytes: 12 }),
  };
  await assertRejects(
    () => planCrossEntropy(device, { ...fits, head: tensor(3, 5) }),
    InputError,
    "head must be [2, any]",
  );
  await assertRejects(
    () => planCrossEntropy(device, { ...fits, weights: tensor(4) }),
    InputError,
    "weights must be [3]",
  );
  await assertRejects(() => planCrossEntropy(device, { ...fits, head: tensor(2, 1) }), InputError, "two ids");
  const targets = device.createBuffer({ bytes: 8 });
  await assertRejects(() => planCrossEntropy(device, { ...fits, targets }), InputError, "targets must be 3 ids, got 2");
});
