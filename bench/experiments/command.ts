/**
 * `dualscan bench collect`: results of training runs, from their logs into a file of results.
 *
 * @module
 */
import { oneOf } from "../../cli/arguments.ts";
import { InputError } from "../../models/error.ts";
import { benchOptions } from "../arguments.ts";
import type { BenchOutput } from "../output.ts";
import { resultPath } from "../save.ts";
import { costsOf, resultsOf, unfinished } from "./collect.ts";
import { logFiles, loggedRuns } from "./logged_run.ts";
import { replaceLines } from "./replace.ts";
import { type CostLine, type ResultLine, runKey } from "./result.ts";

const kinds = ["results", "costs"] as const;

const help = `dualscan bench collect RUNS…   results of training runs, one JSON object a line

  RUNS             a run's folder, a folder of runs, or a log
  --save FILE      put them into FILE, in the place of its lines of the same runs; a bare name lies in bench/results/
                   (default: stdout)
  --only KIND      results: a line for every test evaluation; costs: a line for every length trained on (default: both)
  --partial        runs that are not finished too: their last evaluation on the validation split, marked "finished": false
  --help           this text

What a step costs is the median over the steps of a length without the first. An unfinished run is left out, and is an error
without --partial. \`dualscan bench table\` then brings the README's tables and plots up to date.

Exit status: 0 all were collected, 1 some runs were left out, 2 unusable arguments or input: then nothing is saved.`;

/** Runs the command on what follows `bench collect`; resolves to its exit status. Throws an {@link InputError}. */
export function benchCollect(args: readonly string[], { out, err }: BenchOutput): number {
  const given = benchOptions("bench collect", args, {
    save: { type: "string" },
    only: { type: "string" },
    partial: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  });
  if (given.flag("help")) {
    out(help);
    return 0;
  }
  if (given.words.length === 0) throw new InputError("Cannot collect: it takes folders of runs or logs, got none");
  const only = given.text("only");
  const kind = only === undefined ? undefined : oneOf("--only", only, kinds);
  const save = given.text("save");
  const runs = [...new Set(given.words.flatMap(logFiles))].flatMap(loggedRuns);
  const leftOut: string[] = [];
  const lines = runs.flatMap((run): (ResultLine | CostLine)[] => {
    const why = unfinished(run);
    if (why !== undefined && !given.flag("partial")) {
      leftOut.push(`left out ${run.path}: its run must be finished, got ${why}; --partial takes what there is`);
      return [];
    }
    const results = kind === "costs" ? [] : resultsOf(run);
    if (results.length === 0 && kind !== "costs") {
      leftOut.push(`left out ${run.path}: its run must have been evaluated, got ${why ?? "no validation"}`);
    }
    return [...results, ...(kind === "results" ? [] : costsOf(run))];
  });
  if (save === undefined) lines.forEach((line) => out(JSON.stringify(line)));
  else {
    const path = resultPath(save);
    if (lines.length > 0) replaceLines(path, lines);
    const count = (wanted: string): number => lines.filter((line) => line.kind === wanted).length;
    out(`${path}: ${count("result")} results and ${count("cost")} costs of ${new Set(lines.map(runKey)).size} runs`);
  }
  leftOut.forEach(err);
  return leftOut.length === 0 ? 0 : 1;
}
