/** `dualscan report`: one page that needs nothing else, from whatever is there. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { report } from "../../cli/report.ts";
import { train } from "../../cli/train.ts";
import { InputError } from "../../models/error.ts";

const root = mkdtempSync(join(tmpdir(), "dualscan-report-"));
after(() => rmSync(root, { recursive: true }));
const quiet = { out: () => {}, err: () => {}, progress: () => {} };
const lines = (objects: readonly object[]): string => objects.map((object) => `${JSON.stringify(object)}\n`).join("");

async function pageOf(...args: string[]): Promise<string> {
  const out: string[] = [];
  assertEquals(await report(args, { ...quiet, out: (line) => out.push(line) }), 0);
  return readFileSync(out[0]!, "utf8");
}

/** Sections of a page: their titles, the curves in their plots and the rows of their tables. */
function sections(html: string): readonly (readonly [string, number, number])[] {
  return html.split("<section>").slice(1).map((text) => [
    /<h2>([^<]*)<\/h2>/.exec(text)![1]!,
    text.match(/<polyline /g)?.length ?? 0,
    text.match(/<tr>/g)!.length - 1,
  ]);
}

test("runs: loss, error by length, quality by chunk and speed, a table under each plot", async () => {
  const runs = join(root, "runs");
  for (const chunk of [16, 32]) {
    const args = ["text", "--preset", `text-small-c${chunk}`, "--model", "bigram", "--steps", "5"];
    await train([...args, "--evaluate", "32,64", "--out", join(runs, `c${chunk}`)], quiet);
    // As a network in chunks would have it.
    const log = join(runs, `c${chunk}`, "log.jsonl");
    writeFileSync(log, readFileSync(log, "utf8").replaceAll('"seed":1', `"seed":1,"chunk":${chunk}`) + '{"kind":"st');
  }
  const html = await pageOf(runs);
  assertEquals(sections(html), [
    ["text: loss while training", 4, 2],
    ["text: error against length", 2, 4],
    ["text: quality against the chunk", 2, 4],
    ["text: speed of training", 2, 2],
  ]);
  assert(!/NaN|Infinity|undefined/.test(html));
  // Nothing is fetched, and a dark ground has its own colours.
  assert(!/(?:src|href)=|@import|url\(/.test(html));
  assertMatch(html, /@media \(prefers-color-scheme: dark\)/);
  assertMatch(html, /<polyline points="[^"]+" class="c0" stroke="#0072b2"/);
});

test("results: streams, errors against length, timings; where it goes and what stands above", async () => {
  const results = join(root, "results");
  mkdirSync(results);
  const stream = { kind: "stream", model: "gla", shape: "B=1", adapter: "here", spread: [1, 1], peakBytes: 9 };
  const point = { family: "chunk", pass: "forward", model: "gla", inputs: "random", rmsError: 1e-7 };
  writeFileSync(
    join(results, "all.jsonl"),
    lines([
      { ...stream, tokens: 1, ms: 2, slowest: 2, liveBytes: 9 },
      { ...stream, tokens: 2, ms: 1, slowest: 1, liveBytes: 9 },
      { ...point, length: 64, maxError: 1e-6 },
      { ...point, length: 128, maxError: 2e-6 },
      { kernel: "scan <rows>", shape: "B=8", dtype: "f32", peer: "torch & co", ms: 0.5 },
      { kernel: "scan", error: "out of memory" },
    ]),
  );
  const html = await pageOf(results, "--out", join(root, "page.html"), "--title", "a < b");
  assertEquals(sections(html), [
    ["Streams: latency of a token", 1, 2],
    ["Streams: memory", 1, 2],
    ["chunk, forward: error against length", 1, 2],
    ["Timings: all.jsonl", 0, 1],
  ]);
  assertMatch(html, /<h1>a &lt; b<\/h1>/);
  assertMatch(html, /<td>scan &lt;rows&gt;<\/td>.*<td>torch &amp; co<\/td><td class="number">0.5<\/td>/);
});

test("what is not there or is nothing of the kind is refused in one line", async () => {
  writeFileSync(join(root, "bad.jsonl"), "[1]\n{}\n");
  writeFileSync(join(root, "other.jsonl"), '{"a":1}\n');
  const refused: [string[], RegExp][] = [
    [[], /^Cannot report: it takes folders or files of results, got none$/],
    [[join(root, "none")], /^Cannot report on .*none: ENOENT$/],
    [[join(root, "bad.jsonl")], /^Cannot report on .*bad\.jsonl: line 1 must be one JSON object, got \[1\]$/],
    [[join(root, "other.jsonl")], /there must be runs or results, got 1 lines of neither$/],
    [[join(root, "results"), "--out", join(root, "no", "page.html")], /^Cannot write .*page\.html: ENOENT$/],
    [["--colour"], /^Cannot run report: Unknown option '--colour'/],
  ];
  for (const [args, pattern] of refused) {
    const { message } = await assertRejects(() => report(args, quiet), InputError);
    assertMatch(message, pattern);
    assert(!message.includes("\n"));
  }
});
