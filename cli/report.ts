/**
 * `dualscan report`.
 *
 * @module
 */
import { statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { benchOptions } from "../bench/arguments.ts";
import { type BenchOutput, terminal } from "../bench/output.ts";
import { lineFiles, reportLines } from "../bench/report/lines.ts";
import { page } from "../bench/report/page.ts";
import { resultSections } from "../bench/report/results.ts";
import { trainingSections } from "../bench/report/training.ts";
import { InputError } from "../models/error.ts";

export const reportHelp: string = `dualscan report DIR…   one page with the plots of training runs and benches

  DIR          a run's folder (log.jsonl), a folder of runs, or files and folders of results (*.jsonl): benches, streams,
               and what \`dualscan bench collect\` keeps of runs
  --out FILE   where it goes (default: report.html in the first DIR)
  --title TEXT what stands above it
  --help

The page needs no other file and no network, and is readable in light and dark.`;

/** Runs the command; resolves to its exit status. Throws an {@link InputError} on unusable arguments or input. */
export function report(argv: readonly string[], output: BenchOutput = terminal): Promise<number> {
  return Promise.resolve().then(() => {
    const given = benchOptions("report", argv, {
      out: { type: "string" },
      title: { type: "string" },
      help: { type: "boolean", short: "h" },
    });
    if (given.flag("help")) {
      output.out(reportHelp);
      return 0;
    }
    const [first] = given.words;
    if (first === undefined) throw new InputError("Cannot report: it takes folders or files of results, got none");
    const files = [...new Set(given.words.flatMap(lineFiles))];
    const lines = files.flatMap(reportLines);
    const sections = [...trainingSections(lines), ...resultSections(lines)];
    if (sections.length === 0) {
      throw new InputError(
        `Cannot report on ${
          given.words.join(" ")
        }: there must be runs or results, got ${lines.length} lines of neither`,
      );
    }
    const path = given.text("out") ?? join(statSync(first).isDirectory() ? first : dirname(first), "report.html");
    try {
      writeFileSync(path, page(given.text("title") ?? "dualscan report", sections));
    } catch (error) {
      throw new InputError(`Cannot write ${path}: ${(error as { code?: string }).code ?? "it must be a file"}`);
    }
    output.out(path);
    return 0;
  });
}
