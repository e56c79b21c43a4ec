/** The command line as a user meets it: exit statuses, one-line errors, JSON, planted faults, three runtimes. */

import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { cpuExecutions, expectedRows } from "../../oracle/duality.ts";
import { models } from "../../models/mod.ts";
import { seededSource } from "../../models/source.ts";
import type { Row } from "../../oracle/report.ts";

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const bin = resolve("node_modules/.bin");
const commands = {
  deno: [join(bin, "deno"), "run", "-A", "--quiet", "cli.ts"],
  bun: [join(bin, "bun"), "cli.ts"],
  node: ["node", "dist/cli.mjs"],
};

function cli(
  args: readonly string[],
  runtime: keyof typeof commands = "deno",
  environment: NodeJS.ProcessEnv = {},
): Ran {
  const [command = "", ...prefix] = commands[runtime];
  const { status, stdout, stderr } = spawnSync(command, [...prefix, ...args], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    env: { ...process.env, DUALSCAN_GPU: "off", ...environment },
  });
  return { status, stdout, stderr };
}

const rowsOf = (stdout: string): Row[] => stdout.trim().split("\n").map((line) => JSON.parse(line) as Row);

test("check --json prints one object per row, every expected one, and nothing else", () => {
  const { status, stdout } = cli(["check", "--json", "--model", "gla,delta-net", "--lengths", "0,1,65"]);
  assertEquals(status, 0);
  const rows = rowsOf(stdout);
  const fields = [
    "model",
    "check",
    "execution",
    "inputs",
    "length",
    "seed",
    "ok",
    "maxUlp",
    "bound",
    "liveElements",
    "combines",
    "depth",
  ];
  for (const row of rows) {
    for (const field of fields) assert(field in row, `${field} is missing in ${JSON.stringify(row)}`);
  }
  for (const name of ["gla", "delta-net"]) {
    const model = models.find((candidate) => candidate.name === name)!;
    const expected = expectedRows(model, cpuExecutions(), {
      lengths: [0, 1, 65],
      realSources: [seededSource("random")],
    });
    assertEquals(rows.filter((row) => row.model === name).length, expected);
  }
  assertEquals(rows.filter(({ model }) => model === "gru").length, 2);
  assert(rows.every(({ ok }) => ok));
});

for (const plant of ["relative", "dropped-carry", "swapped-operands"]) {
  test(`check --plant ${plant} exits 1, names the first bad index and how to run it again`, () => {
    const { status, stdout } = cli(["check", "--plant", plant, "--model", "gla", "--lengths", "129"]);
    assertEquals(status, 1);
    assertMatch(stdout, /first bad index/);
    assertStringIncludes(stdout, `dualscan -- check --model gla --lengths 129 --seed 1 --plant ${plant}`);
    assertMatch(stdout, /\d+ FAILED$/m);
  });
}

test("check --plant relative turns every kind of row red", () => {
  const rows = rowsOf(cli(["check", "--json", "--plant", "relative", "--model", "gla", "--lengths", "129"]).stdout);
  for (const check of ["associativity", "exact", "finite-ring", "accuracy", "resume", "memory"]) {
    const of = rows.filter((row) => row.check === check);
    assert(of.length > 0 && of.every(({ ok }) => !ok), check);
  }
});

const folder = mkdtempSync(join(tmpdir(), "dualscan-"));
writeFileSync(join(folder, "binary"), new Uint8Array([0xff, 0xfe, 0x80]));
writeFileSync(join(folder, "empty"), "");
writeFileSync(join(folder, "text.txt"), "To be, or not to be: that is the question.\n".repeat(20));

const unusable: readonly (readonly [string, readonly string[], RegExp])[] = [
  ["an unknown command", ["chekc"], /^Cannot run chekc: the commands are check, train, stream, report, bench$/],
  ["an unknown option", ["check", "--lenghts", "3"], /^Cannot run check: Unknown option '--lenghts'.*options are/],
  ["an unknown model", ["check", "--model", "gpt"], /^Cannot check gpt: the models are linear-recurrence,/],
  ["a length that is no number", ["check", "--lengths", "1,x"], /^Cannot use --lengths: .* got x$/],
  ["a length beyond what is checked", ["check", "--lengths", "99999999"], /^Cannot use --lengths: .* got 99999999$/],
  ["a bad seed", ["check", "--seed", "1.5"], /^Cannot use --seed: .* got 1\.5$/],
  ["a bad policy", ["check", "--gpu", "maybe"], /^Cannot use --gpu: it must be one of auto, off, require, got maybe$/],
  ["a bad set of kernels", ["check", "--kernels", "fast"], /must be one of generic, fused, all, got fast$/],
  ["a text that is not there", ["check", "--text", join(folder, "none")], /^Cannot read --text .*none: ENOENT$/],
  ["a folder as text", ["check", "--text", folder], /^Cannot read --text /],
  ["an empty text", ["check", "--text", join(folder, "empty")], /at least one byte, got 0$/],
  ["bytes that are no text", ["check", "--text", join(folder, "binary")], /must be UTF-8 text, got other bytes$/],
];
for (const [what, args, message] of unusable) {
  test(`${what} exits 2 with one line, nothing computed`, () => {
    const { status, stdout, stderr } = cli(args);
    assertEquals([status, stdout], [2, ""]);
    assertEquals(stderr.trim().split("\n").length, 1);
    assertMatch(stderr.trim(), message);
  });
}

test("check --text takes real text as one more input", () => {
  const { status, stdout } = cli(
    ["check", "--json", "--model", "hgrn", "--lengths", "100", "--text", join(folder, "text.txt")],
  );
  assertEquals(status, 0);
  assert(
    rowsOf(stdout).some(({ inputs, check, length }) => inputs === "text" && check === "accuracy" && length === 100),
  );
});

test("without a GPU the report says what was not run and the command that enables it", () => {
  const { status, stdout } = cli(["check", "--model", "hgrn", "--lengths", "1"]);
  assertEquals(status, 0);
  assertMatch(stdout, /GPU rows were not run: .*--gpu auto/);
});

test("check --kernels chooses what a GPU runs, and fewer lengths are said, never silent", () => {
  const on = (...args: string[]): Ran =>
    cli(["check", "--json", "--model", "delta-net", ...args], "deno", { DUALSCAN_GPU: "auto" });
  const fused = on("--kernels", "fused", "--lengths", "3");
  if (fused.stderr.includes("GPU rows were not run")) return;
  const kinds = (stdout: string): Set<string> =>
    new Set(
      rowsOf(stdout).filter(({ check }) => check === "accuracy").map(({ execution }) =>
        execution.startsWith("webgpu") ? "generic" : execution.endsWith(" f32") ? "cpu" : "fused"
      ),
    );
  assertEquals(fused.status, 0, fused.stdout);
  assertEquals(kinds(fused.stdout), new Set(["cpu", "fused"]));
  assertEquals(fused.stderr.includes("fused kernels at lengths"), false);
  const generic = on("--kernels", "generic", "--lengths", "3");
  assertEquals(generic.status, 0, generic.stdout);
  assertEquals(kinds(generic.stdout), new Set(["cpu", "generic"]));
  assertEquals(kinds(on("--lengths", "3").stdout), new Set(["cpu", "generic", "fused"]));
});

test("check --help says at which lengths a software adapter runs the fused kernels", () => {
  const { status, stdout } = cli(["check", "--help"]);
  assertEquals(status, 0);
  assertMatch(stdout, /fused kernels only at\n0, 1, 65, 129;/);
});

for (const runtime of ["bun", "node"] as const) {
  test(`check runs the same under ${runtime}`, () => {
    if (runtime === "node") {
      const { status, stderr } = spawnSync("npm", ["run", "-s", "build"], { encoding: "utf8" });
      assertEquals(status, 0, stderr);
    }
    const args = ["check", "--json", "--model", "gla", "--lengths", "3,65"];
    const here = cli(args, runtime);
    assertEquals(here.status, 0, here.stderr);
    const claims = (stdout: string): unknown[] =>
      rowsOf(stdout).map(({ check, execution, inputs, ok }) => [check, execution, inputs, ok]);
    assertEquals(claims(here.stdout), claims(cli(args).stdout));
  });
}
