/** Error against length: the truth it is held to, planted faults, and the plot. */

import { after, test } from "node:test";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertGreater,
  assertMatch,
  assertRejects,
  assertThrows,
} from "@std/assert";
import { columnCotangents, columnDims, columnInputs, columnOf } from "../bench/errors/column.ts";
import { benchErrors } from "../bench/errors/command.ts";
import { errorCurve, type ErrorPoint, hasCurve, type Pass } from "../bench/errors/curve.ts";
import { errorPlots, type ErrorResult } from "../bench/errors/draw.ts";
import { parsedLengths } from "../bench/errors/lengths.ts";
import { logPlot } from "../bench/plot.ts";
import { trueGradients, trueOutputs as columnOutputs } from "../bench/errors/truth.ts";
import type { AnyAffineModel } from "../models/affine.ts";
import { backward } from "../models/backward.ts";
import { deltaNet } from "../models/delta_net.ts";
import { deltaProduct } from "../models/delta_product.ts";
import { InputError } from "../models/error.ts";
import { type Execution, faultySchedule, scanned, withRelativeFault } from "../models/execution.ts";
import { gla } from "../models/gla.ts";
import { fusedFamilies, type FusedFamily } from "../kernels/fused.ts";
import { genericLayer } from "../kernels/generic_layer.ts";
import { hgrn } from "../models/hgrn.ts";
import { type Dims, inputEntries, prepare, sampleInputs } from "../models/inputs.ts";
import { f64 } from "../models/number.ts";
import { linearAttention } from "../models/linear_attention.ts";
import { linearRecurrence } from "../models/linear_recurrence.ts";
import { mlstm } from "../models/mlstm.ts";
import { rwkv6 } from "../models/rwkv6.ts";
import { s4d } from "../models/s4d.ts";
import { s6 } from "../models/s6.ts";
import { seededSource } from "../models/source.ts";
import { judgeOf } from "../oracle/allowance.ts";
import { kept } from "../oracle/checks/setting.ts";
import { reference, trueOutputs } from "../oracle/reference.ts";
import { sequential } from "../scan/mod.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("error curves on a GPU");
after(() => gpu?.close());

/** Lanes, a diagonal with a late read-out, an axis shared by all channels, complex and scaled, matrices, micro-steps. */
const some: readonly AnyAffineModel[] = [hgrn, gla, rwkv6, s6, s4d, mlstm, deltaNet, deltaProduct];
const sizes = { K: 3, V: 3, N: 2, D: 3 };

function largest(got: ArrayLike<number>, truth: ArrayLike<number>): number {
  assertEquals(got.length, truth.length);
  const scale = Math.hypot(...Array.from(truth)) / Math.sqrt(truth.length) || 1;
  return Math.max(0, ...Array.from(truth, (x, i) => Math.abs(x - got[i]!) / scale));
}

for (const model of some) {
  test(`the truth of one column is the column of the whole truth: ${model.name}`, () => {
    // Longer than a part of the backward pass.
    const dims: Dims = { B: 1, T: 270, H: model.heads ? 2 : 1, sizes };
    const inputs = sampleInputs(model, dims, "long-memory", 3);
    const place = { head: dims.H - 1, column: 2 };
    const axis = model.state.at(-1)!;
    const column = columnInputs(model, dims, inputs, place);
    const one = columnDims(model, dims);
    const outputs = columnOutputs(model, one, column);
    const whole = trueOutputs(reference(model, dims, inputs), dims.T);
    // Sums over other columns are not there, so only the order of f64's roundings may differ.
    assert(largest(outputs, columnOf(whole, [axis], axis, dims.H, sizes, place)) < 1e-12);

    const cotangents = Float64Array.from({ length: dims.T }, (_, t) => Math.fround(Math.sin(t)));
    const given = { outputs: columnCotangents(model, dims, cotangents, place) };
    const all = backward(f64, prepare(model, dims, inputs), given).inputs;
    const floats = Object.fromEntries(Object.entries(all).map(([name, x]) => [name, Float64Array.from(x)]));
    const gradients = trueGradients(model, one, column, cotangents);
    for (const [name, { axes }] of inputEntries(model)) {
      const expected = columnOf(floats[name]!, axes, axis, dims.H, sizes, place);
      assert(largest(gradients[name]!, expected) < 1e-9, `${model.name} ${name}`);
    }
  });
}

async function curve(
  execution: Execution,
  model: AnyAffineModel,
  pass: Pass = "forward",
  lengths: readonly number[] = [1, 64, 300],
): Promise<readonly ErrorPoint[]> {
  const points: ErrorPoint[] = [];
  const extent = { H: 2, sizes };
  for await (const point of errorCurve(execution, model, pass, seededSource("long-memory"), lengths, extent)) {
    points.push(point);
  }
  return points;
}

const fold = scanned(sequential);

test("a sound f32 run has f32's error, a planted fault of 2^-10 shows at every length", async () => {
  for (const model of [hgrn, gla]) {
    const points = await curve(fold, model);
    assertEquals(points.map(({ length }) => length), [1, 64, 300]);
    // Sums of 300 terms, none of which is larger than the result's rms by more than its count's root: far below 2^-10.
    assert(points.every(({ maxError, rmsError }) => maxError < 2 ** -14 && rmsError <= maxError), model.name);
    const faulty = await curve(withRelativeFault(fold), model);
    assert(faulty.every(({ maxError }) => maxError > 2 ** -11), model.name);
  }
});

test("control: a dropped carry shows beyond the first chunk", async () => {
  const points = await curve(scanned(faultySchedule(sequential, "dropped-carry")), gla);
  assert(points[1]!.maxError < 2 ** -14 && points[2]!.maxError > 0.1);
});

test("control: gradients of the other sign show; without gradients there is no curve", async () => {
  const signed = (sign: number): Execution => ({
    ...fold,
    gradients(model, dims, inputs, options) {
      const { inputs: gradients } = backward(f64, prepare(model, dims, inputs), options);
      return Promise.resolve({
        inputs: Object.fromEntries(
          Object.entries(gradients).map(([name, x]) => [name, Float32Array.from(x, (value) => sign * value)]),
        ),
        initialState: new Float64Array(0),
      });
    },
  });
  const [right] = await curve(signed(1), gla, "gradients", [40]);
  assert(right!.maxError < 2 ** -20);
  const [wrong] = await curve(signed(-1), gla, "gradients", [40]);
  assertGreater(wrong!.maxError, 1);
  assertEquals([hasCurve(fold, "gradients"), hasCurve(signed(1), "gradients")], [false, true]);
});

test("lengths are doubled from one to another, or listed", () => {
  assertEquals(parsedLengths("64…2^9"), [64, 128, 256, 512]);
  assertEquals(parsedLengths("64..256"), parsedLengths("64-256"));
  assertEquals(parsedLengths("1, 100"), [1, 100]);
  for (const text of ["", "0", "8…4", "a", "2^-1", "1e3"]) {
    assertThrows(() => parsedLengths(text), InputError, `such as 64…2^20 or 64,1000, got ${text}`);
  }
});

test("a plot puts powers of ten and of two where they belong, and leaves out what has no logarithm", () => {
  const svg = logPlot({ title: "a < b & c", x: "tokens", y: "error" }, [
    { name: "one", points: [[64, 1e-6], [128, 1e-5], [256, 1e-4]], colour: 0, pattern: 0 },
    { name: "two", points: [[64, 0], [128, Infinity], [256, 1e-4]], colour: 1, pattern: 1 },
    { name: "none", points: [[64, 0]], colour: 2, pattern: 2 },
  ]);
  assertEquals(svg.match(/<polyline /g)!.length, 2);
  assertMatch(svg, /a &lt; b &amp; c/);
  assert(!svg.includes("NaN") && !svg.includes("Infinity") && !svg.includes("href"));
  const [first, second] = [...svg.matchAll(/<polyline points="([^"]*)"/g)].map(([, points]) =>
    points!.split(" ").map((point) => point.split(",").map(Number))
  );
  // Three points on a straight line from corner to corner of the axes.
  assertAlmostEquals(first![1]![0]!, (first![0]![0]! + first![2]![0]!) / 2, 0.11);
  assertAlmostEquals(first![1]![1]!, (first![0]![1]! + first![2]![1]!) / 2, 0.11);
  assertGreater(first![0]![1]!, first![2]![1]!);
  assertEquals(second, [first![2]!]);
  assertMatch(logPlot({ title: "", x: "", y: "" }, []), /<\/svg>/);
});

test("plots: one of every family and pass, a colour per model and a pattern per class", () => {
  const point = (family: string, pass: Pass, model: string, inputs: string): ErrorResult => ({
    family,
    pass,
    model,
    inputs,
    length: 64,
    maxError: 1e-6,
    rmsError: 1e-7,
    plainError: 1e-6,
    sizes: "K=16",
    adapter: "here",
    date: "2026-01-01T00:00:00.000Z",
  });
  const plots = errorPlots([
    point("element-wise scan", "forward", "hgrn", "random"),
    point("element-wise scan", "forward", "hgrn", "long-memory"),
    point("element-wise scan", "gradients", "hgrn", "random"),
    point("chunk", "forward", "gla", "random"),
  ]);
  assertEquals(plots.map(([name]) => name), [
    "errors_element_wise_scan_forward.svg",
    "errors_element_wise_scan_gradients.svg",
    "errors_chunk_forward.svg",
  ]);
  // With the f32 recurrence beside each, which the legend leaves out.
  assertEquals(plots[0]![1].match(/<polyline /g)!.length, 4);
  assertEquals(plots[0]![1].match(/stroke-dasharray/g)!.length, 3);
});

/** One of every kind of kernel. */
const curved: readonly AnyAffineModel[] = [hgrn, linearAttention, gla, mlstm, deltaNet, s6];

/** Runs of an execution, held to their derived bound: the largest error in each as a share of what it is allowed. */
function bounded(execution: Execution): { readonly execution: Execution; readonly shares: number[] } {
  const shares: number[] = [];
  return {
    shares,
    execution: {
      ...execution,
      async run(model, dims, inputs) {
        const result = await execution.run(model, dims, inputs, kept(model, execution, dims));
        const { ratio } = judgeOf(reference(model, dims, inputs), execution.rounding).judge(result, dims.T);
        shares.push(ratio);
        return result;
      },
    },
  };
}

for (const { name, supports, execution } of gpu === null ? [] : fusedFamilies) {
  test(`${name}: the points of a curve lie below the derived bound, those of a fault of 2^-10 do not`, async () => {
    for (const model of curved.filter((candidate) => supports(candidate))) {
      const lengths = [64, 257];
      const right = bounded(execution(gpu!));
      const points = await curve(right.execution, model, "forward", lengths);
      assertEquals(points.map(({ length }) => length), lengths);
      assert(right.shares.every((share) => share > 0 && share <= 1), `${model.name}: ${right.shares}`);
      const wrong = bounded(withRelativeFault(execution(gpu!)));
      assert((await curve(wrong.execution, model, "forward", lengths)).every(({ maxError }) => maxError > 2 ** -11));
      assert(wrong.shares.every((share) => share > 1), `${model.name}: ${wrong.shares}`);
    }
  });
}

test("a length whose truth no f32 can hold has no point", async () => {
  const large = seededSource("long-memory");
  const source: typeof large = {
    ...large,
    inputs: (...given) => ({ ...large.inputs(...given), b: new Float32Array(given[1].T * sizes.D).fill(3e38) }),
  };
  const points: ErrorPoint[] = [];
  for await (const point of errorCurve(fold, linearRecurrence, "forward", source, [1, 4], { H: 1, sizes })) {
    points.push(point);
  }
  assertEquals(points.map(({ length }) => length), [1]);
});

const family = (execution: Execution): FusedFamily => ({
  name: "a fold",
  supports: ({ name }) => name === "hgrn" || name === "gla",
  execution: () => execution,
  layer: genericLayer,
});

async function said(args: readonly string[], execution: Execution = fold): Promise<{
  readonly status: number;
  readonly out: string[];
  readonly err: string[];
}> {
  const [out, err]: string[][] = [[], []];
  const output = { out: (line: string) => out!.push(line), err: (line: string) => err!.push(line), progress: () => {} };
  return { status: await benchErrors(args, output, [family(execution)]), out: out!, err: err! };
}

test("bench errors prints a point per length, model and class", { skip: gpu === null }, async () => {
  const { status, out, err } = await said(["fold", "--lengths", "4,8", "--size", "2", "--json"]);
  assertEquals([status, err, out.length], [0, [], 2 * 3 * 2]);
  const points = out.map((line) => JSON.parse(line));
  assertEquals(points[0].family, "a fold");
  assertEquals(points.slice(0, 2).map(({ length }) => length), [4, 8]);
  assert(points.every(({ maxError, rmsError }) => maxError < 2 ** -14 && rmsError <= maxError));
  const broken = {
    ...fold,
    run: () => Promise.resolve({ outputs: new Float32Array(8 * 4), finalState: new Float32Array() }),
  };
  const failed = await said(["--model", "hgrn", "--lengths", "4", "--size", "2", "--inputs", "random"], broken);
  assertEquals([failed.status, failed.err.length], [1, 1]);
  assertMatch(failed.err[0]!, /^FAILED a fold, hgrn forward, random: /);
});

test("bench errors says what it leaves out, helps and refuses", async () => {
  const without = await said(["--gpu", "off"]);
  assertEquals([without.status, without.out], [0, []]);
  assertMatch(without.err[0]!, /^not run: error curves of fused kernels: the GPU is off; enable them with: /);
  assertMatch((await said(["--help"])).out[0]!, /--lengths L/);
  const refused: [string[], RegExp][] = [
    [["nothing"], /^Cannot draw errors of nothing: it must be words of a family's name; the families are a fold$/],
    [["--model", "gal"], /^Cannot use --model: it must be one of .*, got gal$/],
    [["--inputs", "odd"], /^Cannot use --inputs: it must be one of random, long-memory, adversarial, got odd$/],
    [["--lengths", "none"], /^Cannot use --lengths: /],
    [["--pass", "sideways"], /^Cannot use --pass: it must be one of forward, gradients, got sideways$/],
  ];
  for (const [args, pattern] of refused) {
    assertMatch((await assertRejects(() => said(args), InputError)).message, pattern);
  }
});
