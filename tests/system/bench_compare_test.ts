/** Results in files: compared with peers', made into the README's table, drawn; and the script that times peers. */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, test } from "node:test";
import { assert, assertEquals, assertMatch, assertNotMatch, assertThrows } from "@std/assert";
import { errorResults } from "../../bench/errors/draw.ts";
import { benchFused } from "../../bench/fused/command.ts";
import { peerTimings } from "../../bench/fused/peer.ts";
import { bench } from "../../bench/main.ts";
import { benchTable, sections } from "../../bench/readme.ts";
import { markdownTable, tableEntries } from "../../bench/readme/fused.ts";
import { withSection } from "../../bench/readme/section.ts";
import { fusedFamilies } from "../../kernels/fused.ts";
import { InputError } from "../../models/error.ts";

const folder = mkdtempSync(join(tmpdir(), "dualscan-compare-"));
after(() => rmSync(folder, { recursive: true }));

interface Said {
  readonly status: number;
  readonly out: string[];
  readonly err: string[];
}

async function said(...args: readonly string[]): Promise<Said> {
  const [out, err]: string[][] = [[], []];
  const status = await bench(args, [], {
    out: (line) => out!.push(line),
    err: (line) => err!.push(line),
    progress: () => {},
  });
  return { status, out: out!, err: err! };
}

function file(name: string, lines: readonly (object | string)[]): string {
  const path = join(folder, name);
  writeFileSync(path, lines.map((line) => typeof line === "string" ? line : JSON.stringify(line)).join("\n"));
  return path;
}

const ours = (kernel: string, ms: number, more: object = {}): object => ({
  kernel,
  shape: "B=8 T=4096",
  dtype: "f32",
  adapter: "this GPU",
  variant: "128 threads",
  ms,
  maxError: 2e-6,
  date: "2026-01-01T00:00:00.000Z",
  ...more,
});
const theirs = (kernel: string, ms: number, more: object = {}): object => ({
  kernel,
  shape: "B=8 T=4096",
  dtype: "f32",
  adapter: "this GPU",
  peer: "them",
  ms,
  maxError: 1e-3,
  date: "2026-01-01T00:00:00.000Z",
  ...more,
});

test("bench compare joins the fastest tuning with every peer, by kernel, shape and type", async () => {
  const mine = file("ours.jsonl", [
    ours("gla", 2, { variant: "slow" }),
    ours("gla", 1),
    ours("gla", 0.9, { shape: "B=1 T=64" }),
    ours("copy", 1),
    { ...ours("gla", 0.1), ms: undefined, error: "Cannot compile" },
  ]);
  const peers = file("peers.jsonl", [
    theirs("gla", 2),
    theirs("gla", 1.5, { peer: "others", shape: "T=4096 B=8", maxError: null }),
    theirs("gla", 0.5, { dtype: "bf16" }),
    { ...theirs("gla", 1), peer: "broken", ms: undefined, error: "ImportError" },
    "",
  ]);
  const saved = join(folder, "compared.jsonl");
  const { status, out, err } = await said("compare", mine, peers, "--json", "--save", saved);
  assertEquals(status, 0);
  const pairs = out.map((line) => JSON.parse(line));
  assertEquals(pairs.map(({ variant, ms, peer, peerMs, ratio }) => [variant, ms, peer, peerMs, ratio]), [
    ["128 threads", 1, "them", 2, 0.5],
    ["128 threads", 1, "others", 1.5, 1 / 1.5],
  ]);
  assertEquals(pairs.map(({ maxError, peerMaxError }) => [maxError, peerMaxError]), [[2e-6, 1e-3], [2e-6, undefined]]);
  assertEquals(readFileSync(saved, "utf8"), `${out.join("\n")}\n`);
  assertEquals(err, ["no peer's time: gla f32, B=1 T=64", "no peer's time: copy f32, B=8 T=4096"]);
  const table = (await said("compare", mine, peers)).out;
  assertEquals(table.length, 3);
  assertMatch(table[1]!, /^gla +B=8 T=4096 +f32 +1\.00 +them +2\.00 +0\.500 +2\.0e-6 +1\.0e-3 +128 threads$/);
  assertMatch(table[2]!, /others +1\.50 +0\.667 +2\.0e-6 +–/);
});

test("bench compare pairs every design of a kernel with the peers of its work, by its own name", async () => {
  const mine = file(
    "designs.jsonl",
    ["gla", "gla by walks", "gla on tiles", "gla by wire"].map((name) => ours(name, 1)),
  );
  const { out, err } = await said("compare", mine, file("work.jsonl", [theirs("gla", 2)]));
  const names = out.join("\n").split("\n").slice(1).filter((line) => line.includes("0.500")).map((line) =>
    line.split(/ {2,}/)[0]!
  );
  assertEquals(names, ["gla", "gla by walks", "gla on tiles"]);
  assert([...out, ...err].some((line) => line.includes("gla by wire")));
});

test("bench compare refuses malformed files in one line", async () => {
  const good = file("good.jsonl", [theirs("gla", 1)]);
  const mine = file("mine.jsonl", [ours("gla", 1)]);
  const cases: [readonly string[], RegExp][] = [
    [[join(folder, "none.jsonl"), good], /^Cannot read .*none\.jsonl: ENOENT$/],
    [
      [file("text.jsonl", ["kernel gla"]), good],
      /^Cannot read .*text\.jsonl: line 1 must be one JSON object, got kernel gla$/,
    ],
    [[file("list.jsonl", [ours("gla", 1), "[1]"]), good], /line 2 must be one JSON object, got \[1\]$/],
    [[file("zero.jsonl", [ours("gla", 0)]), good], /ms of timing 1 must be a number > 0, got 0$/],
    [[file("bare.jsonl", [{ ms: 1 }]), good], /kernel of timing 1 must be text, got undefined$/],
    [[good, good], /variant of timing 1 must be text, got undefined$/],
    [[mine, mine], /peer of timing 1 must be text, got undefined$/],
    [[mine], /^Cannot run bench compare: it takes OURS\.jsonl and PEERS\.jsonl, got .*mine\.jsonl$/],
    [[mine, good, "--nonsense"], /^Cannot run bench compare: .*its options are --json, --save, --help$/],
    [["--save", "", mine, good], /^Cannot use --save: it must have a value, got nothing$/],
  ];
  for (const [args, pattern] of cases) {
    const { status, out, err } = await said("compare", ...args);
    assertEquals([status, out, err.length], [2, [], 1], args.join(" "));
    assertMatch(err[0]!, pattern);
    assertNotMatch(err[0]!, /\n/);
  }
  assertMatch((await said("compare", "--help")).out[0]!, /ratio: our time over theirs/);
});

test("README's tables and their plots are up to date", async () => {
  const { status, err } = await said("table", "--check");
  assertEquals(err, []);
  assertEquals(status, 0);
});

test("bench table takes the last result of a kind, and only what has a peer", () => {
  const results = join(folder, "results");
  const readme = join(folder, "README.md");
  mkdirSync(results);
  const line = (ms: number, date: string): object => ({
    ...ours("gla", ms, { date }),
    peer: "them",
    peerMs: 2,
    ratio: ms / 2,
    peerMaxError: 1e-3,
  });
  writeFileSync(
    join(results, "a.jsonl"),
    [line(1, "2026-02-01"), line(3, "2026-01-01")].map((x) => JSON.stringify(x)).join("\n"),
  );
  writeFileSync(join(results, "b.jsonl"), JSON.stringify(ours("copy", 1)));
  writeFileSync(join(results, "c.txt"), "not a result");
  const entries = tableEntries(results);
  assertEquals(entries.map(({ kernel, ms }) => [kernel, ms]), [["gla", 1]]);
  assertMatch(
    markdownTable(entries),
    /^\| gla \| B=8 T=4096 \| f32 1\.00 \| them, f32 2\.00 \| \*\*0\.50\*\* \| 2\.0e-6 \| 1\.0e-3 \|$/m,
  );
  const marks = `a\n${
    sections.map(({ name }) => `<!-- bench ${name}: start -->\nold\n<!-- bench ${name}: end -->`).join("\n")
  }\nz\n`;
  writeFileSync(readme, marks);
  const errors: string[] = [];
  const output = { out: () => {}, err: (text: string) => void errors.push(text), progress: () => {} };
  assertEquals(benchTable(["--check"], output, { readme, results }), 1);
  assertMatch(errors[0]!, /README\.md is out of date: bring it up to date with: dualscan bench table$/);
  assertEquals(readFileSync(readme, "utf8"), marks);
  assertEquals(benchTable([], output, { readme, results }), 0);
  assertEquals(benchTable(["--check"], output, { readme, results }), 0);
  const text = readFileSync(readme, "utf8");
  assert(text.startsWith("a\n<!--") && text.endsWith("-->\nz\n") && !text.includes("old"));
  assertThrows(() => withSection("no marks", "table", ""), InputError, "must hold <!-- bench table: start -->");
  writeFileSync(join(results, "d.jsonl"), JSON.stringify({ peer: "them" }));
  assertThrows(() => tableEntries(results), InputError, "a result with a peer must have kernel");
});

test("bench fused --peers and --out are looked at before anything runs", async () => {
  const output = { out: () => {}, err: () => {}, progress: () => {} };
  const failed = async (args: readonly string[]): Promise<string> => {
    try {
      await benchFused(args, output);
    } catch (error) {
      assert(error instanceof InputError);
      return error.message;
    }
    return "";
  };
  assertMatch(await failed(["--peers", join(folder, "none.jsonl")]), /^Cannot read .*none\.jsonl: ENOENT$/);
  assertMatch(await failed(["--out", `${folder}/`]), /^Cannot save to /);
});

test("the saved error curves are finite, of every fused family and pass, with its plot beside them", () => {
  for (const path of ["errors_software.jsonl", "errors_h200/errors.jsonl"]) {
    const file = new URL(`../../bench/results/${path}`, import.meta.url);
    const points = errorResults(fileURLToPath(file));
    assert(points.every(({ maxError }) => Number.isFinite(maxError)));
    for (const { name } of fusedFamilies) {
      for (const pass of ["forward", "gradients"] as const) {
        const lengths = points.filter((point) => point.family === name && point.pass === pass).map(({ length }) =>
          length
        );
        assertEquals([Math.min(...lengths), Math.max(...lengths)], [64, 2 ** 20], `${path}: ${name}, ${pass}`);
        const plot = readFileSync(new URL(`errors_${name.replace(/\W+/g, "_")}_${pass}.svg`, file), "utf8");
        assertMatch(plot, /^<svg .*<polyline /s);
      }
    }
  }
});

test("bench errors --draw draws the plots of a file beside it", async () => {
  const point = {
    family: "chunk",
    model: "gla",
    pass: "forward",
    inputs: "random",
    adapter: "here",
    length: 64,
    maxError: 1e-6,
    plainError: 1e-6,
  };
  const path = file("errors.jsonl", [point, { ...point, length: 128 }, { ...point, error: "out of memory" }]);
  const { status, out } = await said("errors", "--draw", path);
  assertEquals([status, out], [0, [join(folder, "errors_chunk_forward.svg")]]);
  assertMatch(readFileSync(out[0]!, "utf8"), /^<svg .*<polyline /s);
  const lacking = await said("errors", "--draw", file("lacking.jsonl", [{ family: "chunk" }]));
  assertEquals([lacking.status, lacking.err.length], [2, 1]);
  assertMatch(lacking.err[0]!, /point 1 lacks model, got undefined$/);
});

/** Without the site's packages, so without torch, wherever this runs. */
function peers(
  ...args: readonly string[]
): { readonly status: number | null; readonly out: string; readonly err: string } {
  const { status, stdout, stderr } = spawnSync("python3", ["-B", "-I", "-S", "bench/peers.py", ...args], {
    encoding: "utf8",
  });
  return { status, out: stdout, err: stderr };
}

const python = spawnSync("python3", ["--version"]).status === 0;
if (!python) console.warn("not run: checks of bench/peers.py: there is no python3; enable them by installing it");

test("peers.py helps, lists, and says one line per module that is missing", { skip: !python }, () => {
  const help = peers("--help");
  assertEquals(help.status, 0);
  for (const option of ["--only REGEX", "--shapes", "--budget SECONDS"]) assert(help.out.includes(option), option);
  const bare = peers();
  assertEquals([bare.status, bare.out], [2, ""]);
  const lines = bare.err.trim().split("\n");
  assertEquals(lines.map((line) => line.split(" ")[2]), ["torch", "fla", "selective_scan_cuda", "accelerated_scan"]);
  for (const line of lines) assertMatch(line, /^not run: \w+ cannot be imported \(ModuleNotFoundError: /);
  const wrong = peers("--only", "(");
  assertEquals(wrong.status, 2);
  assertMatch(wrong.err, /--only must be a regular expression/);
  const listed = peers("--list", "--only", "copy|cumsum");
  assertEquals([listed.status, listed.out.trim().split("\n").length], [0, 2]);
});

test("peers.py's lines are what compare reads: an error is a line, and does not end the run", { skip: !python }, () => {
  // A torch that computes nothing: every case fails, each in a line of its own.
  mkdirSync(join(folder, "fake"), { recursive: true });
  writeFileSync(
    join(folder, "fake", "torch.py"),
    `
__version__ = "0.0"
class Generator:
    def __init__(self, device): pass
    def manual_seed(self, seed): pass
class matmul: allow_tf32 = False
class cuda: matmul = matmul
class backends: cuda = cuda
`,
  );
  const run = `import sys; sys.path[:0] = [${JSON.stringify(join(folder, "fake"))}, "bench"]
import peers
sys.exit(peers.main(["--device", "cpu", "--shapes", "quick", "--only", "copy|gla"]))`;
  const { status, stdout } = spawnSync("python3", ["-B", "-I", "-S", "-c", run], { encoding: "utf8" });
  assertEquals(status, 0);
  const lines = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert(lines.length > 4);
  for (const line of lines) {
    for (const key of ["kernel", "shape", "dtype", "adapter", "peer", "torch", "date", "error"]) {
      assertEquals(typeof line[key], "string", key);
    }
    assertNotMatch(line.error, /\n/);
    assertEquals(new Date(line.date).toISOString(), line.date);
  }
  const path = file("failed.jsonl", lines);
  assertEquals(peerTimings(path), []);
});

test("peers.py --workers and --warm: a process that dies is one line, and the others go on", { skip: !python }, () => {
  // Tensors of one number; a sum ends its process.
  mkdirSync(join(folder, "one"), { recursive: true });
  writeFileSync(
    join(folder, "one", "torch.py"),
    `
import os
__version__ = "0.0"
float32 = float16 = bfloat16 = None
class Tensor(float):
    __mul__ = __add__ = lambda self, other: self
    to = copy_ = lambda self, other: self
class Generator:
    def __init__(self, device): pass
    def manual_seed(self, seed): pass
class matmul: allow_tf32 = False
class cuda: matmul = matmul
class backends: cuda = cuda
def set_num_threads(count): pass
def rand(shape, device, generator): return Tensor(1)
def empty_like(x): return x
def cumsum(x, axis, out): os._exit(3)
`,
  );
  const run = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(
      "python3",
      ["-B", "-S", "bench/peers.py", "--device", "cpu", "--no-errors", "--only", "copy|cumsum|warp", ...args],
      { encoding: "utf8", env: { ...process.env, PYTHONDONTWRITEBYTECODE: "1", PYTHONPATH: join(folder, "one") } },
    );
  const { status, stdout } = run("--shapes", "quick", "--workers", "2");
  const lines = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals([status, lines.length], [0, 6]);
  assertEquals([lines[0].kernel, typeof lines[0].ms, lines[0].maxError], ["copy", "number", null]);
  assertEquals([lines[1].kernel, lines[1].error], ["sum row 2^28", "its process ended with status 3"]);
  for (const line of lines.slice(2)) assertMatch(line.error, /^ModuleNotFoundError: /);
  for (const workers of [[], ["--workers", "2"]]) {
    const warmed = run("--shapes", "quick", "--warm", ...workers, ...(workers.length === 0 ? ["--only", "copy"] : []));
    assertEquals([warmed.status, warmed.stdout], [0, ""]);
    assertMatch(warmed.stderr, /compiled: copy f32 torch copy_ N=65536: \d+\.\d s\n/);
    if (workers.length > 0) assertMatch(warmed.stderr, /compiled: sum row .*: its process ended with status 3\n/);
  }
  const spent = run("--workers", "2", "--budget", "0");
  assertEquals([spent.status, spent.stdout], [0, ""]);
  assertMatch(spent.stderr, /^not run, as --budget 0 is spent: (\d+) of \1\n$/);
});

test("workers are timed one at a time while nothing else runs; faults cost one case each", { skip: !python }, () => {
  const log = join(folder, "workers.log");
  const toy = file("toy.py", [
    `
import json, os, sys, time
sys.path.insert(0, "bench")
import peer_workers
if sys.argv[1:2] == ["--child"]:
    def at(what, number):
        begun = time.time()
        if (what, number) in (("prepare", 1), ("time", 4)): os._exit(3)
        if number == 6: time.sleep(60)
        time.sleep(0.05)
        with open(${JSON.stringify(log)}, "a") as file:
            file.write(json.dumps([what, number, begun, time.time()]) + "\\n")
        return ({"error": "no answer"}, False) if number == 8 else ({what: True}, True)
    numbers = [int(number) for number in sys.argv[2].split(",")]
    if numbers == [10, 11]: sys.exit(7)
    sys.exit(peer_workers.serve(sys.stdout, numbers, lambda n: at("prepare", n), lambda n, _: at("time", n)))
workers = peer_workers.Workers(
    [sys.executable, "-B", __file__], [[0, 1, 2], [3, 4], [5, 6], [7, 8, 9], [10, 11]],
    at_once=3, patience=3, left_of_budget=lambda: 1e9, report=lambda number, figures: print(json.dumps([number, figures])),
)
print(workers.run())
`,
  ]);
  const { stdout, stderr } = spawnSync("python3", ["-B", "-S", toy], { encoding: "utf8" });
  assertEquals(stderr, "");
  const said = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(said.pop(), 0);
  const died = { error: "its process ended with status 3" };
  const never = { error: "its process ended with status 7 before its first case" };
  const expected = Array.from({ length: 12 }, (_, n): [number, object] => [n, { time: true }]);
  for (
    const [n, figures] of [
      [1, died],
      [4, died],
      [6, { error: "it said nothing for 3 s" }],
      [8, { error: "no answer" }],
      [10, never],
      [11, never],
    ] as const
  ) expected[n]![1] = figures;
  assertEquals(said.sort(([a], [b]) => a - b), expected);
  const spans = readFileSync(log, "utf8").trim().split("\n").map((line) =>
    JSON.parse(line) as [string, number, number, number]
  );
  const timed = spans.filter(([what]) => what === "time");
  assertEquals(timed.length, 6);
  for (const [, number, begun, ended] of timed) {
    for (const [what, other, from, to] of spans) {
      assert(what === "time" && other === number || to <= begun || from >= ended, `${number} beside ${what} ${other}`);
    }
  }
});
