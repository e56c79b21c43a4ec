/** Results of training runs: what is taken from a log, which runs stand for a network, and how a plot's axis fits. */

import { test } from "node:test";
import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { bestRuns, cutOffRuns } from "../bench/experiments/best.ts";
import { costsOf, resultsOf, unfinished } from "../bench/experiments/collect.ts";
import type { LoggedRun } from "../bench/experiments/logged_run.ts";
import type { ResultLine } from "../bench/experiments/result.ts";
import { experimentOf, experiments, networkName, networks } from "../bench/experiments/setting.ts";
import { plot } from "../bench/plot.ts";
import { trainCommand } from "../cli/train_command.ts";
import type { EvaluationLine } from "../tasks/train/log.ts";

const common = { task: "s5", model: "t-psm", preset: "s5-small", seed: 1, chunk: 1 };

function evaluation(split: EvaluationLine["split"], step: number, length: number, error = 0.1): EvaluationLine {
  return { kind: "evaluation", split, step, ...common, length, sequences: 8, loss: 2 * error, error };
}

/** A line for so many steps. */
function step(number: number, since: number, length: number, ms: number, first = false): LoggedRun["steps"][number] {
  const rates = {
    loss: 1,
    gradientNorm: 1,
    rate: 1e-3,
    tokensPerSecond: 2 * length * 1000 / ms,
    peakBytes: 100 * number,
  };
  return { kind: "step", step: number, stage: 0, length, ...rates, tokens: 2 * length, ms, spent: since, since, first };
}

function run(more: Partial<LoggedRun> = {}): LoggedRun {
  return {
    path: "runs/a/log.jsonl",
    begin: {
      kind: "begin",
      step: 0,
      ...common,
      size: 99,
      batch: 2,
      rate: 1e-3,
      schedule: "constant",
      steps: 9,
      evaluate: [18, 36],
      shape: "d=8 heads=1 layers=1 agg=1 chunk=1",
      data: "s5 of order 120",
      adapter: "here",
      date: "2026-01-01T00:00:00.000Z",
      command: "dualscan train s5",
    },
    evaluate: [18, 36],
    step: 6,
    steps: [step(1, 1, 4, 90, true), step(2, 1, 4, 10), step(3, 1, 4, 30), step(6, 3, 5, 50)],
    evaluations: [
      evaluation("validation", 3, 4, 0.9),
      evaluation("validation", 6, 5, 0.5),
      // Of the network as it was before it went on.
      evaluation("test", 3, 18, 0.8),
      evaluation("test", 6, 18, 0.2),
      evaluation("test", 6, 36, 0.3),
    ],
    ...more,
  };
}

test("a finished run gives a line for every length, of its last step, with what all its steps took", () => {
  const lines = resultsOf(run());
  assertEquals(lines.map(({ length, error }) => [length, error]), [[18, 0.2], [36, 0.3]]);
  const { trainSeconds, tokens, trainedTo, validationLoss, steps, planned, command } = lines[0]!;
  // Three steps of 2 · 4 tokens, three of 2 · 5.
  assertEquals([tokens, trainSeconds, trainedTo, validationLoss, steps, planned], [54, 6, 5, 1, 6, 9]);
  assertEquals(command, "dualscan train s5");
  assert(!("finished" in lines[0]!) && !("insideLoss" in lines[0]!));
});

test("steps that a kill left without a line are taken for like the rest", () => {
  // Killed after step 4, of which nothing was logged but the checkpoint: two of eight steps have no line.
  const [line] = resultsOf(run({ step: 8, evaluations: [evaluation("validation", 8, 5), evaluation("test", 8, 18)] }));
  assertEquals([line!.tokens, line!.trainSeconds, line!.steps], [54 * 8 / 6, 8, 8]);
});

test("an unfinished run says why, and gives what there is, marked", () => {
  const stopped = run({ evaluations: [evaluation("validation", 3, 4, 0.9), evaluation("validation", 6, 5, 0.5)] });
  assertEquals(unfinished(stopped), "step 6 of at most 9");
  assertEquals(resultsOf(stopped).map(({ length, error, finished }) => [length, error, finished]), [[5, 0.5, false]]);
  const killed = run({ evaluate: [18, 36, 60] });
  assertEquals(unfinished(killed), "no evaluation at 60 tokens");
  assertEquals(resultsOf(killed).map(({ length, finished }) => [length, finished]), [[18, false], [36, false]]);
  assertEquals(unfinished(run()), undefined);
  assertEquals(resultsOf(run({ evaluations: [] })), []);
});

test("a step's cost is the median at each length, without the first step", () => {
  assertEquals(
    costsOf(run()).map(({ length, msPerStep, tokensPerSecond, peakBytes, samples }) => [
      length,
      msPerStep,
      tokensPerSecond,
      peakBytes,
      samples,
    ]),
    [[4, 20, 8 / 20 * 1000, 300, 2], [5, 50, 200, 600, 1]],
  );
  assertEquals(costsOf(run()).map(({ batch, stageBatch }) => [batch, stageBatch]), [[2, undefined], [2, undefined]]);
  // A stage whose batches have three sequences.
  const own = { ...step(6, 3, 5, 50), tokens: 15 };
  assertEquals(costsOf(run({ steps: [own] })).map(({ batch, stageBatch }) => [batch, stageBatch]), [[2, 3]]);
});

/** A result, by what differs. */
function result(more: Partial<ResultLine>): ResultLine {
  return { ...resultsOf(run())[0]!, ...more };
}

test("the rate with the least validation loss stands for a network, whatever the test says", () => {
  const lines = [
    result({ rate: 1e-3, validationLoss: 0.5, error: 0.01, seed: 1 }),
    result({ rate: 3e-4, validationLoss: 0.3, error: 0.2, seed: 1 }),
    result({ rate: 3e-4, validationLoss: 0.5, error: 0.4, seed: 2 }),
    result({ rate: 1e-2, validationLoss: 9, error: 0.9, finished: false }),
  ];
  const { rate, rates, seeds, lines: chosen, finished } = bestRuns(lines);
  assertEquals([rate, rates, seeds, finished], [3e-4, 3, 2, true]);
  assertEquals(chosen.map(({ error }) => error), [0.2, 0.4]);
  // Control: another validation loss, another rate.
  assertEquals(bestRuns([...lines.slice(0, 2), result({ rate: 3e-4, validationLoss: 0.9, seed: 2 })]).rate, 1e-3);
});

test("a run that was cut off is told of where a finished one has the row, unless that is of its seed and rate", () => {
  const cut = { finished: false, date: "2026-01-04T00:00:00.000Z" } as const;
  const lines = [
    result({ seed: 1 }),
    result({ seed: 1, ...cut, length: 5 }),
    result({ seed: 2, ...cut, length: 6, error: 0.5 }),
    result({ seed: 2, ...cut, length: 9, error: 0.6 }),
    result({ seed: 1, rate: 1e-2, ...cut, length: 7 }),
    // A longer plan, and longer sequences, than the finished run's.
    result({ seed: 1, ...cut, planned: 900, date: "2026-01-05T00:00:00.000Z", length: 8 }),
    result({ seed: 1, ...cut, trainedTo: 512, date: "2026-01-06T00:00:00.000Z", length: 512 }),
  ];
  const told = cutOffRuns(lines).map(({ seed, length }) => [seed, length]);
  assertEquals(told, [[2, 9], [1, 7], [1, 8], [1, 512]]);
  assertEquals(cutOffRuns(lines.slice(1)), []);
});

test("of two runs of one seed the later one counts; short sweeps only choose nothing; unfinished runs where none else is", () => {
  const lines = [
    result({ date: "2026-01-03T00:00:00.000Z", error: 0.3 }),
    result({ date: "2026-01-02T00:00:00.000Z", error: 0.1 }),
    result({ rate: 1e-2, planned: 3, validationLoss: 0 }),
  ];
  assertEquals(bestRuns(lines).lines.map(({ error }) => error), [0.3]);
  assertEquals(bestRuns(lines).rates, 2);
  // Stages that share 10,000 steps may have 9,994.
  const shared = [result({ planned: 10_000 }), result({ rate: 1e-2, planned: 9994, validationLoss: 0 })];
  assertEquals(bestRuns(shared).rate, 1e-2);
  assertEquals(bestRuns([result({ finished: false })]).finished, false);
});

test("experiments are told by task, preset without chunk and length, data and sizes; networks by model, chunk, dropout and head", () => {
  assertEquals(
    ["text-small-c64", "mqar-c32-l512", "s5-small", "s5", "text-c16-wide", "z60-small"].map(experimentOf),
    ["text-small", "mqar", "s5-small", "s5", "text-wide", "z60-small"],
  );
  const text = { task: "text", data: "text in bytes" };
  const of = (model: string, chunk: number, inChunks: boolean): ResultLine => {
    const { chunk: _chunk, ...line } = result({ ...text, model, preset: `text-c${chunk}` });
    return { ...line, shape: `d=8 chunk=${chunk}`, ...(inChunks ? { chunk } : {}) };
  };
  const lines = [
    of("gpt2", 16, false),
    of("sliding-window", 64, false),
    of("t-psm", 64, true),
    of("t-psm", 16, true),
    of("gpt2", 64, false),
    { ...of("t-psm", 16, true), shape: "d=8 chunk=16 dropout=0.1" },
    { ...of("t-psm", 64, true), shape: "d=8 chunk=64 tied" },
  ];
  assertEquals(experiments([...lines, result({})]).map((some) => some.length), [7, 1]);
  assertEquals(networks(lines).map(([line]) => networkName(line!)), [
    "t-psm, c = 16",
    "t-psm, c = 16, dropout 0.1",
    "t-psm, c = 64",
    "t-psm, c = 64, tied",
    "gpt2",
    "sliding-window, matched to c = 64",
  ]);
});

test("a run's command says what was learnt, not where it is kept", () => {
  const args = [
    "text",
    "--text",
    "/home/me/my texts",
    "--rate=1e-3",
    "--out",
    "/tmp/a",
    "--minutes=9",
    "--json",
    "--gpu",
    "off",
  ];
  assertEquals(trainCommand(args), "dualscan train text --text '…/my texts' --rate=1e-3");
  assertEquals(trainCommand(["s5", "--text=/x/y", "--save-every", "5"]), "dualscan train s5 --text=…/y");
});

test("a fitted axis lies around the values alone, a linear one has 0", () => {
  const heights = (y: "fitted" | "linear"): readonly number[] => {
    const svg = plot({ title: "", x: "", y: "" }, [
      { name: "a", points: [[1, 1.5], [2, 1.4]], colour: 0, pattern: 0 },
    ], { x: "log2", y });
    return [...svg.matchAll(/cy="([\d.]+)"/g)].map(([, at]) => Number(at));
  };
  const [fitted, linear] = [heights("fitted"), heights("linear")].map(([a, b]) => b! - a!);
  // Marks 0.02 apart from 1.4 to 1.5 over 380, and 0.5 apart from 0 to 1.5; places are given to 0.1.
  assertAlmostEquals(fitted!, 380, 0.1);
  assertAlmostEquals(linear!, 380 * 0.1 / 1.5, 0.1);
});
