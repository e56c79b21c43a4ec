/** The README's examples, run as they stand: each defines something outside the kit and gets its whole report. */

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { assertEquals, assertLess, assertMatch } from "@std/assert";

const blocks = [...readFileSync("README.md", "utf8").matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code]) => code!);

function runExample(name: string, code: string): string {
  // Beside the package, whose name the example imports.
  mkdirSync("dist/readme", { recursive: true });
  const file = `dist/readme/${name}.ts`;
  writeFileSync(file, code.replaceAll('"@dualscan/dualscan"', '"../../mod.ts"'));
  const { stdout, stderr, status } = spawnSync(process.execPath, ["run", "-A", "--check", file], { encoding: "utf8" });
  assertEquals(status, 0, stderr);
  return stdout;
}

test("README: four examples of at most 28 lines", () => {
  assertEquals(blocks.length, 4);
  for (const code of blocks) assertEquals(code.trim().split("\n").length <= 28, true);
});

test("README: a recurrence of one's own gets the whole report", () => {
  const printed = runExample("recurrence", blocks[0]!);
  assertMatch(printed, /^true \d+ rows, 0 failed$/m);
});

test("README: a recurrence whose lift is wrong is rejected", () => {
  const wrong = blocks[0]!.replace("b: A.mul(token.drop(d), token.x(d))", "b: token.x(d)");
  assertMatch(runExample("wrong_recurrence", wrong), /^false \d+ rows, [1-9]\d* failed$/m);
});

test("README: fused kernels run on tensors and pass the rows of the report", () => {
  const printed = runExample("fused", blocks[2]!);
  // Without an adapter the example says why, and no more.
  if (printed.startsWith("Cannot open a GPU")) return;
  assertMatch(printed, /last state -?\d/);
  assertMatch(printed, /^true \d+ rows, 0 failed$/m);
});

test("README: an aggregator of one's own gets the whole report, its associator included", () => {
  const printed = runExample("aggregator", blocks[1]!);
  assertMatch(printed, /associator/);
  assertMatch(printed, /^true \d+ rows, 0 failed$/m);
});

test("README: a network with an aggregator of one's own learns and streams", () => {
  const printed = runExample("network", blocks[3]!);
  if (printed.startsWith("Cannot open a GPU")) return;
  const losses = [...printed.matchAll(/^\d\.\d{4}$/gm)].map(([loss]) => Number(loss));
  assertEquals(losses.length, 20);
  assertLess(losses.at(-1)!, losses[0]!);
  assertEquals([...printed.matchAll(/Float32Array\(2\)/g)].length, 3);
});
