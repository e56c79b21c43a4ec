/**
 * Where a bench command prints.
 *
 * @module
 */
import process from "node:process";

/** Where lines go; progress replaces itself. */
export interface BenchOutput {
  out(line: string): void;
  err(line: string): void;
  progress(text: string): void;
}

/** Standard output and error; progress only where a person watches. */
export const terminal: BenchOutput = {
  out: (line) => void process.stdout.write(`${line}\n`),
  err: (line) => void process.stderr.write(`${line}\n`),
  progress(text) {
    if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
  },
};
