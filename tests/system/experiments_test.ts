/** From runs to the README: collected into files, made into tables and plots, and a check that sees what is out of date. */

import { presets } from "../../tasks/train/presets.ts";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  assert,
  assertAlmostEquals,
  assertEquals,
  assertMatch,
  assertNotMatch,
  assertStringIncludes,
} from "@std/assert";
import type { CostLine, ResultLine } from "../../bench/experiments/result.ts";
import { bench } from "../../bench/main.ts";
import { benchTable, sections } from "../../bench/readme.ts";
import { report } from "../../cli/report.ts";
import { train } from "../../cli/train.ts";
import type { LogLine, StepLine } from "../../tasks/train/log.ts";

const root = mkdtempSync(join(tmpdir(), "dualscan-experiments-"));
after(() => rmSync(root, { recursive: true }));
const quiet = { out: () => {}, err: () => {}, progress: () => {} };

interface Said {
  readonly status: number;
  readonly out: string[];
  readonly err: string[];
}

async function collect(...args: readonly string[]): Promise<Said> {
  const [out, err]: string[][] = [[], []];
  const output = { out: (line: string) => out!.push(line), err: (line: string) => err!.push(line), progress: () => {} };
  return { status: await bench(["collect", ...args], [], output), out: out!, err: err! };
}

const parsed = <L>(texts: readonly string[]): L[] =>
  texts.filter((text) => text !== "").map((text) => JSON.parse(text));
const linesOf = <L>(path: string): L[] => parsed<L>(readFileSync(path, "utf8").split("\n"));
const lines = (objects: readonly object[]): string => objects.map((object) => `${JSON.stringify(object)}\n`).join("");

const runs = join(root, "runs");
const { stages, batch } = presets.find(({ name }) => name === "s5-small")!.plan;
const planned = 3 * stages.length;
const lengths = [...new Set(stages.map(({ to }) => to))];
const curriculum = ["s5", "--model", "bigram", "--steps", `${planned}`, "--evaluate", "6,18", "--rate", "0.01"];

test("runs of a folder: their test evaluations and costs, with tokens, time and command", async () => {
  await train([...curriculum, "--out", join(runs, "words")], quiet);
  await train(["text", "--model", "bigram", "--steps", "3", "--evaluate", "64", "--out", join(runs, "text")], quiet);
  const { status, out, err } = await collect(runs);
  assertEquals([status, err], [0, []]);
  const results = parsed<ResultLine | CostLine>(out).filter((line) => line.kind === "result");
  assertEquals(results.map(({ task, length }) => [task, length]), [["text", 64], ["s5", 6], ["s5", 18]]);
  const log = linesOf<LogLine>(join(runs, "words", "log.jsonl"));
  const evaluations = log.filter((line) => line.kind === "evaluation");
  const steps = log.filter((line): line is StepLine => line.kind === "step");
  const begin = log.find((line) => line.kind === "begin")!;
  assertEquals(results[1], {
    kind: "result",
    task: "s5",
    model: "bigram",
    preset: "s5-small",
    shape: "d=256 heads=4 layers=1 agg=1 chunk=1 dropout=0.1",
    size: 120 * 120,
    seed: 1,
    rate: 0.01,
    batch,
    adapter: "cpu",
    date: begin.date,
    length: 6,
    sequences: 512,
    loss: evaluations.at(-2)!.loss,
    error: evaluations.at(-2)!.error,
    validationLoss: evaluations.at(-3)!.loss,
    schedule: "constant",
    steps: planned,
    planned,
    trainedTo: 18,
    // Three steps of every stage.
    tokens: 3 * batch * stages.reduce((sum, { to }) => sum + to, 0),
    trainSeconds: Number(steps.reduce((sum, { ms }) => sum + ms / 1000, 0).toPrecision(6)),
    data: "s5 of order 120",
    command: `dualscan train s5 --model bigram --steps ${planned} --evaluate 6,18 --rate 0.01`,
  });
  assertEquals(results[0]!.bytesPerToken, 1);
  const costs = parsed<ResultLine | CostLine>(out).filter((line) => line.kind === "cost");
  assertEquals(costs.filter(({ task }) => task === "s5").map(({ length, samples }) => [length, samples]), [
    ...lengths.map((length) => [length, 3 * stages.filter(({ to }) => to === length).length - 1]),
  ]);
  assertEquals((await collect(runs, "--only", "costs")).out, costs.map((line) => JSON.stringify(line)));
  const own = results.filter(({ task }) => task === "text");
  assertEquals(
    (await collect(join(runs, "text", "log.jsonl"), "--only", "results")).out,
    own.map((x) => JSON.stringify(x)),
  );
});

test("of a long run, which logs one step in several, tokens and seconds are those of all steps", async () => {
  const folder = join(root, "long");
  const args = ["parity", "--preset", "parity-tiny", "--model", "bigram", "--steps", "4400", "--evaluate", "16"];
  const began = performance.now();
  await train([...args, "--out", folder], quiet);
  const seconds = (performance.now() - began) / 1000;
  const [line] = parsed<ResultLine>((await collect(folder, "--only", "results")).out);
  const steps = linesOf<LogLine>(join(folder, "log.jsonl")).filter((line): line is StepLine => line.kind === "step");
  assertEquals([line!.steps, steps.length], [4400, Math.floor(4400 / 3)]);
  // Half the steps at 4 tokens, half at 8; those of a line are taken to be as long as its last.
  const exact = 32 * 2200 * (4 + 8);
  assertAlmostEquals(line!.tokens, exact, 2 * 3 * 32 * 8);
  for (const { spent, ms } of steps) assert(1000 * spent >= ms);
  const logged = steps.reduce((sum, { ms }) => sum + ms / 1000, 0);
  assert(logged < line!.trainSeconds && line!.trainSeconds < seconds, `${logged} ${line!.trainSeconds} ${seconds}`);
});

test("collected again a run's lines are replaced; all other lines stay as they are", async () => {
  const file = join(root, "kept.jsonl");
  const other = '{"kind": "result", "note": 1.50}';
  writeFileSync(file, '{"kernel": "scan",  "ms": 1.0}\n');
  const { out } = await collect(runs, "--save", file);
  assertEquals(out, [`${file}: 3 results and ${lengths.length + 1} costs of 2 runs`]);
  const once = readFileSync(file, "utf8");
  assert(once.startsWith('{"kernel": "scan",  "ms": 1.0}\n'));
  await collect(join(runs, "words"), "--save", file);
  const twice = readFileSync(file, "utf8");
  assertEquals(twice.split("\n").sort(), once.split("\n").sort());
  // Asked again at other lengths, the run is the same one.
  await train(["--resume", join(runs, "words"), "--evaluate", "4"], quiet);
  await collect(join(runs, "words"), "--save", file);
  const left = linesOf<ResultLine>(file).filter(({ kind, task }) => kind === "result" && task === "s5");
  assertEquals(left.map(({ length }) => length), [6, 18, 4]);
  // Another run of the same setting is another.
  await train([...curriculum, "--seed", "2", "--out", join(root, "second")], quiet);
  await collect(join(root, "second"), "--only", "results", "--save", file);
  assertEquals(linesOf<ResultLine>(file).filter(({ kind, task }) => kind === "result" && task === "s5").length, 5);
  writeFileSync(file, `${other}\n`);
  const { status, err } = await collect(runs, "--save", file);
  assertEquals([status, readFileSync(file, "utf8")], [2, `${other}\n`]);
  assertMatch(err[0]!, /^Cannot save to .*kept\.jsonl: a line of it: task must be text, got undefined$/);
});

test("a run that is not finished is left out, and said; --partial takes its last validation, marked", async () => {
  const folder = join(root, "stopped");
  const log = join(folder, "log.jsonl");
  mkdirSync(folder);
  // As a kill leaves it, before its first evaluation and after.
  const whole = linesOf<LogLine>(join(runs, "words", "log.jsonl"));
  const known = (step: number): LogLine[] => whole.filter((line) => line.step <= step && line.step < planned);
  writeFileSync(log, lines(known(2)));
  const bare = await collect(folder, "--partial", "--only", "results");
  assertEquals([bare.status, bare.out, bare.err.length], [1, [], 1]);
  assertMatch(
    bare.err[0]!,
    new RegExp(`^left out .*: its run must have been evaluated, got step 2 of at most ${planned}$`),
  );
  writeFileSync(log, `${lines(known(7))}{"kind":"st`);
  const { status, out, err } = await collect(folder, join(runs, "words"));
  assertEquals([status, err.length], [1, 1]);
  assertMatch(
    err[0]!,
    new RegExp(`^left out .*log\\.jsonl: its run must be finished, got step 7 of at most ${planned}; --partial`),
  );
  assert(parsed<ResultLine>(out).every(({ steps }) => steps !== 7));
  const partial = parsed<ResultLine>((await collect(folder, "--partial", "--only", "results")).out);
  assertEquals(partial.map(({ length, steps, finished }) => [length, steps, finished]), [[lengths[1]!, 7, false]]);
});

test("what is no run is refused in one line, and nothing is saved", async () => {
  const log = (name: string, change: (texts: string[]) => void): string => {
    const texts = readFileSync(join(runs, "text", "log.jsonl"), "utf8").split("\n");
    change(texts);
    const path = join(root, name);
    writeFileSync(path, texts.join("\n"));
    return path;
  };
  mkdirSync(join(root, "empty"));
  const refused: [readonly string[], RegExp][] = [
    [[], /^Cannot collect: it takes folders of runs or logs, got none$/],
    [[join(root, "none")], /^Cannot collect .*none: it must be a run's folder or log, got none$/],
    [[join(root, "empty")], /^Cannot collect .*empty: it must hold log\.jsonl, got none$/],
    [
      [log("cut.jsonl", (texts) => texts[1] = texts[1]!.slice(0, 9))],
      /line 2 must be one JSON object, got \{"kind":"$/,
    ],
    [[log("late.jsonl", (texts) => texts.shift())], /line 1 must begin a run at step 0, got "step"$/],
    [[log("foreign.jsonl", (texts) => texts.unshift('{"a":1}'))], /line 1 must begin a run, .* got kind undefined$/],
    [
      [log("null.jsonl", (texts) => texts[4] = texts[4]!.replace(/"loss":[^,]*/, '"loss":null'))],
      /line 5: loss must be a finite number, got null$/,
    ],
    [
      [log("old.jsonl", (texts) => texts[0] = texts[0]!.replace(/"rate":[^,]*,/, ""))],
      /line 1: rate must be a finite number, got undefined$/,
    ],
    [[runs, "--only", "tests"], /^Cannot use --only: it must be one of results, costs, got tests$/],
    [[runs, "--all"], /^Cannot run bench collect: Unknown option '--all'/],
  ];
  for (const [args, pattern] of refused) {
    const file = join(root, "untouched.jsonl");
    writeFileSync(file, "");
    const { status, out, err } = await collect(...args, "--save", file);
    assertEquals([status, out, err.length, readFileSync(file, "utf8")], [2, [], 1, ""], args.join(" "));
    assertMatch(err[0]!, pattern);
    assertNotMatch(err[0]!, /\n/);
  }
});

/** A made-up result. */
function result(more: Partial<ResultLine>): ResultLine {
  return {
    kind: "result",
    task: "s5",
    model: "t-psm",
    preset: "s5-small",
    chunk: 1,
    shape: "d=8 chunk=1",
    size: 1_600_000,
    seed: 1,
    rate: 1e-3,
    batch: 64,
    adapter: "a GPU",
    date: "2026-01-01T00:00:00.000Z",
    length: 18,
    sequences: 8,
    loss: 1,
    error: 0.5,
    validationLoss: 1,
    schedule: "constant",
    steps: 10,
    planned: 20,
    trainedTo: 18,
    tokens: 1,
    trainSeconds: 1,
    data: "s5 of order 120",
    ...more,
  };
}

/** Of a network without chunks. */
function unchunked(more: Partial<ResultLine>): object {
  return { ...result(more), chunk: undefined };
}

function cost(more: Partial<CostLine>): object {
  const { task, model, preset, chunk, shape, size, seed, rate, batch, adapter, date } = result({});
  const run = { task, model, preset, chunk, shape, size, seed, rate, batch, adapter, date };
  return {
    kind: "cost",
    ...run,
    length: 18,
    msPerStep: 10,
    tokensPerSecond: 115_200,
    peakBytes: 5e8,
    samples: 9,
    ...more,
  };
}

const torch = {
  kernel: "train s5-small",
  shape: "B=64",
  dtype: "tf32",
  adapter: "another GPU",
  peer: "torch eager",
  preset: "s5-small",
  batch: 64,
  length: 4,
  ms: 20,
  tokensPerSecond: 12_800,
  peakBytes: 1e9,
  size: 1_600_000,
  date: "2026-01-01T00:00:00.000Z",
};

const text = {
  task: "text",
  preset: "text-small-c16",
  chunk: 16,
  data: "text in gpt2: 9 a, 9 b",
  length: 512,
  trainedTo: 512,
};
const recall = {
  task: "mqar",
  preset: "mqar-c64-l128",
  chunk: 64,
  data: "mqar of 8 pairs",
  trainedTo: 128,
  length: 128,
};

/** What is measured, by the section that shows it. */
const measured: { readonly [section: string]: readonly object[] } = {
  words: [
    result({ error: 0.001 }),
    result({ error: 0.003, seed: 2 }),
    result({ error: 0.25, length: 180 }),
    result({ error: 0.75, length: 180, seed: 2 }),
    result({ error: 0.0001, rate: 1e-2, validationLoss: 2 }),
    unchunked({ model: "gpt2", error: 0.6, length: 1024 }),
    unchunked({ model: "mamba", finished: false, error: 0.9 }),
  ],
  recall: [
    result({ ...recall, error: 0 }),
    result({ ...recall, preset: "mqar-c64-l512", length: 512, trainedTo: 512, error: 0.4, rate: 3e-4 }),
    result({ ...recall, chunk: 32, preset: "mqar-c32-l512", length: 512, trainedTo: 512, error: 0.9 }),
    // At another length than it was trained at.
    result({ ...recall, length: 256, error: 0.123 }),
  ],
  text: [
    result({ ...text, loss: 4 * Math.LN2, insideLoss: 2 * Math.LN2, bytesPerToken: 4 }),
    result({ ...text, seed: 2, loss: 6 * Math.LN2, insideLoss: 3 * Math.LN2, bytesPerToken: 4 }),
    result({ ...text, preset: "text-small-c32", chunk: 32, shape: "d=8 chunk=32", loss: 3, bytesPerToken: 4 }),
    unchunked({ ...text, model: "gpt2", loss: 3.5, bytesPerToken: 4 }),
  ],
  cost: [
    cost({}),
    cost({ length: 4 }),
    cost({ length: 5 }),
    cost({ length: 4, msPerStep: 15, date: "2026-02-01T00:00:00.000Z" }),
    cost({ model: "gpt2", length: 4, msPerStep: 3 }),
  ],
  stream: [64, 256, 512, 1024, 1500].map((tokens) => ({
    kind: "stream",
    model: "t-psm",
    shape: "d=8",
    tokens,
    ms: tokens / 1000,
    slowest: tokens === 64 ? 99 : 5,
    liveBytes: 1e6,
    adapter: "a GPU",
    date: "2026-01-01T00:00:00.000Z",
  })),
};

/** A row of a table, as it has to be. */
const rows: { readonly [section: string]: readonly string[] } = {
  words: [
    "| network | parameters | rate | tried | seeds | steps | 18 | 180 | 1024 |",
    "| t-psm, c = 1 | 1.60 M | 0.001 | 2 | 2 | 10 | 0.20 ± 0.10 | 50.0 ± 25.0 | – |",
    "| gpt2 | 1.60 M | 0.001 | 1 | 1 | 10 | – | – | 60.0 |",
    "| mamba, unfinished (of 20 steps, in validation) | 1.60 M | 0.001 | 1 | 1 | 10 | 90.0 | – | – |",
    "![error against length, s5 of order 120 (s5-small)](bench/results/experiment_s5_small.svg)",
  ],
  recall: [
    "| network | parameters | rate | tried | seeds | steps | trained to | L = 128 | L = 256 | L = 512 |",
    "| t-psm, c = 32 | 1.60 M | 0.001 | 1 | 1 | 10 | 512 | – | – | 90.0 |",
    "| t-psm, c = 64 | 1.60 M | 0.001 | 1 | 1 | 10 | 128 | 0.00 | 12.3 | – |",
    "| t-psm, c = 64 | 1.60 M | 0.0003 | 1 | 1 | 10 | 512 | – | – | 40.0 |",
  ],
  text: [
    "| t-psm, c = 16 | 1.60 M | 0.001 | 1 | 2 | 10 | 3.4657 ± 0.6931 | 1.2500 ± 0.2500 | 1.7329 ± 0.3466 | 0.6250 ± 0.1250 |",
    "| t-psm, c = 32 | 1.60 M | 0.001 | 1 | 1 | 10 | 3.0000 | 1.0820 | – | – |",
    "| gpt2 | 1.60 M | 0.001 | 1 | 1 | 10 | 3.5000 | 1.2624 | – | – |",
    "](bench/results/experiment_text_small_512.svg)",
  ],
  cost: [
    "On a GPU, peers on another GPU.",
    "| t-psm, c = 1 | s5-small | f32, split | 64 × 18 | 10.0 | 115 k | 500 | – | – | – | – | – |",
    "| t-psm, c = 1 | s5-small | f32, split | 64 × 4 | 15.0 | 115 k | 500 | torch eager, tf32 | 20.0 | **0.75** * | 1000 | **0.50** |",
    "| gpt2, c = 1 | s5-small | f32, split | 64 × 4 | 3.00 | 115 k | 500 | torch eager, tf32 | 20.0 | **0.15** | 1000 | **0.50** |",
    " *: the two sides were measured more than an hour apart",
  ],
  stream: [
    "| stream | shape | at 256 | at 1,024 | at 1,500 | slowest | MB at the end |",
    "| t-psm | d=8 | 0.256 | 1.02 | 1.50 | 5.00 | 1.0 |",
  ],
};

/** A README with all marks, and results beside it. */
function place(
  name: string,
  files: { readonly [path: string]: readonly object[] },
): { readme: string; results: string } {
  const [readme, results] = [join(root, name, "README.md"), join(root, name, "results")];
  mkdirSync(join(results, "peers"), { recursive: true });
  writeFileSync(
    readme,
    sections.map(({ name }) => `<!-- bench ${name}: start -->\n<!-- bench ${name}: end -->\n`).join(""),
  );
  for (const [path, objects] of Object.entries(files)) writeFileSync(join(results, path), lines(objects));
  return { readme, results };
}

/** The section between its marks. */
const shown = (readme: string, name: string): string =>
  new RegExp(`<!-- bench ${name}: start -->\n(.*)<!-- bench ${name}: end -->`, "s").exec(
    readFileSync(readme, "utf8"),
  )![1]!;

const all: { readonly [file: string]: readonly object[] } = {
  ...measured,
  "peers/torch": [torch, { ...torch, model: "gpt2" }, { ...torch, model: "mlp" }, { ...torch, error: "out of memory" }],
};
const files = Object.fromEntries(Object.entries(all).map(([name, objects]) => [`${name}.jsonl`, objects]));

test("every section has the rows of its results, and one line where there are none", () => {
  const full = place("full", files);
  assertEquals(benchTable([], quiet, full), 0);
  const empty = place("empty-results", {});
  assertEquals(benchTable([], quiet, empty), 0);
  for (const [name, wanted] of Object.entries(rows)) {
    const text = shown(full.readme, name);
    for (const row of wanted) assertStringIncludes(text, row, name);
    assertNotMatch(text, /undefined|NaN|Not measured/, name);
    assertMatch(shown(empty.readme, name), /^Not measured yet: [^\n]*\n$/, name);
  }
  // At no length that no peer has and that is not the longest.
  assertNotMatch(shown(full.readme, "cost"), /64 × 5/);
  const plots = readdirSync(full.results).filter((name) => name.endsWith(".svg"));
  assertEquals(plots.sort(), ["experiment_s5_small.svg", "experiment_text_small_512.svg"]);
  const curves = (name: string): readonly string[] =>
    [...readFileSync(join(full.results, name), "utf8").matchAll(/<title>([^<]*)</g)].map(([, curve]) => curve!);
  assertEquals(curves("experiment_s5_small.svg"), ["t-psm, c = 1", "gpt2", "mamba"]);
  // Networks in chunks as one curve, the baseline as a level line.
  assertEquals(curves("experiment_text_small_512.svg"), ["t-psm", "gpt2"]);
  const svg = readFileSync(join(full.results, "experiment_text_small_512.svg"), "utf8");
  const level = /points="([\d.]+),([\d.]+) ([\d.]+),([\d.]+)"[^>]*><title>gpt2</.exec(svg)!;
  assert(level[1] !== level[3] && level[2] === level[4]);
});

test("control: bench table --check sees a changed number, a changed, missing or stale plot, and new results", () => {
  const at = place("checked", files);
  const check = (): string[] => {
    const err: string[] = [];
    const status = benchTable(["--check"], { ...quiet, err: (line) => void err.push(line) }, at);
    assertEquals(status, err.length === 0 ? 0 : 1);
    return err;
  };
  assertEquals(check().length, 3);
  assertEquals(benchTable([], quiet, at), 0);
  assertEquals(check(), []);
  const plot = join(at.results, "experiment_s5_small.svg");
  const changed = (path: string, change: (text: string) => string): void => {
    const before = readFileSync(path, "utf8");
    assert(change(before) !== before);
    writeFileSync(path, change(before));
  };
  const numbers = ["0.20 ± 0.10", "40.0 |", "1.0820", "**0.75**", "1.02 |"];
  const planted: [string, () => void][] = [
    ...numbers.map((number): [string, () => void] => [
      at.readme,
      () => changed(at.readme, (text) => text.replace(number, number.replace(/\d(?=\D*$)/, "7"))),
    ]),
    [plot, () => changed(plot, (text) => text.replace('<circle cx="', '<circle cx="1'))],
    [plot, () => rmSync(plot)],
    [join(at.results, "experiment_old.svg"), () => writeFileSync(join(at.results, "experiment_old.svg"), "<svg/>")],
    [at.readme, () => changed(join(at.results, "stream.jsonl"), (text) => text.replace("0.256", "0.266"))],
  ];
  for (const [path, plant] of planted) {
    plant();
    assertEquals(check(), [`${path} is out of date: bring it up to date with: dualscan bench table`]);
    assertEquals(benchTable([], quiet, at), 0);
    assertEquals(check(), []);
  }
});

test("a line that lacks a field is refused in one line", async () => {
  const broken: [object, RegExp][] = [
    [{ ...result({}), error: null }, /words\.jsonl: error must be a finite number, got null$/],
    [{ ...cost({}), msPerStep: "9" }, /words\.jsonl: msPerStep must be a finite number, got "9"$/],
    [{ ...torch, size: undefined }, /words\.jsonl: size must be a finite number, got undefined$/],
    [{ kind: "stream", model: "t-psm" }, /words\.jsonl: shape must be text, got undefined$/],
  ];
  for (const [object, pattern] of broken) {
    const at = place("broken", { "words.jsonl": [object] });
    const refusal = await Promise.resolve().then(() => benchTable([], quiet, at)).then(
      () => "",
      ({ message }) => message,
    );
    assertMatch(refusal, /^Cannot make a table of /);
    assertMatch(refusal, pattern);
  }
});

test("a report has the same sections of collected lines as of the runs; of both, each run once", async () => {
  const file = join(root, "collected", "all.jsonl");
  await collect(join(runs, "words"), join(runs, "text"), "--save", file);
  const titles = async (...args: string[]): Promise<string[]> => {
    const path = join(root, "page.html");
    await report([...args, "--out", path], quiet);
    return readFileSync(path, "utf8").split("<section>").slice(1).map((text) =>
      `${/<h2>([^<]*)</.exec(text)![1]}: ${text.match(/<tr>/g)!.length - 1} rows`
    );
  };
  const measured = (titles: readonly string[]): string[] =>
    titles.filter((title) => /error against length/.test(title)).sort();
  const [logs, kept, both] = [await titles(runs), await titles(file), await titles(runs, file)];
  assertEquals(measured(kept), measured(logs));
  assertEquals(measured(kept), ["s5: error against length: 3 rows", "text: error against length: 1 rows"]);
  assertEquals(both, logs);
  assertEquals(kept.filter((title) => /speed/.test(title)).length, 2);
  // Made-up chunks.
  const place = join(root, "collected", "text.jsonl");
  writeFileSync(place, lines(all["text"]!.filter((line) => (line as ResultLine).seed === 1)));
  assert((await titles(place)).includes("text: quality against the chunk: 2 rows"));
});
