/**
 * `dualscan bench table`: the README's tables, and plots, made of the results in bench/results/.
 *
 * @module
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { benchOptions, exactWords } from "./arguments.ts";
import type { BenchOutput } from "./output.ts";
import { cost } from "./readme/cost.ts";
import { fused } from "./readme/fused.ts";
import { recall } from "./readme/recall.ts";
import { type Section, withSection } from "./readme/section.ts";
import { stream } from "./readme/stream.ts";
import { text } from "./readme/text.ts";
import { words } from "./readme/words.ts";
import { RESULTS } from "./save.ts";

/** All that is made, each between marks of its name. */
export const sections: readonly Section[] = [
  { name: "table", make: fused },
  { name: "words", make: words },
  { name: "recall", make: recall },
  { name: "text", make: text },
  { name: "cost", make: cost },
  { name: "stream", make: stream },
];

const help =
  `dualscan bench table   rewrites the README's tables, and the plots of experiments, from bench/results/*.jsonl

  --check          change nothing; exit status 1 if a table or a plot is out of date
  --help           this text

What stands between <!-- bench NAME: start --> and <!-- bench NAME: end --> is made of:
  table            lines with a peer's time (\`dualscan bench compare --save\`); of several of one kernel, shape, type and peer
                   the last by date
  words, recall, text
                   results of training runs (\`dualscan bench collect --save\`), with plots experiment_NAME.svg beside them
  cost             costs of training runs (the same), beside what bench/torch_psm.py printed into bench/results/peers/
  stream           lines of \`dualscan stream --out\``;

/** Plots that are made here, by name; one that no result asks for is out of date. */
const isPlot = (name: string): boolean => /^experiment_.*\.svg$/.test(name);

/** A file, and what it must hold; undefined: it must not be there. */
interface Wanted {
  readonly path: string;
  readonly content: string | undefined;
}

/** The README and all plots as they have to be. Throws an `InputError`. */
function wantedFiles(readme: string, results: string): readonly Wanted[] {
  const made = sections.map(({ name, make }) => ({ name, ...make(results) }));
  const plots = new Map(made.flatMap(({ plots = [] }) => plots));
  const there = existsSync(results) ? readdirSync(results).filter(isPlot) : [];
  return [
    {
      path: readme,
      content: made.reduce((whole, { name, text }) => withSection(whole, name, text), readFileSync(readme, "utf8")),
    },
    ...[...new Set([...plots.keys(), ...there])].map((name) => ({
      path: join(results, name),
      content: plots.get(name),
    })),
  ];
}

/** Runs the command on what follows `bench table`; resolves to its exit status. Throws an `InputError`. */
export function benchTable(
  args: readonly string[],
  { out, err }: BenchOutput,
  { readme = "README.md", results = RESULTS }: { readonly readme?: string; readonly results?: string } = {},
): number {
  const given = benchOptions("bench table", args, {
    check: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  });
  if (given.flag("help")) {
    out(help);
    return 0;
  }
  exactWords("bench table", given.words, []);
  const old = wantedFiles(readme, results).filter(({ path, content }) =>
    content !== (existsSync(path) ? readFileSync(path, "utf8") : undefined)
  );
  if (given.flag("check")) {
    for (const { path } of old) err(`${path} is out of date: bring it up to date with: dualscan bench table`);
    return old.length === 0 ? 0 : 1;
  }
  for (const { path, content } of old) {
    if (content === undefined) rmSync(path);
    else writeFileSync(path, content);
  }
  return 0;
}
