/** `dualscan stream`: what is timed, what is told, what is refused. */

import { after, test } from "node:test";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { latencies, marks, type StreamLine } from "../bench/stream/latency.ts";
import { modelStream } from "../bench/stream/model_stream.ts";
import { streamArguments } from "../cli/stream_options.ts";
import { InputError } from "../models/error.ts";
import { gla } from "../models/gla.ts";
import { gpuForTests } from "./gpu.ts";

const gpu = await gpuForTests("streams on a GPU");
after(() => gpu?.close());

test("every token is pushed once, and each time belongs to the mark after it", async () => {
  assertEquals([marks(1), marks(4), marks(9)], [[1], [1, 2, 4], [1, 2, 4, 8, 9]]);
  const pushed: number[] = [];
  const stream = {
    model: "one",
    shape: "",
    push: (t: number) => Promise.resolve(void pushed.push(t)),
    get bytes() {
      return { live: 10 * pushed.length, peak: 100 };
    },
    close: () => {},
  };
  const lines: StreamLine[] = [];
  for await (const line of latencies(stream, 9, "here")) lines.push(line);
  assertEquals(pushed, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assertEquals(lines.map(({ tokens }) => tokens), [1, 2, 4, 8, 9]);
  assertEquals(lines.map(({ liveBytes }) => liveBytes), [10, 20, 40, 80, 90]);
  assert(lines.every(({ ms, spread: [low, high], slowest }) => 0 <= low && low <= ms && ms <= high && high <= slowest));
});

test("a model's memory does not grow", { skip: gpu === null }, async () => {
  const stream = await modelStream(gpu!, gla, { H: 1, sizes: { K: 4, V: 4 } });
  const lines: StreamLine[] = [];
  for await (const line of latencies(stream, 8, "here")) lines.push(line);
  stream.close();
  assertEquals(new Set(lines.map(({ liveBytes }) => liveBytes)).size, 1);
});

test("unusable arguments are one line", () => {
  const refused: [string[], RegExp][] = [
    [[], /^Cannot stream: it needs --model, got none$/],
    [["--model", "gla"], /^Cannot stream: it needs --tokens, got none$/],
    [["--model", "lstm", "--tokens", "1"], /^Cannot use --model: it must be one of t-psm, .*, got lstm$/],
    [["--model", "gla", "--tokens", "0"], /^Cannot use --tokens: .* got 0$/],
    [["--model", "gla", "--tokens", "1", "--chunk", "2"], /^Cannot use --chunk: it belongs to networks, got gla$/],
    [["--model", "t-psm", "--tokens", "1", "--size", "2"], /^Cannot use --size: it belongs to models of the registry/],
    [
      ["--model", "t-psm", "--tokens", "1", "--heads", "3"],
      /^Cannot stream t-psm: --heads must divide --d 256, got 3$/,
    ],
  ];
  for (const [args, pattern] of refused) {
    assertMatch(assertThrows(() => streamArguments(args), InputError).message, pattern);
  }
  assertEquals(streamArguments(["--model", "mamba2", "--tokens", "5"]).network, false);
});
