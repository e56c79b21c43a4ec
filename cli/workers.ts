/**
 * Checking several models at a time: this program again, one process per model, its rows as JSON lines.
 *
 * @module
 */
import { spawn } from "node:child_process";
import process from "node:process";
import type { Row } from "../oracle/report.ts";

/** What a worker's process came to. */
interface Ending {
  readonly status: number | null;
  readonly stderr: string;
}

/** The command line of this program, whichever runtime it runs under. */
function self(): readonly [string, readonly string[]] {
  const script = process.argv[1] ?? "cli.ts";
  const deno = "Deno" in globalThis;
  return [process.execPath, deno ? ["run", "-A", "--quiet", script] : [script]];
}

function runWorker(args: readonly string[], onRow: (row: Row) => void): Promise<Ending> {
  const [command, prefix] = self();
  return new Promise((settle) => {
    const child = spawn(command, [...prefix, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let pending = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => {
      const lines = `${pending}${chunk}`.split("\n");
      pending = lines.pop() ?? "";
      for (const line of lines) if (line !== "") onRow(JSON.parse(line) as Row);
    });
    child.stderr.on("data", (chunk) => stderr += chunk);
    child.on("error", (error) => settle({ status: null, stderr: error.message }));
    child.on("close", (status) => settle({ status, stderr }));
  });
}

/** Thrown when a worker ends otherwise than by finishing its check. */
export class WorkerError extends Error {
  readonly status: number;
  constructor(message: string, status: number) {
    super(message);
    this.status = status;
  }
}

/** Checks `names`, `jobs` at a time; `argsOf` gives the arguments of the worker for one of them. */
export async function inWorkers(
  names: readonly string[],
  jobs: number,
  argsOf: (name: string) => readonly string[],
  onRow: (row: Row) => void,
  onDone: (name: string) => void,
): Promise<void> {
  const queue = [...names];
  const work = async (): Promise<void> => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const { status, stderr } = await runWorker(argsOf(name), onRow);
      if (status !== 0 && status !== 1 || stderr.includes("Cannot vouch")) {
        queue.length = 0;
        throw new WorkerError(
          stderr.trim() || `Cannot check ${name}: its process ended with status ${status}`,
          status ?? 1,
        );
      }
      onDone(name);
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, names.length) }, work));
}
