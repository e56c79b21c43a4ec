/**
 * `dualscan bench fused`: times the fused kernels in their tunings, each only after its result was held to f64.
 *
 * @module
 */
import process from "node:process";
import { experimentalToggles, type Gpu, openDevice } from "../../kernels/device.ts";
import { openGpu } from "../open_gpu.ts";
import { type BenchOutput, terminal } from "../output.ts";
import { resultFile, resultPath } from "../save.ts";
import { caseText, chosenCases, chosenLines, type FusedCase } from "./cases.ts";
import type { FusedLine } from "./line.ts";
import { fusedLines } from "./lines.ts";
import { type FusedArguments, fusedArguments, fusedHelp } from "./options.ts";
import { peerTimings } from "./peer.ts";
import { measuredRates } from "./rates.ts";
import type { FusedFailure, FusedResult } from "./result.ts";
import { runCases } from "./run.ts";
import { shapeText } from "./shape.ts";
import { fusedTable } from "./table.ts";
import type { FusedEffort } from "./timing.ts";

/** Seconds without an answer of the device after which the run is given up. */
const PATIENCE = 60;

/** Twenty calls at least, but on a software device, whose times say little. */
function effortOf({ quick, sweep }: FusedArguments, gpu: Gpu): FusedEffort {
  if (gpu.adapter.software) return quick ? { time: 5, calls: 2 } : { time: 100, calls: 5 };
  return { time: quick || sweep ? 60 : 300, calls: 20 };
}

/**
 * Runs the command on what follows `bench fused`; resolves to its exit status: 0 all timed, 1 a result was wrong or
 * could not be had, 2 no GPU where one is required. Throws an {@link InputError} on unusable arguments. `lines` are for
 * tests.
 */
export async function benchFused(
  args: readonly string[],
  output: BenchOutput,
  lines: readonly FusedLine[] = fusedLines,
): Promise<number> {
  const asked = fusedArguments(args);
  if (asked.help) {
    output.out(fusedHelp);
    return 0;
  }
  if (asked.list) {
    for (const line of chosenLines(lines, asked.words)) listed(line).forEach((text) => output.out(text));
    return 0;
  }
  // What a mistake can be found in is looked at before the device is.
  chosenCases(lines, asked.quick, { ...asked, shape: undefined });
  const peers = asked.peers === undefined ? [] : peerTimings(asked.peers);
  const files = [asked.out, asked.save === undefined ? undefined : resultPath(asked.save)]
    .map((path) => path === undefined ? undefined : resultFile(path));
  const start = performance.now();
  const device = { toggles: asked.experimental ? experimentalToggles : {} };
  const first = await openGpu(
    asked.gpu,
    {
      what: chosenLines(lines, asked.words).map(({ name }) => name).join(", "),
      command: "dualscan bench fused --gpu auto",
    },
    output.err,
    device,
  );
  if (first === undefined) return 0;
  let cases: readonly FusedCase[];
  try {
    cases = chosenCases(lines, asked.quick || first.adapter.software, asked);
  } catch (error) {
    await first.close();
    throw error;
  }
  if (!asked.json) output.out(`device: ${first.adapter.description} (${first.adapter.provider})`);
  let fresh: Gpu | undefined = first;
  return await timed(cases, asked, output, files, {
    effort: effortOf(asked, first),
    budget: asked.budget,
    patience: PATIENCE,
    recheck: !asked.sweep,
    peers,
    rates: (gpu) =>
      measuredRates(gpu, asked.quick, ({ message }) => output.err(`no rate of a matrix product: ${message}`)),
    async open() {
      const gpu = fresh ?? await openDevice(device);
      fresh = undefined;
      return gpu;
    },
    now: () => (performance.now() - start) / 1000,
  });
}

type Files = readonly (((object: object) => void) | undefined)[];

async function timed(
  cases: readonly FusedCase[],
  { json, budget }: FusedArguments,
  output: BenchOutput,
  [everything, results]: Files,
  run: Parameters<typeof runCases>[1],
): Promise<number> {
  const { out, err, progress } = output;
  const had: FusedResult[] = [];
  let count = 0;
  const outcome = await runCases(cases, run, {
    onStart: (item) => progress(`${++count} of ${cases.length}: ${caseText(item)}`),
    onResult(_, lines) {
      progress("");
      had.push(...lines);
      for (const line of lines) {
        everything?.(line);
        results?.(line);
        if (json) out(JSON.stringify(line));
      }
    },
    onFailure(item, { message }, limits, adapter) {
      progress("");
      everything?.(failure(item, message, adapter));
      err(`${limits ? "not run" : "FAILED"} ${caseText(item)}${limits ? "" : ", not timed"}: ${message}`);
    },
    onLoose: (item, reason) => err(`LOOSE ${caseText(item)}: ${reason}`),
  }).finally(() => progress(""));
  if (!json) fusedTable(had).forEach((line) => out(line));
  const { left, stuck, right } = outcome;
  if (left.length > 0) {
    const why = stuck ? "the device no longer answers" : `--budget ${budget} is spent`;
    err(`not run, as ${why}: ${left.length} of ${cases.length}: ${some(left.map(caseText))}`);
  }
  // A device that does not answer keeps its process alive.
  if (stuck && output === terminal) setTimeout(() => process.exit(1), 1000).unref();
  return right ? 0 : 1;
}

function failure({ line, shape, variant }: FusedCase, error: string, adapter: string): FusedFailure {
  return {
    kernel: line.name,
    shape: shapeText(shape),
    dtype: line.dtype,
    variant: variant.name,
    adapter,
    error,
    date: new Date().toISOString(),
  };
}

/** The first few. */
function some(names: readonly string[]): string {
  return names.slice(0, 8).join("; ") + (names.length > 8 ? "; …" : "");
}

function listed({ name, dtype, shapes, small, variants }: FusedLine): readonly string[] {
  return [
    `${name} ${dtype}`,
    `  shapes: ${shapes.map(shapeText).join(", ")}; small: ${shapeText(small)}`,
    `  tunings: ${variants.map((variant) => variant.name).join(", ")}`,
  ];
}
