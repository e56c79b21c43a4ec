import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { assert, assertEquals, assertGreater, assertMatch } from "@std/assert";
import { breaches, cycles, type Sources, specifiers } from "./_imports.ts";

const root = new URL("../../", import.meta.url);
const folders = ["scan", "models", "oracle", "kernels", "tasks", "bench", "tests", "tools"];

function readSources(): Map<string, string> {
  const sources = new Map<string, string>();
  function add(folder: string, recursive: boolean): void {
    for (const entry of readdirSync(new URL(folder, root), { withFileTypes: true })) {
      const path = folder + entry.name;
      if (entry.isDirectory() && recursive) add(`${path}/`, true);
      else if (entry.name.endsWith(".ts")) sources.set(path, readFileSync(new URL(path, root), "utf8"));
    }
  }
  add("", false);
  for (const folder of folders) add(`${folder}/`, true);
  return sources;
}

function json(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(new URL(path, root), "utf8"));
}

const sources: Sources = readSources();

test("imports respect the directions between the folders", () => {
  assertGreater(sources.size, 10);
  assertEquals(breaches(sources), []);
});

test("no import cycles", () => assertEquals(cycles(sources), []));

test("control: planted imports are found", () => {
  const plant = (path: string, source: string) => new Map(sources).set(path, source);
  const planted: [string, string, RegExp][] = [
    ["scan/planted.ts", 'import { x } from "../models/mod.ts";\n', /scan may import nothing$/],
    ["scan/planted.ts", 'import * as fs from "node:fs";\n', /scan imports nothing$/],
    ["models/planted.ts", 'export * from "../kernels/device.ts";\n', /models may import scan$/],
    [
      "models/deep/planted.ts",
      'import type {\n  A,\n  B,\n} from "../../oracle/dyadic.ts";\n',
      /models may import scan$/,
    ],
    ["oracle/planted.ts", 'const x = await import("../kernels/device.ts");\n', /oracle may import models, scan$/],
    ["kernels/planted.ts", 'import { type X } from "../oracle/dyadic.ts";\n', /kernels may import models, scan$/],
    ["tasks/planted.ts", 'import "../bench/main.ts";\n', /tasks may import models, kernels$/],
    ["mod.ts", 'export { main } from "./cli.ts";\n', /only bench, tests, tools and cli\.ts do$/],
    ["tasks/planted.ts", 'import { assert } from "@std/assert";\n', /only tests do$/],
  ];
  for (const [path, source, complaint] of planted) {
    const found = breaches(plant(path, source)).filter((line) => line.startsWith(path));
    assertEquals(found.length, 1, source);
    assertMatch(found[0] ?? "", complaint);
  }
  const loop = new Map([
    ["scan/a.ts", 'import { b } from "./b.ts";\n'],
    ["scan/b.ts", 'export type { C } from "./deep/c.ts";\n'],
    ["scan/deep/c.ts", 'import { a } from "../a.ts";\n'],
  ]);
  assertEquals(cycles(loop), ["scan/a.ts → scan/b.ts → scan/deep/c.ts → scan/a.ts"]);
});

test("control: text that only looks like an import is passed over", () => {
  assertEquals(
    specifiers(' * import { x } from "../cli.ts";\nconst s = `export`;\nexport const y = "../cli.ts";\n'),
    [],
  );
});

test("package.json pins every version, allows install scripts of these only, and agrees with deno.json", () => {
  const manifest = json("package.json");
  const versions = { ...manifest.dependencies as object, ...manifest.devDependencies as object } as Record<
    string,
    string
  >;
  for (const [name, version] of Object.entries(versions)) assertMatch(version, /^\d+\.\d+\.\d+$/, name);
  // By name: npm compares versions only where the lock file holds addresses. The versions are pinned above.
  for (const approved of Object.keys(manifest.allowScripts as object)) assert(approved in versions, approved);
  assertEquals(json("deno.json").version, manifest.version);
});

test("package-lock.json lists every platform's packages, so that npm ci accepts it everywhere", () => {
  const packages = json("package-lock.json").packages as Record<
    string,
    { optionalDependencies?: Record<string, string> }
  >;
  for (const [path, { optionalDependencies = {} }] of Object.entries(packages)) {
    const missing = Object.keys(optionalDependencies).filter((name) => !(`node_modules/${name}` in packages));
    assertEquals(missing, [], path);
  }
});
