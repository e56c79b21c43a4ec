/**
 * The command line of dualscan, the same under Deno, Bun and Node.
 *
 * @module
 */
import process from "node:process";
import { check } from "./cli/check.ts";
import { InputError } from "./models/error.ts";

const help = `dualscan — one definition, every execution, one exact judge

  dualscan check   takes every model through every execution and judges it against the exact oracle
  dualscan train   trains a network on words, recall or text
  dualscan stream  times token after token as the context grows
  dualscan report  one page with the plots of training runs and benches
  dualscan bench   times the kernels and scans, each after checking its result

  dualscan COMMAND --help prints a command's options.`;

async function run([command, ...args]: readonly string[]): Promise<number> {
  switch (command) {
    case "check":
      return await check(args);
    // Each loaded when asked for: what one command needs is nothing to the others.
    case "train":
      return await (await import("./cli/train.ts")).train(args);
    case "stream":
      return await (await import("./cli/stream.ts")).stream(args);
    case "report":
      return await (await import("./cli/report.ts")).report(args);
    case "bench":
      return await (await import("./bench/main.ts")).bench(args);
    case undefined:
    case "help":
    case "--help":
    case "-h":
      process.stdout.write(`${help}\n`);
      return command === undefined ? 2 : 0;
    default:
      throw new InputError(`Cannot run ${command}: the commands are check, train, stream, report, bench`);
  }
}

try {
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  const usable = error instanceof InputError;
  process.stderr.write(
    `${usable || process.env["DUALSCAN_DEBUG"] === undefined ? (error as Error).message : (error as Error).stack}\n`,
  );
  process.exitCode = usable ? 2 : 1;
}
