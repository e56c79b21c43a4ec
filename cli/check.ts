/**
 * `dualscan check`.
 *
 * @module
 */
import process from "node:process";
import { InputError } from "../models/error.ts";
import { models } from "../models/mod.ts";
import { type Gpu, NoAdapterError, openDevice } from "../kernels/device.ts";
import { gruControlCount, gruControlRows } from "../oracle/checks/gru.ts";
import type { Row } from "../oracle/report.ts";
import { checkModel, deviceExecutions, libraryOptions } from "./check_model.ts";
import { type CheckArguments, checkArguments, checkHelp, softwareLengths } from "./check_options.ts";
import { failureLines, modelLine, tableHead } from "./table.ts";
import { inWorkers, WorkerError } from "./workers.ts";

/** A device, or in words why there is none. */
async function device({ gpu }: CheckArguments): Promise<Gpu | string> {
  if (gpu === "off") return "GPU rows were not run: --gpu is off. Enable them with: --gpu auto";
  try {
    return await openDevice();
  } catch (error) {
    if (gpu === "require" || !(error instanceof NoAdapterError)) throw error;
    return `GPU rows were not run: ${error.message}`;
  }
}

/** The arguments of a worker that checks one model. */
function workerArguments(args: CheckArguments, name: string, gpu: "off" | "require"): string[] {
  return [
    "check",
    "--json",
    "--jobs=1",
    `--model=${name}`,
    ...(args.givenLengths ? [`--lengths=${args.lengths.join(",")}`] : []),
    `--seed=${args.seed}`,
    `--gpu=${gpu}`,
    `--kernels=${args.kernels}`,
    ...(args.text === undefined ? [] : [`--text=${args.text}`]),
    ...(args.plant === undefined ? [] : [`--plant=${args.plant}`]),
  ];
}

/** What a check on a software adapter leaves out. */
const fewLengths = `fused kernels at lengths ${softwareLengths.join(", ")} only, as the adapter computes on the CPU; ` +
  "--lengths N,… runs them at others";

/** Progress on stderr, where it is a terminal. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
}

/** A line on stdout; resolves when it is written, so that an exit after the last one loses nothing. */
function print(line: string): Promise<void> {
  return new Promise((done) => process.stdout.write(`${line}\n`, () => done()));
}

/** Runs the command; resolves to its exit status. Throws an {@link InputError} on unusable arguments or input. */
export async function check(argv: readonly string[]): Promise<number> {
  const args = checkArguments(argv);
  if (args.help) {
    await print(checkHelp);
    return 0;
  }
  if (args.list) {
    await print(models.map(({ name }) => name).join("\n"));
    return 0;
  }
  // Reads the text, so that an unusable one is found before any work.
  libraryOptions(args);
  const start = performance.now();
  const opened = await device(args);
  const onDevice = deviceExecutions(typeof opened === "string" ? undefined : opened, args);
  const rows = new Map<string, Row[]>(args.names.map((name) => [name, []]));
  const onRow = (row: Row): void => {
    rows.get(row.model)!.push(row);
    if (args.json) process.stdout.write(`${JSON.stringify(row)}\n`);
    progress(`${row.model}: ${row.check} ${row.execution} ${row.inputs} ${row.length}`);
  };
  const worker = args.jobs === 1;
  if (!args.json) {
    if (typeof opened !== "string") await print(`device: ${opened.adapter.description} (${opened.adapter.provider})`);
    if (onDevice.few) await print(fewLengths);
    await print(tableHead());
  } else if (onDevice.few && !worker) {
    process.stderr.write(`${fewLengths}\n`);
  }
  const done = async (name: string): Promise<void> => {
    progress("");
    if (!args.json) await print(modelLine(name, rows.get(name)!));
  };
  try {
    if (worker || args.names.length === 1) {
      for (const name of args.names) {
        await checkModel(name, onDevice, args, onRow);
        await done(name);
      }
    } else {
      const gpu = typeof opened === "string" ? "off" : "require";
      if (typeof opened !== "string") await opened.close();
      const printed: Promise<void>[] = [];
      await inWorkers(args.names, args.jobs, (name) => workerArguments(args, name, gpu), onRow, (name) => {
        printed.push(done(name));
      });
      await Promise.all(printed);
    }
  } catch (error) {
    progress("");
    if (error instanceof WorkerError && error.status === 2) throw new InputError(error.message);
    throw error;
  } finally {
    progress("");
    if (typeof opened !== "string") await opened.close();
  }
  // The negative control belongs to the whole run, not to a worker's share of it.
  const all = [...rows.values()].flat();
  if (!worker) {
    const control = gruControlRows(args.seed);
    if (control.length !== gruControlCount) {
      throw new Error(`Cannot vouch for the controls: ${gruControlCount} rows expected`);
    }
    for (const row of control) {
      all.push(row);
      if (args.json) process.stdout.write(`${JSON.stringify(row)}\n`);
      else {await print(
          `${row.model.padEnd(28)} ${row.ok ? "rejected" : "NOT REJECTED"}    ${row.execution}: ${row.detail}`,
        );}
    }
  }
  const failed = all.filter(({ ok }) => !ok);
  if (!args.json) {
    for (const row of failed.slice(0, 10)) await print(failureLines(row));
    if (failed.length > 10) await print(`… and ${failed.length - 10} more; --json prints all`);
    if (typeof opened === "string") await print(opened);
    const seconds = ((performance.now() - start) / 1000).toFixed(0);
    await print(
      `${args.names.length} ${args.names.length === 1 ? "model" : "models"}, ${all.length} checks in ${seconds} s: ` +
        (failed.length === 0 ? "all hold" : `${failed.length} FAILED`),
    );
  } else if (typeof opened === "string" && !worker) {
    process.stderr.write(`${opened}\n`);
  }
  return failed.length === 0 ? 0 : 1;
}
