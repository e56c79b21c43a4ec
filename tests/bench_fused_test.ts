/** The bench of fused kernels: its random tensors, its judge, its runner with planted faults, and how peers are matched. */

import { after, test } from "node:test";
import { assert, assertEquals, assertGreater, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { caseText, chosenCases } from "../bench/fused/cases.ts";
import { benchFused } from "../bench/fused/command.ts";
import { boundedError, lineError, worstError } from "../bench/fused/errors.ts";
import { assertAllowed, looseness } from "../bench/fused/judge.ts";
import type { FusedLine, LineError, LineShape, Variant } from "../bench/fused/line.ts";
import { fusedLines } from "../bench/fused/lines.ts";
import { peerFigures, type PeerResult, peersOf } from "../bench/fused/peer.ts";
import { randomTensor, unitTensor } from "../bench/fused/random.ts";
import { type FusedRun, runCases } from "../bench/fused/run.ts";
import { chosenShapes, parsedShape, shapeText } from "../bench/fused/shape.ts";
import { WrongResult } from "../bench/gate.ts";
import { flatWorkgroup, type Gpu } from "../kernels/device.ts";
import { planOf, runPlans } from "../kernels/plan.ts";
import { Tensor } from "../kernels/tensor.ts";
import { InputError } from "../models/error.ts";
import { POISON32 } from "../oracle/ulp.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("the bench of fused kernels");
after(() => gpu?.close());

test(
  "random tensors are uniform, the same whatever their shape, and different by seed",
  { skip: gpu === null },
  async () => {
    const numbers = async (shape: number[], seed: number, dtype: "f32" | "f16" = "f32"): Promise<Float32Array> => {
      const tensor = await randomTensor(gpu!, shape, { seed, low: -2, high: 1, dtype });
      const values = await tensor.read();
      tensor.destroy();
      return values;
    };
    const x = await numbers([3, 1001], 7);
    const mean = x.reduce((sum, value) => sum + value, 0) / x.length;
    const square = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / x.length;
    // Of n uniform numbers: five standard deviations of the mean, and of the variance (9/12, its own variance 81/180/n).
    assert(Math.abs(mean + 0.5) < 5 * Math.sqrt(9 / 12 / x.length), `mean ${mean}`);
    assert(Math.abs(square - 9 / 12) < 5 * Math.sqrt(81 / 180 / x.length), `variance ${square}`);
    assert(x.every((value) => value >= -2 && value < 1));
    assertEquals((await numbers([1001], 7)).join(), x.subarray(0, 1001).join());
    const other = await numbers([3, 1001], 8);
    assertGreater(x.filter((value, i) => value !== other[i]).length, 3000);
    const halves = await numbers([3, 1001], 7, "f16");
    assert(halves.every((value, i) => Math.abs(value - x[i]!) <= 2 * 2 ** -11), "halves are the same numbers, rounded");
    assertEquals((await numbers([0, 4], 7)).length, 0);
  },
);

test("unit vectors have norm 1", { skip: gpu === null }, async () => {
  for (const dtype of ["f32", "f16"] as const) {
    const tensor = await unitTensor(gpu!, [5, 3, 32], 1, dtype);
    const x = await tensor.read();
    tensor.destroy();
    // Each entry is off by a rounding of its type; the squares sum to 1, so the norm is off by that at most twice.
    const unit = dtype === "f32" ? 2 ** -20 : 2 ** -10;
    for (let row = 0; row < 15; row++) {
      const norm = Math.hypot(...x.subarray(32 * row, 32 * (row + 1)));
      assert(Math.abs(norm - 1) < unit, `${dtype}: ${norm}`);
    }
  }
});

test("random tensors refuse ranges and widths in one line", { skip: gpu === null }, async () => {
  await assertRejects(() => randomTensor(gpu!, [4], { seed: 1, low: 1, high: 1 }), InputError, "low < high");
  await assertRejects(() => unitTensor(gpu!, [4, 3], 1, "f16"), InputError, "even in f16");
});

test("a line's error is over the rms of the truth, and infinite where nothing was written", () => {
  const truth = Float64Array.of(3, -4, 0, 5);
  const rms = Math.sqrt(50 / 4);
  const { max, rms: mean, peak } = lineError(Float32Array.of(3, -4.5, 0, 5), truth, 1);
  assertEquals([max, mean, peak], [0.5 / rms, Math.sqrt(0.25 / 4) / rms, 5 / rms]);
  for (const bad of [NaN, Infinity, POISON32]) {
    assertEquals(lineError(Float32Array.of(3, bad, 0, 5), truth, 1).max, Infinity);
  }
  assertEquals(lineError(Float32Array.of(1), Float64Array.of(NaN), 1).max, Infinity);
  assertEquals(lineError(Float32Array.of(0.5, 0), new Float64Array(2), 1).max, 0.5);
  assertThrows(() => lineError(new Float32Array(3), truth, 1), TypeError, "4 numbers are true, got 3");
  const worst = worstError([{ max: 1, rms: 1, allowed: 10 }, { max: 0.5, rms: 0, allowed: 1 }]);
  assertEquals(worst.allowed, 1);
});

test("a number beyond its own bound is an infinite error, and the tightest bound says which faults show", () => {
  const truth = Float64Array.of(1, -8, 0, 4);
  const radii = [2 ** -12, 2, 1, 1];
  const rms = Math.sqrt(81 / 4);
  const near = boundedError(Float32Array.of(1, -9, 0.5, 4), truth, radii);
  assertEquals([near.max, near.allowed, near.shows], [1 / rms, 2 / rms, 2 ** -11]);
  // Far below the largest bound, and beyond its own.
  const beyond = boundedError(Float32Array.of(1 + 2 ** -11, -8, 0, 4), truth, radii);
  assertEquals(beyond.max, Infinity);
  assertThrows(() => assertAllowed(beyond), WrongResult);
  for (const bad of [NaN, POISON32]) {
    assertEquals(boundedError(Float32Array.of(1, bad, 0, 4), truth, radii).max, Infinity);
  }
  // A fault of that size or more is seen wherever the result lay within its bounds.
  const result = Float32Array.of(1 - 2 ** -12, -8, 0, 4);
  assertEquals(boundedError(result.map((x) => x * (1 + 2 * near.shows!)), truth, radii).max, Infinity);
  assertEquals(worstError([near, { max: 0, rms: 0, allowed: 1, shows: 3 }]).shows, 2 ** -11);
});

test("a wrong error is refused, and a bound that would let 2^-10 pass is named", () => {
  assertAllowed({ max: 1e-6, rms: 1e-7, allowed: 1e-6 });
  for (const error of [{ max: 2e-6, rms: 0 }, { max: NaN, rms: 0 }, { max: 0, rms: Infinity }]) {
    assertThrows(() => assertAllowed({ ...error, allowed: 1e-6 }), WrongResult, "allowed 0.00000100");
  }
  assertThrows(() => assertAllowed({ max: Infinity, rms: 0, allowed: Infinity }), WrongResult);
  assertEquals(looseness("f32", { max: 0, rms: 0, allowed: 2 ** -11 }), undefined);
  assertMatch(looseness("f32", { max: 0, rms: 0, allowed: 2 ** -9 })!, /relative fault of 2\^-10 pass/);
  assertEquals(looseness("f32", { max: 0, rms: 0, allowed: 2 ** -9, peak: 4 }), undefined);
  assertEquals(looseness("f16", { max: 0, rms: 0, allowed: 2 ** -9 }), undefined);
  assertEquals(looseness("f32", { max: 0, rms: 0, allowed: 9, shows: 2 ** -11 }), undefined);
  assertMatch(
    looseness("f32", { max: 0, rms: 0, allowed: 9, shows: 2 ** -9 })!,
    /below 0.00195; one of 2\^-10 would pass/,
  );
});

const shape = (N: number): LineShape => ({ N });
const variant = (name: string, options: Variant["options"] = {}): Variant => ({ name, options });

/** The device of this file, which a run gives back instead of closing it; `onClose` is told how much is live then. */
function lent(onClose: (live: number) => void = () => {}, done: Gpu["done"] = () => gpu!.done()): Gpu {
  return new Proxy(gpu!, {
    get(target, key) {
      if (key === "done") return done;
      if (key === "close") return () => Promise.resolve(onClose(target.bytes.live));
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Doubles numbers; tunings multiply by another factor, take threads that no device has, or throw. Counts its frees. */
function doubling(name: string, variants: readonly Variant[]): FusedLine & { freed: number } {
  const line = {
    name,
    dtype: "f32" as const,
    shapes: [shape(2048), shape(4096)],
    small: shape(1000),
    variants,
    freed: 0,
    async prepare(on: Gpu, { N }: LineShape, { options }: Variant) {
      const { factor = 2, threads = 64, fails = "" } = options;
      const x = await randomTensor(on, [N!], { seed: 1, low: -1, high: 1 });
      const y = Tensor.empty(on, [N!]);
      if (fails === "limits") throw new InputError("Cannot double: threads must be fewer, got many");
      if (fails === "never") await new Promise(() => {});
      if (fails === "slow") await new Promise((resolve) => setTimeout(resolve, 200));
      const pipeline = await on.compile({
        label: name,
        code: `
          @group(0) @binding(0) var<storage, read> x: array<f32>;
          @group(0) @binding(1) var<storage, read_write> y: array<f32>;
          ${flatWorkgroup}
          @compute @workgroup_size(${threads})
          fn main(
            @builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u,
            @builtin(local_invocation_index) local: u32,
          ) {
            let at = flat_workgroup(workgroup, grid) * ${threads}u + local;
            if (at < arrayLength(&x)) { y[at] = ${factor} * x[at]; }
          }`,
      });
      const plan = planOf({
        name,
        variant: `${threads} threads`,
        dispatches: [{ pipeline, buffers: [x.buffer, y.buffer], workgroups: Math.ceil(N! / Number(threads)) }],
        bytes: 8 * N!,
        operations: N!,
      });
      return {
        plans: [plan],
        tokens: N!,
        check: async () => lineError(await y.read(), Float64Array.from(await x.read(), (v) => 2 * v), 2 ** -23),
        release() {
          line.freed++;
          x.destroy();
          y.destroy();
          plan.release();
        },
      };
    },
  };
  return line;
}

const sound = variant("sound");
const wrong = variant("wrong", { factor: 2 * (1 + 2 ** -10) });
const all = { words: [], shape: undefined, variants: [], sweep: true };

function runOf(options: Partial<FusedRun> = {}): FusedRun {
  return {
    effort: { time: 1, calls: 2 },
    budget: Infinity,
    patience: 60,
    recheck: true,
    peers: [],
    rates: () => Promise.resolve({ copy: 1e6, matmul: { f32: 1e6 } }),
    open: () => Promise.resolve(lent()),
    now: () => 0,
    ...options,
  };
}

interface Told {
  readonly timed: string[];
  readonly failed: string[];
}

async function told(
  cases: Parameters<typeof runCases>[0],
  run: FusedRun,
): Promise<Told & Awaited<ReturnType<typeof runCases>>> {
  const [timed, failed]: string[][] = [[], []];
  const outcome = await runCases(cases, run, {
    onResult: (item, results) => timed!.push(...results.map(({ ms }) => `${item.variant.name} ${ms > 0}`)),
    onFailure: (item, { message }, limits) => failed!.push(`${item.variant.name} ${limits}: ${message}`),
    onLoose: (item) => failed!.push(`${item.variant.name} loose`),
  });
  return { timed: timed!, failed: failed!, ...outcome };
}

test("control: a wrong tuning is not timed, and the next one is", { skip: gpu === null }, async () => {
  const line = doubling("double", [sound, wrong, variant("sound too")]);
  const { timed, failed, right, left } = await told(chosenCases([line], true, all), runOf());
  assertEquals(timed, ["sound true", "sound too true"]);
  assertEquals([failed.length, right, left], [1, false, []]);
  assertMatch(failed[0]!, /^wrong false: largest error 0\.00\d+, rms 0\.000977, allowed 1\.19e-7/);
  assertEquals(line.freed, 3);
});

test("a tuning that does not compile fails, one out of limits is left out, both free what they made", {
  skip: gpu === null,
}, async () => {
  const broken = variant("broken", { threads: 1e9 });
  const tooLarge = variant("too large", { fails: "limits" });
  const cases = chosenCases([doubling("double", [sound, tooLarge])], true, all);
  let live = -1;
  const open: FusedRun["open"] = () => Promise.resolve(lent((bytes) => live = bytes));
  const limited = await told(cases, runOf({ open }));
  assertEquals([limited.right, live], [true, 0]);
  assertMatch(limited.failed[0]!, /^too large true: Cannot double/);
  const failed = await told(chosenCases([doubling("double", [broken, sound])], true, all), runOf({ open }));
  assertEquals([failed.right, failed.timed, live], [false, ["sound true"], 0]);
  // A default choice that the device cannot run is a failure: there would be no figure.
  const first = await told(chosenCases([doubling("double", [tooLarge, sound])], true, all), runOf());
  assertEquals([first.right, first.timed], [false, ["sound true"]]);
});

test(
  "nothing is begun once the budget is spent; a device that does not answer ends the run",
  { skip: gpu === null },
  async () => {
    const cases = chosenCases([doubling("double", [sound, variant("second"), variant("third")])], true, all);
    let clock = 0;
    const spent = await told(cases, runOf({ budget: 2, now: () => clock++ }));
    assertEquals([spent.timed.length, spent.left.map(({ variant: { name } }) => name), spent.right], [
      2,
      ["third"],
      true,
    ]);
    // A host that takes long is not a device that does not answer.
    const slow = doubling("double", [variant("slow", { fails: "slow" })]);
    assertEquals((await told(chosenCases([slow], true, all), runOf({ patience: 0.05 }))).timed, ["slow true"]);
    const never = doubling("double", [variant("never", { fails: "never" }), sound]);
    const stuck = await told(
      chosenCases([never], true, all),
      runOf({ patience: 0.05, open: () => Promise.resolve(lent(() => {}, () => new Promise(() => {}))) }),
    );
    assertEquals([stuck.stuck, stuck.right, stuck.left.length], [true, false, 1]);
    assertMatch(stuck.failed[0]!, /did not answer within 0\.05 s/);
  },
);

test("bench fused --json prints one complete object per tuning", { skip: gpu === null }, async () => {
  const [out, err]: string[][] = [[], []];
  const lines = [doubling("double", [sound, wrong]), doubling("double twice", [sound])];
  const output = { out: (line: string) => out!.push(line), err: (line: string) => err!.push(line), progress: () => {} };
  const status = await benchFused(["--quick", "--json", "--sweep"], output, lines);
  assertEquals(status, 1);
  assertEquals(err!.length, 1);
  assertMatch(err![0]!, /^FAILED double f32, N=1000, wrong, not timed: largest error/);
  const results = out!.map((line) => JSON.parse(line));
  assertEquals(results.map(({ kernel, variant }) => `${kernel}, ${variant}`), ["double, sound", "double twice, sound"]);
  for (const result of results) {
    assertEquals([result.dtype, result.shape, result.plan], ["f32", "N=1000", "64 threads"]);
    for (const key of ["ms", "hostMs", "bytes", "operations", "tokensPerSecond", "bandwidthFraction", "samples"]) {
      assertGreater(result[key], 0, key);
    }
    assert(result.spread[0] <= result.ms && result.ms <= result.spread[1]);
    assert(result.judgedError <= result.allowedError && result.rmsError <= result.maxError);
  }
});

test("bench fused says in words what it leaves out without a GPU, lists, helps and refuses", async () => {
  const lines = [doubling("double", [sound, wrong])];
  const said = async (args: string[]): Promise<{ status: number; out: string[]; err: string[] }> => {
    const [out, err]: string[][] = [[], []];
    const output = {
      out: (line: string) => out!.push(line),
      err: (line: string) => err!.push(line),
      progress: () => {},
    };
    return { status: await benchFused(args, output, lines), out: out!, err: err! };
  };
  const without = await said(["--gpu", "off"]);
  assertEquals([without.status, without.out], [0, []]);
  assertEquals(without.err, ["not run: double: the GPU is off; enable them with: dualscan bench fused --gpu auto"]);
  assertEquals((await said(["--list"])).out, [
    "double f32",
    "  shapes: N=2048, N=4096; small: N=1000",
    "  tunings: sound, wrong",
  ]);
  assertMatch((await said(["--help"])).out[0]!, /--budget SECONDS/);
  const refused: [string[], RegExp][] = [
    [["triple"], /^Cannot bench triple: it must be words of a line's name; the lines are double$/],
    [
      ["--variant", "none", "--gpu", "off"],
      /^Cannot bench: no line has the shape and variant asked for; .*sound, wrong$/,
    ],
    [["--shape", "N"], /^Cannot use --shape: it must be extents such as B=8,T=4096, got N$/],
    [["--budget", "soon"], /^Cannot use --budget: it must be a whole number ≥ 1, got soon$/],
    [["--gpu", "maybe"], /^Cannot use --gpu: /],
    [["--nonsense"], /^Cannot run bench fused: .*--nonsense.*its options are --shape/],
  ];
  for (const [args, pattern] of refused) {
    assertMatch((await assertRejects(() => said(args), InputError)).message, pattern);
  }
});

test("cases: defaults of all lines before second tunings; shapes and tunings by name", () => {
  const lines = [doubling("a line", [sound, wrong]), doubling("another line", [sound, wrong])];
  const texts = (choice: Partial<typeof all> = {}): string[] =>
    chosenCases(lines, false, { ...all, ...choice }).map(caseText);
  assertEquals(texts({ words: ["a"] as never[] }), [
    "a line f32, N=2048, sound",
    "a line f32, N=4096, sound",
    "a line f32, N=2048, wrong",
    "a line f32, N=4096, wrong",
  ]);
  assertEquals(texts().slice(3, 5), ["another line f32, N=4096, sound", "a line f32, N=2048, wrong"]);
  assertEquals(texts({ sweep: false }).length, 4);
  assertEquals(texts({ variants: ["wrong"] as never[], sweep: false }).length, 4);
  const tunings = ["2 modes", "2 modes, 64 threads", "64 threads"].map((name) => variant(name));
  const named = (wanted: string): string[] =>
    chosenCases([doubling("a line", tunings)], true, { ...all, variants: [wanted] as never[], sweep: false })
      .map((item) => item.variant.name);
  assertEquals(named("2 modes"), ["2 modes"]);
  assertEquals(named("modes, 64"), ["2 modes, 64 threads"]);
  assertEquals(named("threads"), ["2 modes, 64 threads", "64 threads"]);
  const wide = { B: 2, T: 64 };
  const line = { ...lines[0]!, shapes: [wide, { B: 2, T: 128 }], small: wide };
  assertEquals(chosenShapes(line, line.shapes, { T: 128 }), [{ B: 2, T: 128 }]);
  assertEquals(chosenShapes(line, line.shapes, { T: 7, B: 1 }), [{ B: 1, T: 7 }]);
  assertEquals(chosenShapes(line, line.shapes, { T: 7 }), []);
  assertEquals(shapeText(parsedShape("B=2, T=64")), "B=2 T=64");
});

test("every fused line has a name of its own by type, small extents for every axis, and tunings of different names", () => {
  const names = fusedLines.map(({ name, dtype }) => `${name} ${dtype}`);
  assertEquals(new Set(names).size, names.length);
  for (const line of fusedLines) {
    assertGreater(line.shapes.length, 0, line.name);
    for (const extents of line.shapes) assertEquals(Object.keys(extents), Object.keys(line.small), line.name);
    assertGreater(line.variants.length, 0, line.name);
    assertEquals(new Set(line.variants.map(({ name }) => name)).size, line.variants.length, line.name);
  }
});

for (
  const [name, fault] of [
    ["delta-product", "dropped-carry"],
    ["rwkv7", "dropped-carry"],
    ["rwkv6", "swapped-operands"],
    ["mlstm", "swapped-operands"],
  ] as const
) {
  test(
    `${name} chunk forward is within its bounds; control: with ${fault} it is not`,
    { skip: gpu === null },
    async () => {
      const lines = fusedLines.filter((line) => line.name === `${name} chunk forward`);
      assertGreater(lines.length, 0);
      for (const line of lines) {
        const judged = async (options: Variant["options"]): Promise<LineError> => {
          const prepared = await line.prepare(gpu!, line.small, variant("", options));
          try {
            await runPlans(gpu!, line.name, prepared.plans);
            return await prepared.check();
          } finally {
            prepared.release();
          }
        };
        const error = await judged({});
        assertAllowed(error);
        assertEquals(looseness(line.dtype, error), undefined, line.dtype);
        const wrong = await judged({ fault });
        assertThrows(() => assertAllowed(wrong), WrongResult);
      }
    },
  );
}

test("peers are matched by kernel, shape in any order, and the nearest type", () => {
  const peer = (dtype: PeerResult["dtype"], name = "them", ms = 2): PeerResult => ({
    kernel: "double",
    shape: "T=8 B=1",
    dtype,
    adapter: "theirs",
    peer: name,
    ms,
    maxError: 1e-3,
    date: "2026-01-01T00:00:00.000Z",
  });
  const ours = { kernel: "double", shape: "B=1 T=8", dtype: "f32", ms: 1 };
  assertEquals(peersOf([peer("bf16"), peer("f32")], ours).map(({ dtype }) => dtype), ["f32"]);
  assertEquals(peersOf([peer("bf16")], ours).map(({ dtype }) => dtype), ["bf16"]);
  assertEquals(peersOf([peer("f32"), peer("bf16")], { ...ours, dtype: "f16" }).map(({ dtype }) => dtype), ["bf16"]);
  assertEquals(peersOf([peer("f32"), peer("f32", "others")], ours).map((found) => found.peer), ["them", "others"]);
  assertEquals(peersOf([peer("f32", "them", 2), peer("f32", "them", 3)], ours).map(({ ms }) => ms), [3]);
  assertEquals(peersOf([{ ...peer("f32"), shape: "B=1 T=9" }], ours), []);
  assertEquals(peerFigures(ours, peer("f32")), { peer: "them", peerMs: 2, ratio: 0.5, peerMaxError: 1e-3 });
  assertEquals(peerFigures(ours, peer("bf16")).peerDtype, "bf16");
});
