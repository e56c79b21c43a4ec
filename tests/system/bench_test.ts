import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  assert,
  assertEquals,
  assertGreater,
  assertGreaterOrEqual,
  assertMatch,
  assertNotMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { cpuCopy } from "../../bench/copy.ts";
import { modelKernel, pairKernel } from "../../bench/cpu_scan.ts";
import { assertRight, gated, WrongResult } from "../../bench/gate.ts";
import { pairScanKernel, scanKernel } from "../../bench/gpu_scan.ts";
import { streamKernel } from "../../bench/gpu_stream.ts";
import { type CpuKernel, effortOf, type Kernel, type Opened } from "../../bench/kernel.ts";
import { kernels } from "../../bench/kernels.ts";
import { bench } from "../../bench/main.ts";
import { quantile, samplesOf } from "../../bench/measure.ts";
import { chosenKernels } from "../../bench/options.ts";
import { InputError } from "../../models/error.ts";
import { faultySchedule } from "../../models/execution.ts";
import { gla } from "../../models/gla.ts";
import { joined, withinRadius } from "../../oracle/compare.ts";
import { blelloch, chunked, type Schedule, sequential } from "../../scan/mod.ts";
import { gpuForTests } from "../gpu.ts";

const effort = { ...effortOf(true), time: 5, calls: 2 };
const folder = mkdtempSync(join(tmpdir(), "dualscan-bench-"));
const gpu = await gpuForTests("controls of the bench on a GPU");
after(async () => {
  rmSync(folder, { recursive: true });
  await gpu?.close();
});

interface Said {
  readonly status: number;
  readonly out: string[];
  readonly err: string[];
}

/** What a bench command prints and returns. */
async function said(args: readonly string[], all: readonly Kernel[] = kernels): Promise<Said> {
  const out: string[] = [];
  const err: string[] = [];
  const status = await bench(args, all, {
    out: (line) => out.push(line),
    err: (line) => err.push(line),
    progress: () => {},
  });
  return { status, out, err };
}

test("bench --json prints one complete object per CPU kernel and saves the same", async () => {
  const file = join(folder, "results.jsonl");
  const { status, out, err } = await said(["cpu", "--quick", "--json", "--gpu", "off", "--save", file]);
  assertEquals([status, err], [0, []]);
  assertEquals(out.length, kernels.filter(({ device }) => device === "cpu").length);
  assertEquals(readFileSync(file, "utf8"), `${out.join("\n")}\n`);
  for (const line of out) {
    const result = JSON.parse(line);
    for (const key of ["kernel", "shape", "adapter"]) assertGreater(result[key].length, 2, key);
    assertEquals(result.dtype, "f32");
    assertMatch(result.runtime, /^(deno|bun|node) \d+\.\d+\.\d+/);
    for (const key of ["ms", "bytes", "tokensPerSecond", "bandwidthFraction", "copyBytesPerSecond", "bound"]) {
      assertGreater(result[key], 0, `${result.kernel}: ${key}`);
    }
    assertEquals(result.spread.length, 2);
    assert(result.spread[0] <= result.ms && result.ms <= result.spread[1], line);
    assertGreaterOrEqual(result.maxUlp, 0);
    assert(result.boundFraction <= 1, line);
    assertEquals(new Date(result.date).toISOString(), result.date);
  }
});

test("bench prints a table and appends to a saved file", async () => {
  const file = join(folder, "twice.jsonl");
  const args = ["cpu sequential affine", "--quick", "--gpu", "off", "--save", file];
  const { status, out } = await said(args);
  await said(args);
  assertEquals(status, 0);
  assertEquals(out.length, 2);
  assertMatch(out[1]!, /^cpu sequential affine +B=1 T=4096 D=1 .*%$/);
  assertEquals(readFileSync(file, "utf8").trim().split("\n").length, 2);
});

test("bench says in words what it leaves out without a GPU, and the command that enables it", async () => {
  const { status, out, err } = await said(["stream", "--quick", "--gpu", "off", "--json"]);
  assertEquals([status, out, err.length], [0, [], 1]);
  assertMatch(err[0]!, /^not run: webgpu stream gla, .*; enable them with: dualscan bench --gpu auto$/);
});

test("bench ends with status 2 and one line on unusable arguments", async () => {
  const cases: [readonly string[], RegExp][] = [
    [["nonsense"], /^Cannot bench nonsense: .* the kernels are cpu sequential affine, .*webgpu stream hgrn$/],
    [["gl"], /^Cannot bench gl: /],
    [["--nonsense"], /^Cannot run bench: .*--nonsense.*; its options are --gpu, --json/],
    [["--gpu", "maybe"], /^Cannot use --gpu: it must be one of auto, off, require, got maybe$/],
    [["--gpu", "off", "--save", `${folder}/`], /^Cannot save to .*: it must be a file that can be written/],
  ];
  for (const [args, pattern] of cases) {
    const { status, out, err } = await said(args);
    assertEquals([status, out, err.length], [2, [], 1], args.join(" "));
    assertMatch(err[0]!, pattern);
    assertNotMatch(err[0]!, /\n/);
  }
});

test("bench --help and --list time nothing", async () => {
  assertStringIncludes((await said(["--help"])).out[0]!, "--quick");
  assertEquals((await said(["--list", "gla"])).out, kernels.map(({ name }) => name).filter((n) => n.endsWith(" gla")));
});

test("kernels have different names, and are chosen by words of them", () => {
  assertEquals(new Set(kernels.map(({ name }) => name)).size, kernels.length);
  assertEquals(chosenKernels(kernels, []), kernels);
  assertEquals(chosenKernels(kernels, ["webgpu scan s6"]).map(({ name }) => name), ["webgpu scan s6"]);
  assertThrows(() => chosenKernels(kernels, ["scan webgpu"]), InputError, "words of a kernel");
});

/** Every faulty schedule that a scan could be. */
const faulty: readonly (readonly [string, Schedule])[] = [sequential, blelloch, chunked(64)].flatMap((schedule) =>
  (["dropped-carry", "swapped-operands"] as const).map((fault) =>
    [`${schedule.name} with ${fault}`, faultySchedule(schedule, fault)] as const
  )
);

test("control: a wrong scan is not timed and ends with status 1", async () => {
  const planted = faulty.flatMap(([name, schedule]) => [
    pairKernel(name, schedule),
    modelKernel(name, schedule, gla),
  ]);
  const sound = pairKernel("sound", sequential);
  const { status, out, err } = await said(["--quick", "--json", "--gpu", "off"], [...planted, sound]);
  assertEquals(status, 1);
  // The sound one is still timed.
  assertEquals(out.map((line) => JSON.parse(line).kernel), [sound.name]);
  assertEquals(err.length, planted.length);
  planted.forEach(({ name }, n) => assertStringIncludes(err[n]!, `FAILED ${name}, not timed: first bad index`));
});

/** A kernel of one number, wrong or not when checked and when timed. */
function fake(checked: number, timed: number, allowed: number): Opened & { calls: number } {
  const opened = {
    shape: "one number",
    tokens: 1,
    bytes: 4,
    calls: 0,
    check: () => Promise.resolve(withinRadius([checked], [1], [allowed])),
    time() {
      opened.calls++;
      return Promise.resolve({ samples: [1], verdict: withinRadius([timed], [1], [allowed]) });
    },
  };
  return opened;
}

test("control: nothing is timed before its check, and what was timed is checked too", async () => {
  const off = 1 + 2 ** -10;
  const wrong = fake(off, 1, 2 ** -20);
  await assertRejects(() => gated(wrong), WrongResult, "got 1.0009765625");
  assertEquals(wrong.calls, 0);
  await assertRejects(() => gated(fake(1, off, 2 ** -20)), WrongResult, "got 1.0009765625");
  assertEquals((await gated(fake(1, 1, 2 ** -20))).samples, [1]);
  await assertRejects(() => gated(fake(NaN, 1, 2 ** -20)), WrongResult, "got NaN");
});

test("control: a bound that would let a fault of 2^-10 pass is refused", async () => {
  const loose = fake(1, 1, 2 ** -9);
  await assertRejects(() => gated(loose), WrongResult, "too wide");
  assertEquals(loose.calls, 0);
  assertThrows(() => assertRight(joined([])), WrongResult);
});

test("a kernel that throws is a failure of its own", async () => {
  const broken: CpuKernel = { name: "broken", device: "cpu", open: () => Promise.reject(new Error("no such thing")) };
  const { status, out, err } = await said(["--json"], [broken]);
  assertEquals([status, out, err], [1, [], ["FAILED broken, not timed: no such thing"]]);
});

test("control: faults on a GPU are not timed", { skip: gpu === null }, async () => {
  const fault = { relative: 2 ** -10 };
  const planted = [
    scanKernel(gla, { fault }),
    scanKernel(gla, { fault: "dropped-carry" }),
    streamKernel(gla, { fault }),
    pairScanKernel({ fault: "dropped-carry" }),
  ];
  for (const kernel of planted) {
    const opened = await kernel.open(effort, gpu!);
    await assertRejects(() => gated(opened), WrongResult, "first bad index");
  }
});

test("kernels on a GPU are timed and free what they made", { skip: gpu === null }, async () => {
  const before = gpu!.bytes.live;
  for (const kernel of kernels) {
    if (kernel.device !== "gpu" || !/ (gla|affine)$/.test(kernel.name)) continue;
    const { samples, verdict } = await gated(await kernel.open(effort, gpu!));
    assert(samples.length > 0 && samples.every((ms) => ms > 0), kernel.name);
    assert(verdict.ok);
  }
  assertEquals(gpu!.bytes.live, before);
});

test("samplesOf counts calls and passes errors on", async () => {
  let calls = 0;
  const samples = await samplesOf({ time: 1, calls: 3 }, () => void calls++);
  assertGreaterOrEqual(samples.length, 3);
  assertGreaterOrEqual(calls, samples.length);
  const own = await samplesOf({ time: 1, calls: 3 }, () => Promise.resolve(7));
  assert(own.every((ms) => ms === 7));
  await assertRejects(
    () => samplesOf({ time: 1, calls: 3 }, () => Promise.reject(new Error("inside"))),
    Error,
    "inside",
  );
});

test("quantile interpolates", () => {
  assertEquals(quantile([3, 1, 2], 0.5), 2);
  assertEquals(quantile([4, 1, 2, 3], 0.25), 1.75);
  assertEquals(quantile([5], 0.75), 5);
  assertThrows(() => quantile([], 0.5), RangeError);
});

test("a copy's bandwidth is a positive number", async () => assertGreater(await cpuCopy(effort), 0));
