/**
 * `dualscan bench errors`: how the errors of the fused kernels grow with the length.
 *
 * @module
 */
import { dirname } from "node:path";
import { experimentalToggles, type Gpu } from "../../kernels/device.ts";
import { fusedFamilies, type FusedFamily } from "../../kernels/fused.ts";
import type { AnyAffineModel } from "../../models/affine.ts";
import { InputError } from "../../models/error.ts";
import type { Execution } from "../../models/execution.ts";
import { models } from "../../models/mod.ts";
import { type InputSource, seededSources } from "../../models/source.ts";
import { error as errorText } from "../fused/table.ts";
import { openGpu } from "../open_gpu.ts";
import type { BenchOutput } from "../output.ts";
import { resultFile } from "../save.ts";
import { hasWords } from "../words.ts";
import { errorCurve, hasCurve, type Pass } from "./curve.ts";
import { drawErrors, type ErrorResult, errorResults } from "./draw.ts";
import { type ErrorsArguments, errorsArguments, errorsHelp } from "./options.ts";

/** One curve to be had. */
interface Job {
  readonly family: FusedFamily;
  readonly execution: Execution;
  readonly model: AnyAffineModel;
  readonly pass: Pass;
  readonly source: InputSource;
}

/**
 * Runs the command on what follows `bench errors`; resolves to its exit status: 0, 1 where a curve could not be had or an
 * error is infinite, 2 no GPU where one is required. Throws an {@link InputError} on unusable arguments. `families` are
 * for tests.
 */
export async function benchErrors(
  args: readonly string[],
  output: BenchOutput,
  families: readonly FusedFamily[] = fusedFamilies,
): Promise<number> {
  const asked = errorsArguments(args);
  if (asked.help) {
    output.out(errorsHelp);
    return 0;
  }
  if (asked.draw !== undefined) {
    drawErrors(errorResults(asked.draw), dirname(asked.draw)).forEach((path) => output.out(path));
    return 0;
  }
  const chosen = chosenFamilies(families, asked.words);
  const all = chosenModels(asked.models);
  const file = asked.out === undefined ? undefined : resultFile(asked.out);
  const start = performance.now();
  const gpu = await openGpu(
    asked.gpu,
    { what: "error curves of fused kernels", command: "dualscan bench errors --gpu auto" },
    output.err,
    { toggles: asked.experimental ? experimentalToggles : {} },
  );
  if (gpu === undefined) return 0;
  try {
    const jobs = chosen.flatMap((family) => jobsOf(family, gpu, all, asked));
    const right = await curves(jobs, gpu, asked, output, file, start);
    if (asked.out !== undefined) {
      drawErrors(errorResults(asked.out), dirname(asked.out)).forEach((path) => output.err(`drawn: ${path}`));
    }
    return right ? 0 : 1;
  } finally {
    await gpu.close();
  }
}

function chosenFamilies(families: readonly FusedFamily[], words: readonly string[]): readonly FusedFamily[] {
  for (const wanted of words) {
    if (!families.some(({ name }) => hasWords(name, wanted))) {
      throw new InputError(
        `Cannot draw errors of ${wanted || '""'}: it must be words of a family's name; the families are ${
          families.map(({ name }) => name).join(", ") || "none"
        }`,
      );
    }
  }
  return words.length === 0 ? families : families.filter(({ name }) => words.some((wanted) => hasWords(name, wanted)));
}

function chosenModels(names: readonly string[]): readonly AnyAffineModel[] {
  for (const name of names) {
    if (!models.some((model) => model.name === name)) {
      throw new InputError(
        `Cannot use --model: it must be one of ${models.map((model) => model.name).join(", ")}, got ${name}`,
      );
    }
  }
  return names.length === 0 ? models : models.filter(({ name }) => names.includes(name));
}

/** Forward curves first: they are had much faster. */
function jobsOf(
  family: FusedFamily,
  gpu: Gpu,
  all: readonly AnyAffineModel[],
  { passes, inputs }: ErrorsArguments,
): readonly Job[] {
  const execution = family.execution(gpu);
  const sources = seededSources.filter(({ name }) => inputs.includes(name));
  return passes.flatMap((pass) =>
    all.filter((model) => family.supports(model) && hasCurve(execution, pass)).flatMap((model) =>
      sources.map((source): Job => ({ family, execution, model, pass, source }))
    )
  );
}

async function curves(
  jobs: readonly Job[],
  gpu: Gpu,
  { lengths, size, heads, budget, json }: ErrorsArguments,
  { out, err, progress }: BenchOutput,
  file: ((point: object) => void) | undefined,
  start: number,
): Promise<boolean> {
  const sizes = { K: size, V: size, N: size, D: size };
  let right = true;
  for (const [n, { family, execution, model, pass, source }] of jobs.entries()) {
    const what = `${family.name}, ${model.name} ${pass}, ${source.name}`;
    if (performance.now() - start >= 1000 * budget) {
      err(`not run, as --budget ${budget} is spent: ${jobs.length - n} of ${jobs.length} curves, from ${what} on`);
      break;
    }
    const common = {
      family: family.name,
      model: model.name,
      pass,
      inputs: source.name,
      sizes: Object.entries(sizes).map(([axis, extent]) => `${axis}=${extent}`).join(" "),
      adapter: `${gpu.adapter.description} (${gpu.adapter.provider})`,
    };
    const figures: string[] = [];
    progress(`${n + 1} of ${jobs.length}: ${what}`);
    try {
      for await (const point of errorCurve(execution, model, pass, source, lengths, { H: heads, sizes })) {
        const result: ErrorResult = { ...common, ...point, date: new Date().toISOString() };
        right &&= Number.isFinite(point.maxError);
        file?.(result);
        figures.push(`${point.length}: ${errorText(point.maxError)}`);
        if (json) out(JSON.stringify(result));
      }
    } catch (error) {
      const { message } = error as Error;
      right = false;
      file?.({ ...common, error: message });
      err(`FAILED ${what}: ${message}`);
    }
    progress("");
    if (!json) out(`${what}  ${figures.join("  ")}`);
  }
  return right;
}
